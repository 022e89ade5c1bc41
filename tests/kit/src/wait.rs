//! Waiting for something to become true, with a deadline and a reason.

use std::time::{Duration, Instant};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks until `condition` holds.
///
/// # Panics
/// After `patience`; the message says what did not happen.
pub fn until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    until_some(what, patience, || condition().then_some(()));
}

/// Looks until `find` finds something, and returns it.
///
/// # Panics
/// After `patience`; the message says what did not happen.
pub fn until_some<T>(what: &str, patience: Duration, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Looks until `find` finds nothing any more.
///
/// # Panics
/// After `patience`; the message lists what is still found.
pub fn until_none(what: &str, patience: Duration, mut find: impl FnMut() -> Vec<String>) {
    let deadline = Instant::now() + patience;
    loop {
        let found = find();
        if found.is_empty() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "waited {patience:?} in vain: {what}; still there:\n  {}",
            found.join("\n  ")
        );
        std::thread::sleep(PAUSE);
    }
}
