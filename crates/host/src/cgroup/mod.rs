//! Control groups: what each Pod may use, and a handle to end all of it.
//!
//! Both layouts of Linux are supported. In the unified one (version 2) a Pod has one directory; in the old one
//! (version 1) it has one for each controller. A machine that offers neither to this user runs Pods without
//! limits, and says so.

mod room;
mod v1;
mod v2;
mod want;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::room::available;
pub use self::want::Want;
use crate::Root;

/// Why a control group could not be used.
#[derive(Debug, thiserror::Error)]
#[allow(clippy::error_impl_error, reason = "the module has one error; callers write cgroup::Error")]
pub enum Error {
    /// A directory could not be made.
    #[error("cannot make the control group {path}")]
    Create {
        /// Directory.
        path: String,
        /// Cause.
        source: io::Error,
    },
    /// A limit could not be set.
    #[error("cannot write {value} to {path}")]
    Limit {
        /// Control file.
        path: String,
        /// Value.
        value: String,
        /// Cause.
        source: io::Error,
    },
    /// A group still has processes, or cannot be removed.
    #[error("cannot remove the control group {path}")]
    Remove {
        /// Directory.
        path: String,
        /// Cause.
        source: io::Error,
    },
}

/// What a Pod may use. An absent limit is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Thousandths of a processor, at most.
    pub cpu_limit_millis: Option<u64>,
    /// Thousandths of a processor that weigh against other Pods under contention.
    pub cpu_request_millis: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
}

/// Where the Pods of one kubelet have their control groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manager {
    /// Directory of version 2, or one for each controller of version 1; empty when there are none.
    bases: Vec<Base>,
    note: Option<String>,
}

/// The parent directory of the Pods' groups in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Base {
    V1 { controller: String, directory: PathBuf },
    V2 { directory: PathBuf },
}

impl Base {
    fn directory(&self) -> &Path {
        match self {
            Self::V1 { directory, .. } | Self::V2 { directory } => directory,
        }
    }
}

impl Manager {
    /// Looks for control groups that this process may make, under the name `name`, and makes the parents.
    ///
    /// Never fails: without control groups, [`Manager::note`] says why there are none.
    pub fn prepare(root: &Root, name: &str) -> Self {
        let memberships = root.read("/proc/self/cgroup").unwrap_or_default();
        let mounts = root.read("/proc/self/mountinfo").unwrap_or_default();
        match v2::prepare(root, &mounts, &memberships, name) {
            Ok((directory, note)) => return Self { bases: vec![Base::V2 { directory }], note },
            Err(v2::Unusable::Hybrid) => {}
            Err(v2::Unusable::Denied(reason)) => return Self { bases: Vec::new(), note: Some(reason) },
        }
        let (bases, note) = v1::prepare(root, &mounts, &memberships, name);
        Self { bases, note }
    }

    /// Does the same as [`Manager::prepare`], but goes back to the groups that `memory` (a file) tells of, and writes
    /// there which they are: another process may find itself in another group, but Pods must be found again.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remembered(root: &Root, name: &str, memory: &Path) -> io::Result<Self> {
        let known = std::fs::read(memory).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        // After a reboot they are gone, and groups are made anew.
        let known = known.filter(|known| {
            !known.bases.is_empty() && known.bases.iter().all(|base| base.directory().is_dir())
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let manager = Self::prepare(root, name);
        std::fs::write(memory, serde_json::to_vec(&manager)?)?;
        Ok(manager)
    }

    /// Returns what is missing, in one sentence for people.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Names the layout: `v2`, `v1` or `none`.
    pub fn layout(&self) -> &'static str {
        match self.bases.first() {
            Some(Base::V2 { .. }) => "v2",
            Some(Base::V1 { .. }) => "v1",
            None => "none",
        }
    }

    /// Makes the group of `pod` with `limits`. An existing group gets the limits.
    pub fn create(&self, pod: &str, limits: &Limits) -> Result<Group, Error> {
        let group = self.group(pod);
        for (base, directory) in self.bases.iter().zip(&group.directories) {
            std::fs::create_dir_all(directory)
                .map_err(|source| Error::Create { path: directory.display().to_string(), source })?;
            match base {
                Base::V1 { controller, .. } => v1::limit(controller, directory, limits)?,
                Base::V2 { .. } => v2::limit(directory, limits)?,
            }
        }
        Ok(group)
    }

    /// Returns the group of `pod`, whether it exists or not.
    pub fn group(&self, pod: &str) -> Group {
        Group { directories: self.bases.iter().map(|base| base.directory().join(pod)).collect() }
    }

    /// Lists the Pods that have a group.
    pub fn list(&self) -> Vec<String> {
        let mut pods: Vec<String> = self
            .bases
            .iter()
            .filter_map(|base| std::fs::read_dir(base.directory()).ok())
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        pods.sort();
        pods.dedup();
        pods
    }

    /// Removes the parents. Every Pod's group must be gone.
    pub fn remove(&self) -> Result<(), Error> {
        self.bases.iter().try_for_each(|base| remove(base.directory()))
    }
}

/// The control group of one Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    directories: Vec<PathBuf>,
}

