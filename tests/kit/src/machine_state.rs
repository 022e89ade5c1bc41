//! What this machine holds, to compare before and after: whatever a deleted VM leaves behind shows up here.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Everything on this machine that a virtual machine may have made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineState {
    /// Command lines of processes.
    pub processes: BTreeSet<String>,
    /// Network links of the host's namespace.
    pub links: BTreeSet<String>,
    /// nftables rules of the host's namespace.
    pub rules: BTreeSet<String>,
    /// Mount points.
    pub mounts: BTreeSet<String>,
    /// Namespaces that these processes are in.
    pub namespaces: BTreeSet<String>,
    /// Control groups.
    pub cgroups: BTreeSet<String>,
    /// Files below the watched directories.
    pub files: BTreeSet<String>,
}

impl MachineState {
    /// Takes stock; files are those below `directories`.
    pub fn take(directories: &[&Path]) -> Self {
        let mut files = BTreeSet::new();
        for directory in directories {
            walk(directory, &mut files);
        }
        Self {
            processes: processes(),
            links: lines("ip", &["-o", "link"], |line| line.split(": ").nth(1).map(str::to_owned)),
            rules: lines("nft", &["list", "ruleset"], |line| Some(line.to_owned())),
            mounts: std::fs::read_to_string("/proc/self/mounts")
                .unwrap_or_default()
                .lines()
                .filter_map(|line| line.split(' ').nth(1).map(str::to_owned))
                .collect(),
            namespaces: namespaces(),
            cgroups: cgroups(),
            files,
        }
    }

    /// Returns what is here and was not in `before`, by kind; empty when nothing was left behind.
    pub fn left_behind(&self, before: &Self) -> Vec<String> {
        let kinds = [
            ("process", &self.processes, &before.processes),
            ("link", &self.links, &before.links),
            ("rule", &self.rules, &before.rules),
            ("mount", &self.mounts, &before.mounts),
            ("namespace", &self.namespaces, &before.namespaces),
            ("cgroup", &self.cgroups, &before.cgroups),
            ("file", &self.files, &before.files),
        ];
        kinds
            .iter()
            .flat_map(|(kind, now, then)| now.difference(then).map(move |thing| format!("{kind}: {thing}")))
            .collect()
    }
}

/// Programs that a VM's life starts; others come and go on a shared machine.
const OURS: &[&str] = &["ironclad", "qemu-system", "pasta", "passt", "nft", "dnsmasq", "swtpm", "virtiofsd"];

fn processes() -> BTreeSet<String> {
    ours().filter_map(command_line).collect()
}

/// Processes of programs that a VM's life starts.
fn ours() -> impl Iterator<Item = u32> {
    pids().filter(|pid| {
        command_line(*pid).is_some_and(|line| {
            let program = line.split(' ').next().unwrap_or_default();
            let name = program.rsplit('/').next().unwrap_or_default();
            OURS.iter().any(|ours| name.starts_with(ours))
        })
    })
}

fn command_line(pid: u32) -> Option<String> {
    let raw = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&raw).replace('\0', " ").trim().to_owned())
}

fn namespaces() -> BTreeSet<String> {
    let kinds = ["net", "mnt", "pid", "user", "ipc", "uts"];
    ours()
        .flat_map(|pid| kinds.map(|kind| std::fs::read_link(format!("/proc/{pid}/ns/{kind}"))))
        .flatten()
        .map(|link| link.display().to_string())
        .collect()
}

fn pids() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()))
}

fn cgroups() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk_directories(Path::new("/sys/fs/cgroup"), 4, &mut found);
    found
}

fn walk(directory: &Path, files: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, files);
        }
        files.insert(path.display().to_string());
    }
}

fn walk_directories(directory: &Path, depth: u32, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.insert(entry.path().display().to_string());
            if depth > 1 {
                walk_directories(&entry.path(), depth - 1, found);
            }
        }
    }
}

fn lines(program: &str, arguments: &[&str], pick: impl Fn(&str) -> Option<String>) -> BTreeSet<String> {
    let Ok(output) = Command::new(program).args(arguments).output() else { return BTreeSet::new() };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(pick).collect()
}
