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

    /// Hands out the batch of `token`, once.
    pub(crate) fn claim(&mut self, token: &str) -> Option<Descriptors> {
        let place = self.waiting.iter().position(|(waiting, _)| waiting == token)?;
        self.waiting.remove(place).map(|(_, descriptors)| descriptors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_claimed_once_and_the_oldest_gives_way() {
        let mut batches = Batches::default();
        let first = batches.keep(Vec::new());
        let second = batches.keep(Vec::new());
        assert!(batches.claim(&second).is_some());
        assert!(batches.claim(&second).is_none());
        for _ in 0..WAITING {
            batches.keep(Vec::new());
        }
        assert!(batches.claim(&first).is_none(), "gave way to newer batches");
    }
}
