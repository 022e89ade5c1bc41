//! What this machine offers and what this user may do with it, one finding at a time, for `doctor`.

use std::path::{Path, PathBuf};

use crate::cgroup::Manager;
use crate::jail::{self, JailSpec, UserMap};
use crate::{Helper, Root};

/// Memory below which no machine of use starts beside the control plane.
const LEAST_MEMORY: u64 = 1 << 30;
/// Disk space below which images and overlays soon run out.
const LEAST_SPACE: u64 = 2 << 30;

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Good,
    /// It works, with less.
    Limited,
    /// Something will not work.
    Bad,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in one or two words.
    pub subject: &'static str,
    /// How good it is.
    pub grade: Grade,
    /// What was found and what it means.
    pub meaning: String,
    /// What to do about it; empty when there is nothing to do.
    pub remedy: String,
}

impl Finding {
    /// Makes a good finding.
    pub fn good(subject: &'static str, meaning: impl Into<String>) -> Self {
        Self { subject, grade: Grade::Good, meaning: meaning.into(), remedy: String::new() }
    }

    /// Makes a finding that something is less than it could be.
    pub fn limited(subject: &'static str, meaning: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject, grade: Grade::Limited, meaning: meaning.into(), remedy: remedy.into() }
    }

    /// Makes a finding that something will not work.
    pub fn bad(subject: &'static str, meaning: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject, grade: Grade::Bad, meaning: meaning.into(), remedy: remedy.into() }
    }
}

/// Looks at the processors.
pub fn processors(root: &Root) -> Finding {
    let info = root.read("/proc/cpuinfo").unwrap_or_default();
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    };
    let model = field("model name").unwrap_or("unknown model");
    let flags = field("flags").unwrap_or_default();
    let virtualization = flags.split(' ').find_map(|flag| match flag {
        "vmx" => Some("Intel VT-x"),
        "svm" => Some("AMD-V"),
        _ => None,
    });
    let virtualization = virtualization.map_or_else(
        || "no hardware virtualization is visible".to_owned(),
        |name| format!("{name} is visible"),
    );
    let meaning = format!("{count} x {model}; {virtualization}");
    Finding::good("processors", meaning)
}

/// Looks at the memory.
pub fn memory(root: &Root) -> Finding {
    let info = root.read("/proc/meminfo").unwrap_or_default();
    let kib = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let available = kib("MemAvailable") * 1024;
    let meaning = format!("{} MiB of {} MiB are free for machines", available >> 20, kib("MemTotal") >> 10);
    if available < LEAST_MEMORY {
        return Finding::limited("memory", meaning, "stop other programs or start smaller machines");
    }
    Finding::good("memory", meaning)
}

/// Looks at the space for images and disks in `directory`, or in its nearest parent that exists.
pub fn space(directory: &Path) -> Finding {
    let Some(existing) = directory.ancestors().find(|path| path.exists()) else {
        return Finding::bad(
            "disk",
            format!("{} cannot be reached", directory.display()),
            "choose another --data-dir",
        );
    };
    if rustix::fs::access(existing, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_err() {
        return Finding::bad(
            "disk",
            format!("this user may not write to {}, where images and disks would be", existing.display()),
            "choose another --data-dir",
        );
    }
    match rustix::fs::statvfs(existing) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let meaning =
                format!("{} GiB are free for images and disks at {}", free >> 30, existing.display());
            if free < LEAST_SPACE {
                return Finding::limited("disk", meaning, "free some space or choose another --data-dir");
            }
            Finding::good("disk", meaning)
        }
        Err(error) => Finding::bad(
            "disk",
            format!("the space at {} cannot be told: {error}", existing.display()),
            "choose another --data-dir",
        ),
    }
}

