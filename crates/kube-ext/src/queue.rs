//! A queue of keys to look at: each key once, not twice at the same time, later if asked, slower after failures.
//!
//! ```text
//!   add ----------> ready --next--> in work --done--> (gone)
//!   add_after --> waiting --due--^     | added again meanwhile
//!   retry -----------^                 +--done--> ready
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use effects::Clock;
use futures::future::{Either, select};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Key;

/// How long a key waits after failures in a row: `first`, doubled each time, at most `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Wait after the first failure.
    pub first: Duration,
    /// Longest wait.
    pub limit: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(50), limit: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// Returns the wait after `failures` (one or more) failures.
    pub fn after(&self, failures: u32) -> Duration {
        let factor = 2u32.checked_pow(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.checked_mul(factor).unwrap_or(self.limit).min(self.limit)
    }
}

/// A work queue. Cheap to clone; all clones are the same queue.
pub struct Queue<T = Key> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    wake: Notify,
    clock: Arc<dyn Clock>,
    backoff: Backoff,
}

struct State<T> {
    ready: VecDeque<T>,
    /// What is in `ready`, or was added while in work.
    wanted: BTreeSet<T>,
    in_work: BTreeSet<T>,
    /// When to add, by [`Clock::elapsed`], in order; the number keeps entries of the same instant apart and in order.
    waiting: BTreeMap<(Duration, u64), T>,
    /// The one entry in `waiting` per key.
    due: BTreeMap<T, (Duration, u64)>,
    failures: BTreeMap<T, u32>,
    sequence: u64,
}

impl<T: Ord + Clone + Debug> Queue<T> {
    /// Creates an empty queue with the usual back-off.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_backoff(clock, Backoff::default())
    }

    /// Creates an empty queue with its own back-off.
    pub fn with_backoff(clock: Arc<dyn Clock>, backoff: Backoff) -> Self {
        let state = State {
            ready: VecDeque::new(),
            wanted: BTreeSet::new(),
            in_work: BTreeSet::new(),
            waiting: BTreeMap::new(),
            due: BTreeMap::new(),
            failures: BTreeMap::new(),
            sequence: 0,
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), wake: Notify::new(), clock, backoff }) }
    }

    /// Asks for a look at `key` now. A key that is asked for already stays where it is.
    pub fn add(&self, key: T) {
        self.shared.state.lock().add(key);
        self.shared.wake.notify_one();
    }

    /// Asks for a look at `key` after `delay`. Of several waits for one key the earliest counts.
    pub fn add_after(&self, key: T, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let now = self.shared.clock.elapsed();
        self.shared.state.lock().add_at(key, now.saturating_add(delay));
        self.shared.wake.notify_one();
    }

    /// Asks for another look at `key` after a failure; returns the wait, which grows with failures in a row.
    pub fn retry(&self, key: T) -> Duration {
        let failures = {
            let mut state = self.shared.state.lock();
            let failures = state.failures.entry(key.clone()).or_default();
            *failures = failures.saturating_add(1);
            *failures
        };
        let delay = self.shared.backoff.after(failures);
        self.add_after(key, delay);
        delay
    }

    /// Forgets the failures of `key`.
    pub fn succeeded(&self, key: &T) {
        self.shared.state.lock().failures.remove(key);
    }

    /// Ends the work on `key`; if it was added meanwhile, it is ready again.
    pub fn done(&self, key: &T) {
        self.shared.state.lock().done(key);
        self.shared.wake.notify_one();
    }

    /// Waits for the next key. It counts as in work until [`Queue::done`], and is given to nobody else.
    pub async fn next(&self) -> T {
        loop {
            let notified = self.shared.wake.notified();
            let due = {
                let mut state = self.shared.state.lock();
                let now = self.shared.clock.elapsed();
                state.promote(now);
                if let Some(key) = state.take() {
                    if !state.ready.is_empty() {
                        self.shared.wake.notify_one();
                    }
                    return key;
                }
                state.waiting.keys().next().map(|(at, _)| until(now, *at))
            };
            match due {
                None => notified.await,
                Some(delay) => match select(pin!(notified), pin!(self.shared.clock.sleep(delay))).await {
                    Either::Left(_) | Either::Right(_) => {}
                },
            }
        }
    }

    /// Returns how many keys are ready, waiting and in work.
    pub fn len(&self) -> (usize, usize, usize) {
        let state = self.shared.state.lock();
        (state.ready.len(), state.waiting.len(), state.in_work.len())
    }

    /// Tells whether nothing is ready, waiting or in work.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0, 0)
    }
}

