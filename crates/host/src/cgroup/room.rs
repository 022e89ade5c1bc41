//! Memory that is still to be had: of the machine, and of the control groups that this process is in.

use std::path::{Path, PathBuf};

use super::want::NO_LIMIT;
use super::{mounts, shown};
use crate::Root;

/// Returns the bytes of memory that somebody who starts now can have; `None` where the kernel does not tell.
///
/// What files were read from memory and lie idle counts as free, as it does for Kubernetes' agent: the kernel drops it
/// when it needs room.
pub fn available(root: &Root) -> Option<u64> {
    let memberships = root.read("/proc/self/cgroup").unwrap_or_default();
    let mountinfo = root.read("/proc/self/mountinfo").unwrap_or_default();
    let groups = groups(&mountinfo, &memberships).into_iter().filter_map(|group| group.available(root));
    let meminfo = root.read("/proc/meminfo").ok()?;
    let line = |name: &str| number_after(&meminfo, name).map(|kib| kib.saturating_mul(1024));
    let machine = line("MemFree:")?.saturating_add(line("Inactive(file):").unwrap_or(0));
    Some(groups.fold(machine, u64::min))
}

/// A control group that counts memory.
struct Counted {
    directory: PathBuf,
    limit: &'static str,
    usage: &'static str,
    idle: &'static str,
}

impl Counted {
    fn available(&self, root: &Root) -> Option<u64> {
        let number = |file: &str| root.read(self.directory.join(file)).ok()?.trim().parse::<u64>().ok();
        let limit = number(self.limit).filter(|limit| *limit < NO_LIMIT)?;
        let idle = root.read(self.directory.join("memory.stat")).ok();
        let idle = idle.and_then(|text| number_after(&text, self.idle)).unwrap_or(0);
        Some(limit.saturating_sub(number(self.usage)?.saturating_sub(idle)))
    }
}

/// Lists the groups that this process is in, from its own to the highest that can be seen.
fn groups(mountinfo: &str, memberships: &str) -> Vec<Counted> {
    let has_memory = |names: &str| names.split(',').any(|name| name == "memory");
    let mut found = Vec::new();
    for line in memberships.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(directory)) = (parts.next(), parts.next()) else { continue };
        let unified = controllers.is_empty();
        if !unified && !has_memory(controllers) {
            continue;
        }
        let fits = |kind: &str, options: &str| {
            if unified { kind == "cgroup2" } else { kind == "cgroup" && has_memory(options) }
        };
        let Some(mount) = mounts(mountinfo).find(|mount| fits(mount.kind, mount.options)) else { continue };
        let (limit, usage, idle) = if unified {
            ("memory.max", "memory.current", "inactive_file ")
        } else {
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
        };
        let own = shown(&mount, directory);
        let up = own.ancestors().take_while(|path| path.starts_with(Path::new(mount.point)));
        found.extend(up.map(|path| Counted { directory: path.to_owned(), limit, usage, idle }));
    }
    found
}

/// Reads the number in the line that begins with `name`.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal: 8000 kB\nMemFree: 3000 kB\nInactive(file): 1000 kB\n";

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = Root::at(directory.path());
        for (path, text) in files {
            let path = root.path(path);
            std::fs::create_dir_all(path.parent().expect("it is in a directory")).expect("a directory");
            std::fs::write(path, text).expect("a file");
        }
        (directory, root)
    }

    #[test]
    fn the_tightest_counts() {
        let (_guard, root) = host(&[]);
        assert_eq!(available(&root), None);
        let (_guard, root) = host(&[("/proc/meminfo", MEMINFO)]);
        assert_eq!(available(&root), Some(4000 << 10));
        for (mount, membership, names) in [
            (
                "31 30 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
                "4:memory:/agent/pod\n0::/\n",
                [
                    "memory/agent/memory.limit_in_bytes",
                    "memory/agent/memory.usage_in_bytes",
                    "memory/agent/memory.stat",
                ],
            ),
            (
                "33 30 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
                "0::/agent/pod\n",
                ["agent/memory.max", "agent/memory.current", "agent/memory.stat"],
            ),
        ] {
            let [limit, usage, stat] = names.map(|name| format!("/sys/fs/cgroup/{name}"));
            let (_guard, root) = host(&[
                ("/proc/meminfo", MEMINFO),
                ("/proc/self/mountinfo", mount),
                ("/proc/self/cgroup", membership),
                (&limit, "1000000\n"),
                (&usage, "900000\n"),
                (&stat, "cache 1\ninactive_file 50000\ntotal_inactive_file 50000\n"),
            ]);
            assert_eq!(available(&root), Some(150_000), "{mount}");
            std::fs::write(root.path(&limit), "max\n").expect("a file");
            assert_eq!(available(&root), Some(4000 << 10), "{mount}");
        }
    }
}