impl Group {
    /// Returns the directories whose `cgroup.procs` a process joins.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Kills whatever is inside and removes the group. A group that does not exist is no error.
    ///
    /// Blocks until the processes are gone, two seconds at most.
    pub fn destroy(&self) -> Result<(), Error> {
        for directory in &self.directories {
            kill(directory);
            // A killed process leaves its group a moment later.
            let mut result = remove(directory);
            for _ in 0..200 {
                if result.is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
                kill(directory);
                result = remove(directory);
            }
            result?;
        }
        Ok(())
    }
}

fn kill(directory: &Path) {
    if std::fs::write(directory.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for line in std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default().lines() {
        if let Some(pid) = line.parse().ok().and_then(rustix::process::Pid::from_raw) {
            // It may have ended since.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn remove(directory: &Path) -> Result<(), Error> {
    match std::fs::remove_dir(directory) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Remove { path: directory.display().to_string(), source })
        }
        _ => Ok(()),
    }
}

/// Writes one control file.
fn write(directory: &Path, file: &str, value: impl ToString) -> Result<(), Error> {
    let (path, value) = (directory.join(file), value.to_string());
    std::fs::write(&path, &value).map_err(|source| Error::Limit {
        path: path.display().to_string(),
        value,
        source,
    })
}

/// One line of `mountinfo` that is about control groups.
struct Mount<'a> {
    /// Directory of the hierarchy that is mounted.
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

fn mounts(mountinfo: &str) -> impl Iterator<Item = Mount<'_>> {
    mountinfo.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let mut right = right.split(' ');
        let mount =
            Mount { root: left.next()?, point: left.next()?, kind: right.next()?, options: right.nth(1)? };
        mount.kind.starts_with("cgroup").then_some(mount)
    })
}

/// Translates a directory of a hierarchy to where `mount` shows it.
fn shown(mount: &Mount<'_>, directory: &str) -> PathBuf {
    let inside = directory.strip_prefix(mount.root).unwrap_or("");
    Path::new(mount.point).join(inside.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "30 20 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        31 30 0:26 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n\
        32 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
        33 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    fn host(mounts: &str, memberships: &str, directories: &[&str]) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = Root::at(directory.path());
        for path in directories.iter().chain(&["/proc/self"]) {
            std::fs::create_dir_all(root.path(path)).expect("a directory");
        }
        std::fs::write(root.path("/proc/self/mountinfo"), mounts).expect("a file");
        std::fs::write(root.path("/proc/self/cgroup"), memberships).expect("a file");
        (directory, root)
    }

    #[test]
    fn version_1_goes_below_the_own_group() {
        let (_guard, root) = host(
            MOUNTS,
            "4:memory:/agent/x\n3:cpu,cpuacct:/\n0::/\n",
            &["/sys/fs/cgroup/memory/agent/x", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"],
        );
        std::fs::write(root.path("/sys/fs/cgroup/unified/cgroup.controllers"), "hugetlb\n").expect("a file");
        let manager = Manager::prepare(&root, "ironclad");
        assert_eq!(manager.layout(), "v1");
        let group = manager.create("pod1", &Limits { memory_bytes: Some(64 << 20), ..Limits::default() });
        let directories = group.expect("a group").directories().to_vec();
        assert!(directories.contains(&root.path("/sys/fs/cgroup/memory/agent/x/ironclad/pod1")));
        let limit = root.read("/sys/fs/cgroup/memory/agent/x/ironclad/pod1/memory.limit_in_bytes");
        assert_eq!(limit.expect("a limit"), (64 << 20).to_string());
        assert_eq!(manager.list(), ["pod1"]);
    }

    #[test]
    fn version_2_is_preferred_where_it_has_the_controllers() {
        let (_guard, root) = host(
            "33 30 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "0::/user.slice\n",
            &["/sys/fs/cgroup/user.slice"],
        );
        std::fs::write(root.path("/sys/fs/cgroup/cgroup.controllers"), "cpu memory pids\n").expect("a file");
        std::fs::write(root.path("/sys/fs/cgroup/cgroup.subtree_control"), "").expect("a file");
        let manager = Manager::prepare(&root, "ironclad");
        assert_eq!((manager.layout(), manager.note()), ("v2", None));
    }

    #[test]
    fn groups_are_found_again_from_another_group() {
        let groups = ["/sys/fs/cgroup/memory/agent/x", "/sys/fs/cgroup/memory/other"];
        let (_guard, root) = host(MOUNTS, "4:memory:/agent/x\n", &groups);
        let memory = root.path("/groups.json");
        let first = Manager::remembered(&root, "ironclad", &memory).expect("it is written");
        std::fs::write(root.path("/proc/self/cgroup"), "4:memory:/other\n").expect("a file");
        assert_eq!(Manager::remembered(&root, "ironclad", &memory).expect("it is read"), first);
        std::fs::remove_dir(root.path("/sys/fs/cgroup/memory/agent/x/ironclad")).expect("it is removed");
        assert_ne!(Manager::remembered(&root, "ironclad", &memory).expect("it is made anew"), first);
    }

    #[test]
    fn no_control_groups_are_a_note() {
        let (_guard, root) = host("", "", &[]);
        let manager = Manager::prepare(&root, "ironclad");
        assert_eq!(manager.layout(), "none");
        assert!(manager.note().is_some_and(|note| note.contains("without limits")));
        assert!(manager.create("pod1", &Limits::default()).is_ok_and(|group| group.directories().is_empty()));
    }
}
