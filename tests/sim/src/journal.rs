//! Every request of a run, in order.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The journal. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Mutex<Pages>>);

#[derive(Debug)]
struct Pages {
    begin: Instant,
    lines: Vec<String>,
}

impl Default for Journal {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Pages { begin: Instant::now(), lines: Vec::new() })))
    }
}

impl Journal {
    /// Writes a line with the virtual time in front.
    pub fn write(&self, who: &str, what: &str) {
        let mut pages = self.0.lock();
        let elapsed = pages.begin.elapsed();
        pages.lines.push(format!("{:>6}.{:03} {who:<12} {what}", elapsed.as_secs(), elapsed.subsec_millis()));
    }

    /// Returns all lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().lines.clone()
    }
}
