//! What the kernel says of processes.

use std::path::Path;

/// Returns every process whose command line satisfies `wanted`, with that line.
pub(crate) fn find(wanted: impl Fn(&str) -> bool) -> Vec<(u32, String)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let raw = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&raw).replace('\0', " ");
            wanted(&line).then_some((pid, line))
        })
        .collect()
}

/// Returns the proportional set size of a process in MiB.
pub(crate) fn pss_mib(pid: u32) -> Option<f64> {
    kib(Path::new(&format!("/proc/{pid}/smaps_rollup")), "Pss:").map(|kib| kib / 1024.0)
}

/// Returns the resident set size of a process in MiB.
pub(crate) fn rss_mib(pid: u32) -> Option<f64> {
    kib(Path::new(&format!("/proc/{pid}/status")), "VmRSS:").map(|kib| kib / 1024.0)
}

/// Returns when a process was started, in seconds since the machine's start (resolution: 10 ms).
pub(crate) fn started_at(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may hold spaces; field 22 counts from behind it.
    let ticks: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// Returns the processor time that a process has used, in seconds (resolution: 10 ms).
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Fields 14 and 15: in user mode and in the kernel.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
    let ticks: f64 = fields.filter_map(|field| field.parse::<f64>().ok()).sum();
    Some(ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// Returns seconds since the machine's start.
pub(crate) fn now() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn kib(path: &Path, field: &str) -> Option<f64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
