//! What makes a program differ from a function: time and randomness, as traits.
//!
//! Parts receive these instead of asking the system, so that a simulation can replay them from one seed.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};

/// Tells the time and waits.
#[async_trait::async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Returns the current wall-clock time: for what is shown to people and kept in objects. Somebody may set it, ahead or
    /// back, at any moment.
    fn now(&self) -> Timestamp;
    /// Returns the time since some moment before now, the same for the whole process. It only grows, at the pace of
    /// [`Clock::sleep`], whatever the wall clock is set to: what waits or grows old is measured by it.
    fn elapsed(&self) -> Duration;
    /// Waits for `duration`.
    async fn sleep(&self, duration: Duration);
}

/// Gives random bytes.
pub trait Entropy: Send + Sync + std::fmt::Debug {
    /// Fills `bytes` with random data.
    fn fill(&self, bytes: &mut [u8]);

    /// Returns a random (version 4) UUID in its hyphenated form.
    fn uuid(&self) -> String {
        let mut b = [0u8; 16];
        self.fill(&mut b);
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        let hex = format!("{:032x}", u128::from_be_bytes(b));
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// Returns `length` characters of the alphabet that Kubernetes uses for generated names: no vowels, and
    /// no characters that are easily confused.
    fn suffix(&self, length: usize) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut bytes = vec![0u8; length];
        self.fill(&mut bytes);
        bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
    }
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait::async_trait]
impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGINNING.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// A clock that starts at a given instant and follows tokio's clock, which tests pause and advance. All clones are the
/// same clock.
#[derive(Clone, Debug)]
pub struct VirtualClock {
    start: Timestamp,
    origin: tokio::time::Instant,
    set_by: Arc<Mutex<SignedDuration>>,
}

impl VirtualClock {
    /// Starts a clock that shows `start` now. Must be called inside a tokio runtime.
    pub fn new(start: Timestamp) -> Self {
        Self { start, origin: tokio::time::Instant::now(), set_by: Arc::default() }
    }

    /// Sets the wall clock ahead, or back for a negative `span`, as a person or a time server would. Waits go on as they
    /// were.
    pub fn set_ahead(&self, span: SignedDuration) {
        let mut set_by = self.set_by.lock().unwrap_or_else(PoisonError::into_inner);
        *set_by = set_by.saturating_add(span);
    }
}

#[async_trait::async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let set_by = *self.set_by.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = self.start.checked_add(self.origin.elapsed());
        shown.and_then(|shown| shown.checked_add(set_by)).unwrap_or(self.start)
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Randomness of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // The kernel's generator does not fail once it is seeded, which it is long before user space runs.
        getrandom::fill(bytes).expect("the kernel's random number generator answers");
    }
}

/// Randomness that one seed determines.
#[derive(Clone, Debug)]
pub struct SeededEntropy(Arc<Mutex<ChaCha12Rng>>);

impl SeededEntropy {
    /// Starts the sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(ChaCha12Rng::seed_from_u64(seed))))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_is_set_changes_no_wait() {
        let clock = VirtualClock::new(Timestamp::UNIX_EPOCH);
        let other = clock.clone();
        clock.sleep(Duration::from_secs(5)).await;
        clock.set_ahead(SignedDuration::from_hours(2));
        other.set_ahead(SignedDuration::from_hours(-1));
        assert_eq!((other.now().as_second(), other.elapsed().as_secs()), (3605, 5));
    }

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let (a, b) = (SeededEntropy::new(7), SeededEntropy::new(7));
        assert_eq!((a.uuid(), a.suffix(5)), (b.uuid(), b.suffix(5)));
        assert_ne!(a.uuid(), SeededEntropy::new(8).uuid());
    }

    #[test]
    fn uuids_are_version_4() {
        let uuid = SystemEntropy.uuid();
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
    }
}
