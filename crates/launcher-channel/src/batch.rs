//! Descriptor batches that wait for the command that names their token.

use std::collections::VecDeque;

use crate::Descriptors;

/// Batches that may wait at a time; the oldest is closed when one more arrives.
const WAITING: usize = 4;

/// Received batches by token, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    issued: u64,
    waiting: VecDeque<(String, Descriptors)>,
}

impl Batches {
    /// Keeps a batch and returns the token that claims it.
    pub(crate) fn keep(&mut self, descriptors: Descriptors) -> String {
        self.issued += 1;
        let token = format!("batch-{}", self.issued);
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((token.clone(), descriptors));
        token
    }

    /// Hands out the batch of `token`, once. Older ones are of commands that never came, and are closed: what they hold open
    /// nobody else could open.
    pub(crate) fn claim(&mut self, token: &str) -> Option<Descriptors> {
        let place = self.waiting.iter().position(|(waiting, _)| waiting == token)?;
        self.waiting.drain(..=place).next_back().map(|(_, descriptors)| descriptors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_claimed_once_and_older_ones_give_way() {
        let mut batches = Batches::default();
        let before = batches.keep(Vec::new());
        let claimed =
            batches.keep(vec![("tap".to_owned(), std::fs::File::open("/dev/null").unwrap().into())]);
        assert_eq!(batches.claim(&claimed).map(|descriptors| descriptors.len()), Some(1));
        assert!(batches.claim(&claimed).is_none());
        assert!(batches.claim(&before).is_none(), "the command that it was for never came");
        let first = batches.keep(Vec::new());
        for _ in 0..WAITING {
            batches.keep(Vec::new());
        }
        assert!(batches.claim(&first).is_none(), "gave way to newer batches");
    }
}
