//! A number that many wait on.
//!
//! Waiters are woken in the order in which they began to wait. tokio's `watch` spreads them over shards at random,
//! which a simulation that replays one seed could not reproduce.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// The number, and how often it was set.
#[derive(Debug)]
pub(super) struct Signal {
    value: AtomicU64,
    version: AtomicU64,
    set: Notify,
}

impl Signal {
    pub(super) fn new(value: u64) -> Self {
        Self { value: AtomicU64::new(value), version: AtomicU64::new(0), set: Notify::new() }
    }

    /// Returns the number.
    pub(super) fn get(&self) -> u64 {
        self.value.load(Ordering::Acquire)
    }

    /// Sets the number and wakes everyone, also when it is what it was.
    pub(super) fn set(&self, value: u64) {
        self.value.store(value, Ordering::Release);
        self.version.fetch_add(1, Ordering::AcqRel);
        self.set.notify_waiters();
    }

    /// Returns how often the number was set.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Waits until the number was set more often than `seen` times. Cancelling loses nothing.
    pub(super) async fn beyond(&self, seen: u64) {
        loop {
            let mut set = std::pin::pin!(self.set.notified());
            // From here on a `set` is not missed; what came before shows in the version.
            set.as_mut().enable();
            if self.version() != seen {
                return;
            }
            set.await;
        }
    }
}
