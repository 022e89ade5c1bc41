//! When a launcher that died is started again.

use std::time::{Duration, Instant};

/// Longest wait between two launchers.
const LONGEST: Duration = Duration::from_secs(5);
/// First wait; a launcher that lived for long is replaced at once.
const SHORTEST: Duration = Duration::from_millis(100);
/// A launcher that lived this long was not the fault of its start.
const HEALTHY: Duration = Duration::from_secs(10);

/// Waits that double while launchers die young.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    wait: Duration,
}

impl Backoff {
    /// Returns when to start the next launcher, after one that was started at `started` died at `now`.
    pub(super) fn next(&mut self, started: Instant, now: Instant) -> Instant {
        if now.duration_since(started) >= HEALTHY {
            self.wait = Duration::ZERO;
        }
        let at = now + self.wait;
        self.wait = (self.wait * 2).clamp(SHORTEST, LONGEST);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_while_launchers_die_young() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        let waits: Vec<_> = (0..9).map(|_| backoff.next(start, start) - start).collect();
        assert_eq!(waits[..4], [0, 100, 200, 400].map(Duration::from_millis));
        assert_eq!(waits[8], LONGEST);
        assert_eq!(backoff.next(start, start + HEALTHY), start + HEALTHY);
    }
}