impl<T: Ord + Clone> State<T> {
    fn add(&mut self, key: T) {
        if let Some(at) = self.due.remove(&key) {
            self.waiting.remove(&at);
        }
        if self.wanted.insert(key.clone()) && !self.in_work.contains(&key) {
            self.ready.push_back(key);
        }
    }

    fn add_at(&mut self, key: T, at: Duration) {
        if self.wanted.contains(&key) && !self.in_work.contains(&key) {
            return;
        }
        match self.due.get(&key) {
            Some((earlier, _)) if *earlier <= at => return,
            Some(later) => {
                let later = *later;
                self.waiting.remove(&later);
            }
            None => {}
        }
        self.sequence += 1;
        self.waiting.insert((at, self.sequence), key.clone());
        self.due.insert(key, (at, self.sequence));
    }

    fn promote(&mut self, now: Duration) {
        while let Some(entry) = self.waiting.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let key = entry.remove();
            self.add(key);
        }
    }

    fn take(&mut self) -> Option<T> {
        let key = self.ready.pop_front()?;
        self.wanted.remove(&key);
        self.in_work.insert(key.clone());
        Some(key)
    }

    fn done(&mut self, key: &T) {
        self.in_work.remove(key);
        if self.wanted.contains(key) {
            self.ready.push_back(key.clone());
        }
    }
}

/// Rounded up to whole milliseconds, the resolution of timers: waking a little early would spin.
fn until(now: Duration, at: Duration) -> Duration {
    Duration::from_millis(at.saturating_sub(now).as_millis() as u64 + 1)
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Debug for Queue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.shared.state.lock();
        f.debug_struct("Queue")
            .field("ready", &state.ready.len())
            .field("waiting", &state.waiting.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use effects::VirtualClock;
    use jiff::{SignedDuration, Timestamp};

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_is_set_neither_shortens_nor_prolongs_a_wait() {
        for hours in [1, -1] {
            let clock = VirtualClock::new(Timestamp::UNIX_EPOCH);
            let queue = Queue::new(Arc::new(clock.clone()));
            let start = tokio::time::Instant::now();
            queue.add_after("a", Duration::from_secs(10));
            clock.set_ahead(SignedDuration::from_hours(hours));
            assert_eq!(queue.next().await, "a");
            assert_eq!(start.elapsed().as_secs(), 10, "set by {hours} h");
        }
    }

    fn queue() -> Queue<&'static str> {
        Queue::new(Arc::new(VirtualClock::new(Timestamp::UNIX_EPOCH)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_given_once_and_again_when_added_in_work() {
        let queue = queue();
        queue.add("a");
        queue.add("a");
        queue.add("b");
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        assert_eq!(queue.next().await, "b");
        assert_eq!(queue.len(), (0, 0, 2), "a is in work, so it is not given again");
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_wait_counts() {
        let queue = queue();
        let start = tokio::time::Instant::now();
        queue.add_after("a", Duration::from_secs(10));
        queue.add_after("a", Duration::from_secs(2));
        queue.add_after("a", Duration::from_secs(5));
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed().as_secs(), 2);
        queue.done(&"a");
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_with_failures_in_a_row() {
        let queue = queue();
        let mut waits = Vec::new();
        for _ in 0..3 {
            waits.push(queue.retry("a").as_millis());
            assert_eq!(queue.next().await, "a");
            queue.done(&"a");
        }
        assert_eq!(waits, [50, 100, 200]);
        queue.succeeded(&"a");
        assert_eq!(queue.retry("a").as_millis(), 50);
    }

    #[test]
    fn backoff_is_capped() {
        assert_eq!(Backoff::default().after(100), Duration::from_secs(60));
    }
}
