//! Whether the kernel killed somebody in a control group for want of memory, and what the group was allowed.

use std::path::Path;

use super::{Group, mounts, shown};
use crate::Root;

/// What the kernel says of the memory of a process's control group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// Processes of the group that were killed for want of memory, the group's or the machine's.
    pub kills: u64,
    /// Bytes that the group may use; `None` without a limit.
    pub limit: Option<u64>,
    /// Most bytes that it ever used, where the kernel tells.
    pub peak: Option<u64>,
}

/// More than any machine has: how version 1 says that there is no limit.
pub(super) const NO_LIMIT: u64 = 1 << 60;

impl Want {
    /// Reads it for the group that the process `pid` is in; `None` where the group's memory is not counted.
    pub fn of(root: &Root, pid: u32) -> Option<Self> {
        let memberships = root.read(format!("/proc/{pid}/cgroup")).ok()?;
        let mountinfo = root.read("/proc/self/mountinfo").ok()?;
        Self::version_1(root, &mountinfo, &memberships)
            .or_else(|| Self::version_2(root, &mountinfo, &memberships))
    }

    /// Reads it for a group, also when nobody is left in it; `None` where the group's memory is not counted.
    pub fn of_group(group: &Group) -> Option<Self> {
        let root = Root::default();
        group.directories().iter().find_map(|at| Self::old(&root, at).or_else(|| Self::unified(&root, at)))
    }

    fn version_1(root: &Root, mountinfo: &str, memberships: &str) -> Option<Self> {
        let has_memory = |names: &str| names.split(',').any(|name| name == "memory");
        let directory = memberships.lines().find_map(|line| {
            let (controllers, directory) = line.split_once(':')?.1.split_once(':')?;
            has_memory(controllers).then_some(directory)
        })?;
        let mount = mounts(mountinfo).find(|mount| mount.kind == "cgroup" && has_memory(mount.options))?;
        Self::old(root, &shown(&mount, directory))
    }

    fn version_2(root: &Root, mountinfo: &str, memberships: &str) -> Option<Self> {
        let directory = memberships.lines().find_map(|line| line.strip_prefix("0::"))?;
        let mount = mounts(mountinfo).find(|mount| mount.kind == "cgroup2")?;
        Self::unified(root, &shown(&mount, directory))
    }

    /// Reads a group of version 1.
    fn old(root: &Root, at: &Path) -> Option<Self> {
        let number = |file: &str| root.read(at.join(file)).ok()?.trim().parse::<u64>().ok();
        Some(Self {
            kills: counted(&root.read(at.join("memory.oom_control")).ok()?),
            limit: number("memory.limit_in_bytes").filter(|bytes| *bytes < NO_LIMIT),
            peak: number("memory.max_usage_in_bytes"),
        })
    }

    /// Reads a group of version 2.
    fn unified(root: &Root, at: &Path) -> Option<Self> {
        let number = |file: &str| root.read(at.join(file)).ok()?.trim().parse::<u64>().ok();
        Some(Self {
            kills: counted(&root.read(at.join("memory.events")).ok()?),
            // `max`, which is no number, is no limit.
            limit: number("memory.max"),
            peak: number("memory.peak"),
        })
    }
}

/// Reads the line `oom_kill N`.
fn counted(text: &str) -> u64 {
    let found = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(mount: &str, membership: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = Root::at(directory.path());
        let all = [("/proc/self/mountinfo", mount), ("/proc/7/cgroup", membership)];
        for (path, text) in all.iter().chain(files) {
            let path = root.path(path);
            std::fs::create_dir_all(path.parent().expect("it is in a directory")).expect("a directory");
            std::fs::write(path, text).expect("a file");
        }
        (directory, root)
    }

    #[test]
    fn both_versions_tell_of_kills_limit_and_peak() {
        let (_guard, root) = host(
            "31 30 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            "4:memory:/agent/pod\n0::/\n",
            &[
                (
                    "/sys/fs/cgroup/memory/agent/pod/memory.oom_control",
                    "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
                ),
                ("/sys/fs/cgroup/memory/agent/pod/memory.limit_in_bytes", "67108864\n"),
                ("/sys/fs/cgroup/memory/agent/pod/memory.max_usage_in_bytes", "67000000\n"),
            ],
        );
        let told = Want { kills: 2, limit: Some(64 << 20), peak: Some(67_000_000) };
        assert_eq!(Want::of(&root, 7), Some(told));
        assert_eq!(Want::of(&root, 8), None);

        let (_guard, root) = host(
            "33 30 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "0::/agent/pod\n",
            &[
                ("/sys/fs/cgroup/agent/pod/memory.events", "low 0\noom 1\noom_kill 1\noom_group_kill 0\n"),
                ("/sys/fs/cgroup/agent/pod/memory.max", "max\n"),
            ],
        );
        assert_eq!(Want::of(&root, 7), Some(Want { kills: 1, limit: None, peak: None }));
    }

    #[test]
    fn a_huge_number_is_no_limit() {
        let (_guard, root) = host(
            "31 30 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            "4:memory:/\n",
            &[
                ("/sys/fs/cgroup/memory/memory.oom_control", "oom_kill 0\n"),
                ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ],
        );
        assert_eq!(Want::of(&root, 7), Some(Want::default()));
    }
}
