//! Memory that processes hold, as the kernel counts it.

use std::path::Path;

/// Returns the memory of a process and everything below it, in KiB; what several share is counted once, in parts. `None`
/// when the process is gone.
pub(super) fn of(pid: i32) -> Option<u64> {
    let own = proportional(pid)?;
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<i32> = children
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    Some(own + children.into_iter().filter_map(of).sum::<u64>())
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
}
