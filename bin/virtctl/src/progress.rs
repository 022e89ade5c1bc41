//! A line that shows how far a transfer is, on a terminal.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::fleet::bytes;

/// Between two pictures.
const PAUSE: Duration = Duration::from_millis(200);

/// Length of the bar.
const LENGTH: usize = 30;

/// A transfer. All clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    title: &'static str,
    total: Option<u64>,
    done: Arc<AtomicU64>,
    begun: Instant,
    /// Milliseconds after the beginning when it was drawn last.
    drawn: Arc<AtomicU64>,
    shown: bool,
}

impl Progress {
    /// Begins a transfer of `total` bytes, where that is known.
    pub(crate) fn new(title: &'static str, total: Option<u64>) -> Self {
        Self {
            title,
            total,
            done: Arc::default(),
            begun: Instant::now(),
            drawn: Arc::default(),
            shown: stderr().is_terminal(),
        }
    }

    /// Counts bytes that are through.
    pub(crate) fn add(&self, more: usize) {
        let done = self.done.fetch_add(more as u64, Ordering::Relaxed) + more as u64;
        let elapsed = self.begun.elapsed();
        let now = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let due = now.saturating_sub(self.drawn.load(Ordering::Relaxed)) >= PAUSE.as_millis() as u64;
        if self.shown && due {
            self.drawn.store(now, Ordering::Relaxed);
            draw(&line(self.title, done, self.total, elapsed), "");
        }
    }

    /// Begins anew.
    pub(crate) fn reset(&self) {
        self.done.store(0, Ordering::Relaxed);
    }

    /// Draws the end.
    pub(crate) fn finish(&self) {
        if self.shown {
            let done = self.done.load(Ordering::Relaxed);
            draw(&line(self.title, done, self.total, self.begun.elapsed()), "\n");
        }
    }
}

/// Writes over the line that was there. Nobody is told that nobody looks.
fn draw(line: &str, end: &str) {
    drop(write!(stderr(), "\r\x1b[K{line}{end}").and_then(|()| stderr().flush()));
}

fn line(title: &str, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let speed = match elapsed.as_secs_f64() {
        seconds if seconds > 0.0 => bytes((done as f64 / seconds) as u64),
        _ => "0".to_owned(),
    };
    match total.filter(|total| *total > 0) {
        None => format!("{title} {}B  {speed}B/s", bytes(done)),
        Some(total) => {
            let share = (done as f64 / total as f64).min(1.0);
            let full = (share * LENGTH as f64) as usize;
            let bar = format!("{}{}", "=".repeat(full), "_".repeat(LENGTH - full));
            format!(
                "{title} [{bar}] {:.0}%  {}B of {}B  {speed}B/s",
                share * 100.0,
                bytes(done),
                bytes(total)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_grows_with_what_is_through() {
        let second = Duration::from_secs(1);
        assert_eq!(
            line("Uploading", 1 << 20, Some(4 << 20), second),
            "Uploading [=======_______________________] 25%  1MiB of 4MiB  1MiB/s"
        );
        assert!(line("Uploading", 4 << 20, Some(4 << 20), second).contains("=] 100%"));
        assert_eq!(line("Downloading", 512, None, 2 * second), "Downloading 512B  256B/s");
        assert_eq!(line("Downloading", 0, Some(0), Duration::ZERO), "Downloading 0B  0B/s");
    }
}
