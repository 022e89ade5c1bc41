//! What a process has open, by kind, to compare before and after.

use std::collections::BTreeMap;

/// Numbers of open descriptors by what they are: `socket`, `pipe`, `anon_inode:[pidfd]`, or a file's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptors(BTreeMap<String, usize>);

impl Descriptors {
    /// Counts those of process `pid`.
    pub fn of(pid: i32) -> Self {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut counts = BTreeMap::new();
        for target in entries.filter_map(|entry| std::fs::read_link(entry.path()).ok()) {
            let target = target.display().to_string();
            // Sockets and pipes carry a number of their own.
            let kind = target.split_once(":[").filter(|(kind, _)| *kind != "anon_inode");
            let kind = kind.map_or(target.as_str(), |(kind, _)| kind);
            *counts.entry(kind.to_owned()).or_default() += 1;
        }
        Self(counts)
    }

    /// Returns what is open now beyond `before`, with `slack` more of each kind allowed.
    pub fn beyond(&self, before: &Self, slack: usize) -> Vec<String> {
        let grown = self.0.iter().filter_map(|(kind, count)| {
            let then = before.0.get(kind).copied().unwrap_or_default();
            (*count > then + slack).then(|| format!("descriptors: {count} of {kind}, {then} before"))
        });
        grown.collect()
    }
}
