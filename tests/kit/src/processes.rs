//! The processes of one machine, to end them as an accident would.

use rustix::process::{Pid, Signal, kill_process};

/// Processes of the launcher Pod of one instance, found by the instance's UID.
#[derive(Clone, Debug)]
pub struct Processes {
    shim: i32,
}

impl Processes {
    /// Finds the Pod of the instance `uid`.
    pub fn of(uid: &str) -> Option<Self> {
        let pids = std::fs::read_dir("/proc").ok()?.flatten();
        let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let shim = pids.find(|pid| {
            let line = command_line(*pid);
            line.get(1).is_some_and(|mode| mode == "shim") && line.iter().any(|word| word == uid)
        })?;
        Some(Self { shim })
    }

    /// Returns the Pod's first process.
    pub fn shim(&self) -> i32 {
        self.shim
    }

    /// Returns the process ID of the supervisor.
    pub fn launcher(&self) -> Option<i32> {
        self.child(|line| line.get(1).is_some_and(|mode| mode == "virt-launcher"))
    }

    /// Returns the process ID of the hypervisor.
    pub fn hypervisor(&self) -> Option<i32> {
        self.child(|line| line.first().is_some_and(|program| program.contains("qemu-system")))
    }

    fn child(&self, is_it: impl Fn(&[String]) -> bool) -> Option<i32> {
        let path = format!("/proc/{0}/task/{0}/children", self.shim);
        let children = std::fs::read_to_string(path).ok()?;
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid| is_it(&command_line(*pid)))
    }
}

/// Kills a process with SIGKILL.
///
/// # Panics
/// When it does not exist.
pub fn kill(pid: i32) {
    let pid = Pid::from_raw(pid).expect("a process ID");
    kill_process(pid, Signal::KILL).expect("killing a process");
}

fn command_line(pid: i32) -> Vec<String> {
    let raw = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    raw.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}
