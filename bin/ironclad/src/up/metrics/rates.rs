//! From sums that grow to rates.

use std::collections::BTreeMap;
use std::time::Duration;

/// Samples that nobody asked about for this long are let go.
const KEPT: Duration = Duration::from_secs(600);

/// The last two looks at each Pod.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<String, Sample>);

#[derive(Debug)]
struct Sample {
    at: Duration,
    sum: Duration,
    /// The rate up to that look, and over which time it was measured.
    rate: Option<(f64, Duration)>,
}

impl Rates {
    /// Lets go what nobody asked about for long.
    pub(super) fn tidy(&mut self, now: Duration) {
        self.0.retain(|_, sample| now.saturating_sub(sample.at) < KEPT);
    }

    /// Takes in a look at `uid` and returns how much its sum grows in a second, and over which time that was measured;
    /// `None` at the first look. Looks that follow each other faster than `pause` count as one.
    pub(super) fn see(
        &mut self,
        uid: &str,
        sum: Duration,
        now: Duration,
        pause: Duration,
    ) -> Option<(f64, Duration)> {
        let Some(last) = self.0.get_mut(uid).filter(|last| now.saturating_sub(last.at) < KEPT) else {
            self.0.insert(uid.to_owned(), Sample { at: now, sum, rate: None });
            return None;
        };
        let window = now.saturating_sub(last.at);
        if window < pause {
            return last.rate;
        }
        // The process of before may be another one.
        let grown = sum.saturating_sub(last.sum);
        let rate = (grown.as_secs_f64() / window.as_secs_f64(), window);
        *last = Sample { at: now, sum, rate: Some(rate) };
        Some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_rate_is_what_grew_between_two_looks() {
        let mut rates = Rates::default();
        let mut see = |uid: &str, sum: u64, now: u64| rates.see(uid, seconds(sum), seconds(now), seconds(2));
        assert_eq!(see("a", 100, 10), None);
        assert_eq!(see("a", 101, 11), None, "that was too soon");
        assert_eq!(see("a", 105, 20), Some((0.5, seconds(10))));
        assert_eq!(see("b", 7, 20), None);
        assert_eq!(see("a", 109, 21), Some((0.5, seconds(10))), "the same look");
        assert_eq!(see("a", 0, 30), Some((0.0, seconds(10))), "another process began anew");
        assert_eq!(see("a", 0, 700), None, "what is long ago tells nothing");
        rates.tidy(seconds(800));
        assert_eq!(rates.0.keys().collect::<Vec<_>>(), ["a"], "nobody asked for b");
    }
}
