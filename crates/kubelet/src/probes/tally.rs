//! How single answers become an opinion: only so many in a row change it.

/// Counts the answers to one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    opinion: bool,
    last: bool,
    in_a_row: u32,
}

impl Tally {
    /// Begins with an opinion.
    pub(super) fn new(opinion: bool) -> Self {
        Self { opinion, last: opinion, in_a_row: 0 }
    }

    /// Takes in an answer; returns the opinion after it. So many `successes`, or `failures`, in a row change it.
    pub(super) fn count(&mut self, good: bool, successes: u32, failures: u32) -> bool {
        self.in_a_row = if self.last == good { self.in_a_row.saturating_add(1) } else { 1 };
        self.last = good;
        if self.in_a_row >= if good { successes } else { failures } {
            self.opinion = good;
        }
        self.opinion
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_in_a_row_change_the_opinion() {
        let play = |begin: bool, answers: &str, successes: u32, failures: u32| -> String {
            let mut tally = Tally::new(begin);
            let word = |good: bool| if good { '+' } else { '-' };
            answers.chars().map(|answer| word(tally.count(answer == '+', successes, failures))).collect()
        };
        assert_eq!(play(false, "+", 1, 3), "+");
        assert_eq!(play(false, "++-+++", 3, 1), "-----+");
        assert_eq!(play(true, "--+---", 1, 3), "+++++-");
        assert_eq!(play(true, "-+-+-", 1, 2), "+++++");
    }
}
