//! What tests look at and do that kill what machines are made of.

use kit::{Installation, Processes};

/// Returns the processes of a machine's Pod, where it has one.
pub fn processes(installation: &Installation, name: &str) -> Option<Processes> {
    Processes::of(installation.get("vmi", "default", name)?["metadata"]["uid"].as_str()?)
}

/// Says whether a machine runs and is ready.
pub fn runs(installation: &Installation, name: &str) -> bool {
    let instance = installation.get("vmi", "default", name).unwrap_or_default();
    let conditions = instance["status"]["conditions"].as_array().cloned().unwrap_or_default();
    instance["status"]["phase"] == "Running"
        && conditions.iter().any(|entry| entry["type"] == "Ready" && entry["status"] == "True")
}

/// Kills a process that may be ending by itself at this very moment.
pub fn end(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Counts the hypervisors of a machine.
pub fn hypervisors(name: &str) -> usize {
    let domain = format!("default_{name}");
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| line.contains("qemu-system") && line.contains(&domain))
        .count()
}
