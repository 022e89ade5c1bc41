//! What long-running commands tell while they work: one JSON object a line, on standard error.

use serde_json::json;

/// Tells of something that goes well.
pub(crate) fn info(component: &str, message: &str) {
    write(component, "info", message);
}

/// Tells of something that failed while the rest goes on.
pub(crate) fn error(component: &str, message: &str) {
    write(component, "error", message);
}

fn write(component: &str, level: &str, message: &str) {
    eprintln!("{}", json!({"component": component, "level": level, "msg": message}));
}
