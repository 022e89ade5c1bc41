//! What long-running commands tell while they work: one JSON object a line, on standard error.

use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::json;

/// Level from which on something is told that goes well.
const INFO: u8 = 2;

/// Level from which on the steps of it are told.
const DETAIL: u8 = 3;

/// What the user wants to know, by `-v`.
static VERBOSITY: AtomicU8 = AtomicU8::new(INFO);

/// Sets how much is told.
pub(crate) fn set_verbosity(level: u8) {
    VERBOSITY.store(level, Ordering::Relaxed);
}

/// Tells of something that goes well.
pub(crate) fn info(component: &str, message: &str) {
    from(INFO, component, message);
}

/// Tells of a step.
pub(crate) fn detail(component: &str, message: &str) {
    from(DETAIL, component, message);
}

/// Tells of something that failed while the rest goes on.
pub(crate) fn error(component: &str, message: &str) {
    write(component, "error", message);
}

fn from(level: u8, component: &str, message: &str) {
    if VERBOSITY.load(Ordering::Relaxed) >= level {
        write(component, "info", message);
    }
}

fn write(component: &str, level: &str, message: &str) {
    eprintln!("{}", json!({"component": component, "level": level, "msg": message}));
}
