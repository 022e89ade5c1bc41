//! The orderly end of a whole node: every Pod is asked to end, and gets some time.

use std::time::{Duration, Instant};

use host::process::Process;

use crate::KubeletConfig;
use crate::record::Record;

/// Asks every Pod of a kubelet that does not run (any more) to end, and waits for them together, at most `grace`.
///
/// Returns how many there were. What is left over is for [`end_everything`](super::end_everything).
///
/// # Errors
/// When a process cannot be signalled.
pub fn stop_everything(config: &KubeletConfig, grace: Duration) -> Result<usize, host::process::Error> {
    let records = Record::all(&config.pods()).into_iter().filter_map(|(_, record)| record?.process);
    let running: Vec<Process> = records.filter_map(|process| process.open().ok().flatten()).collect();
    for process in running.iter().filter(|_| !grace.is_zero()) {
        process.terminate()?;
    }
    let deadline = Instant::now() + grace;
    for process in &running {
        process.wait(deadline.saturating_duration_since(Instant::now()));
    }
    Ok(running.len())
}
