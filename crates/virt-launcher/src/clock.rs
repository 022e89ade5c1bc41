//! The wall clock, for what is shown to people and other programs. Deadlines use the monotonic one.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns milliseconds since the epoch.
#[allow(
    clippy::disallowed_methods,
    reason = "a launcher supervises a real process; nothing of it is replayed"
)]
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
