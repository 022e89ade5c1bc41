//! Memory that processes hold and time that they take, as the kernel counts them.

use std::path::Path;
use std::time::Duration;

/// Clock ticks in a second, in which the kernel tells times to programs on every architecture that this one runs on.
const TICKS: u64 = 100;

/// Returns the memory of a process and everything below it, in KiB; what several share is counted once, in parts. `None`
/// when the process is gone.
pub(crate) fn of(pid: i32) -> Option<u64> {
    Some(proportional(pid)? + children(pid).into_iter().filter_map(of).sum::<u64>())
}

/// Returns the time that processors have spent on a process and everything below it, ended children included. `None` when the
/// process is gone.
pub(crate) fn processor_time(pid: i32) -> Option<Duration> {
    let own = ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    let own = Duration::from_millis(own.saturating_mul(1000 / TICKS));
    Some(own + children(pid).into_iter().filter_map(processor_time).sum::<Duration>())
}

/// Adds up the times in a process's `stat`: its own and those of children that it has buried, in programs and in the kernel.
fn ticks(stat: &str) -> Option<u64> {
    // The name may have blanks and brackets in it.
    let (_, rest) = stat.rsplit_once(')')?;
    let times = rest.split_whitespace().skip(11).take(4);
    times.map(|time| time.parse::<u64>().ok()).sum()
}

fn children(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    children
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Returns the resident memory of one process in KiB.
pub(super) fn of_one(pid: u32) -> Option<u64> {
    field(Path::new(&format!("/proc/{pid}/status")), "VmRSS:")
}

/// The share of one process. Processes of other users do not tell it; then the resident memory has to do.
fn proportional(pid: i32) -> Option<u64> {
    field(Path::new(&format!("/proc/{pid}/smaps_rollup")), "Pss:")
        .or_else(|| of_one(u32::try_from(pid).ok()?))
}

fn field(file: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_holds_memory_and_one_that_is_gone_does_not() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(super::of(own).is_some_and(|kib| kib > 100));
        assert_eq!(super::of(i32::MAX), None);
    }

    #[test]
    fn times_are_added_up_behind_the_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 1 0 5 6 7";
        assert_eq!(super::ticks(stat), Some(110));
        assert_eq!(super::ticks("7 (a"), None);
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(super::processor_time(own).is_some());
        assert_eq!(super::processor_time(i32::MAX), None);
    }
}
