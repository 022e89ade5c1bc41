//! Whether a download gets on at all: a server that sends a byte now and then is never silent, and never done.

use std::time::Duration;

/// How long is looked at.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// Bytes that come in that time at least, or the connection is given up for another one.
pub(super) const LEAST: u64 = 64 << 10;

/// The pace of one connection.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Counts a piece for which the server was waited for so long, without the time that the disk took; tells whether too
    /// little came lately.
    pub(super) fn is_slow(&mut self, waited: Duration, bytes: u64) -> bool {
        self.waited += waited;
        self.bytes += bytes;
        if self.waited < WINDOW {
            return false;
        }
        let is_slow = self.bytes < LEAST;
        *self = Self::default();
        is_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drips_are_told_from_streams() {
        let mut drip = Pace::default();
        let found: Vec<bool> = (0..60).map(|_| drip.is_slow(Duration::from_secs(2), 1)).collect();
        assert_eq!(found.iter().filter(|is_slow| **is_slow).count(), 2);
        let mut thin = Pace::default();
        assert!((0..1000).all(|_| !thin.is_slow(Duration::from_secs(1), 2 << 10)));
    }
}
