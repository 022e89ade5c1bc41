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

/// Returns what is left of `span` since `start`, if anything.
pub fn left(start: Timestamp, span: Duration, now: Timestamp) -> Option<Duration> {
    span.checked_sub(between(start, now)).filter(|left| !left.is_zero())
}
