//! Times as the API keeps them: whole seconds.

use std::time::Duration;

use jiff::Timestamp;

/// Cuts `time` to whole seconds, as every time in an object is.
pub fn stamp(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Returns the time from `earlier` to `later`, zero if that is negative.
pub fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

/// How far ahead of ours the clock of somebody who wrote a time may be.
const SKEW: Duration = Duration::from_secs(60);

/// Returns what is left of `span` since `start`, if anything. Nothing is when `start` is yet to come: the clock was set back
/// meanwhile, and what waits for it to catch up might wait for hours.
pub fn left(start: Timestamp, span: Duration, now: Timestamp) -> Option<Duration> {
    let is_set_back = between(now, start) > SKEW;
    span.checked_sub(between(start, now)).filter(|left| !left.is_zero() && !is_set_back)
}

/// Returns how long it is until `at`, if at all: a wait that was made to be at most `longest` and is longer tells that the
/// clock was set back meanwhile, and is over.
pub fn until(at: Timestamp, longest: Duration, now: Timestamp) -> Option<Duration> {
    Some(between(now, at)).filter(|wait| !wait.is_zero() && *wait <= longest.saturating_add(SKEW))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_is_prolonged_by_a_clock_that_is_set_back() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let span = Duration::from_secs(300);
        for (now, expected) in
            [(7000, Some(300)), (7100, Some(200)), (7300, None), (6990, Some(300)), (3400, None)]
        {
            assert_eq!(left(at(7000), span, at(now)).map(|left| left.as_secs()), expected, "left at {now}");
        }
        for (now, expected) in [(7000, Some(300)), (7300, None), (3700, None), (6950, Some(350))] {
            assert_eq!(until(at(7300), span, at(now)).map(|left| left.as_secs()), expected, "until at {now}");
        }
    }
}