/// Looks at control groups, by making one and removing it.
pub fn control_groups(root: &Root, name: &str) -> Finding {
    let manager = Manager::prepare(root, name);
    let layout = manager.layout();
    let finding = match manager.note() {
        None => {
            Finding::good("control groups", format!("version {}: Pods' limits are enforced", &layout[1..]))
        }
        Some(note) => {
            Finding::limited("control groups", note, "start as root, or in a systemd session with delegation")
        }
    };
    // An empty parent harms nobody if it stays.
    let _ = manager.remove();
    finding
}

/// Looks whether this user may make the namespaces of a Pod, by making them. Blocks for some milliseconds.
///
/// `helper` runs [`jail::main`] in the role [`jail::ROLE`]; `scratch` is a directory that may be written.
pub fn namespaces(helper: &Helper, scratch: &Path) -> Finding {
    match with_namespaces(helper, scratch, |_| ()) {
        Ok(()) if is_root() => {
            Finding::good("namespaces", "Pods get their own, and no user namespace is needed")
        }
        Ok(()) => Finding::good("namespaces", "this user may make user namespaces: Pods run without root"),
        Err(error) => Finding::bad(
            "namespaces",
            format!("Pods cannot be isolated, so none can run: {error}"),
            "run as root, or allow user namespaces (sysctl user.max_user_namespaces, \
             kernel.unprivileged_userns_clone, AppArmor)",
        ),
    }
}

/// Makes the namespaces of a Pod, calls `look` with the number of a process in them, and ends it.
///
/// # Errors
/// When they cannot be made.
pub fn with_namespaces<T>(
    helper: &Helper,
    scratch: &Path,
    look: impl FnOnce(i32) -> T,
) -> Result<T, jail::Error> {
    let spec = JailSpec {
        hostname: "probe".into(),
        root: PathBuf::from("/"),
        user_namespace: (!is_root()).then_some(UserMap { user: 107, group: 107 }),
        log: scratch.join("probe.log"),
        ..JailSpec::default()
    };
    let launch = jail::start(helper, &spec);
    let result = launch.map(|launch| {
        let record = launch.first().clone();
        let result = look(record.pid);
        // Nobody lets it proceed, so it ends; it is our child and must be reaped.
        if let Ok(Some(process)) = record.open() {
            drop(launch);
            process.wait(std::time::Duration::from_secs(2));
            process.exit();
        }
        result
    });
    // It holds nothing but the reason that the error names.
    let _ = std::fs::remove_file(scratch.join("probe.log"));
    result
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = Root::at(directory.path());
        std::fs::create_dir_all(root.path("/proc/self")).expect("a directory");
        for (path, content) in files {
            std::fs::write(root.path(path), content).expect("a file");
        }
        (directory, root)
    }

    #[test]
    fn processors_are_counted_and_named() {
        let info = "processor\t: 0\nmodel name\t: Fast One\nflags\t\t: fpu vmx\nprocessor\t: 1\n";
        let (_guard, root) = host(&[("/proc/cpuinfo", info)]);
        assert_eq!(processors(&root).meaning, "2 x Fast One; Intel VT-x is visible");
    }

    #[test]
    fn little_memory_is_a_limit() {
        let (_guard, root) = host(&[("/proc/meminfo", "MemTotal: 2097152 kB\nMemAvailable: 524288 kB\n")]);
        let finding = memory(&root);
        assert_eq!(
            (finding.grade, finding.meaning.as_str()),
            (Grade::Limited, "512 MiB of 2048 MiB are free for machines")
        );
    }

    #[test]
    fn space_is_looked_for_where_the_directory_will_be() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let finding = space(&directory.path().join("a/b"));
        assert!(finding.meaning.contains(&directory.path().display().to_string()), "{finding:?}");
    }

    #[test]
    fn without_control_groups_there_are_no_limits() {
        let (_guard, root) = host(&[("/proc/self/cgroup", ""), ("/proc/self/mountinfo", "")]);
        assert_eq!(control_groups(&root, "x").grade, Grade::Limited);
    }
}
