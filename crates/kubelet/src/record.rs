//! What the kubelet keeps of a Pod on disk, so that the next kubelet process knows what runs.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use host::process::ProcessRecord;
use jiff::Timestamp;
use kube_ext::Key;
use serde::{Deserialize, Serialize};

/// Exit code of whoever was killed by SIGKILL; stands for an end that nobody saw, too.
pub(crate) const KILLED: i32 = 137;

/// Name of the file in a Pod's directory.
const FILE: &str = "pod.json";

/// A Pod that was started on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Identity of the Pod.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The first process; absent while it is being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRecord>,
    /// Whether the first process has executed its program.
    #[serde(default)]
    pub executed: bool,
    /// Address of the Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// IPv6 address of the Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address6: Option<Ipv6Addr>,
    /// When it was started.
    pub started_at: Timestamp,
    /// Containers and the files that their logs are in.
    pub logs: Vec<ContainerLog>,
    /// File on the host that the program leaves its exit code in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<PathBuf>,
    /// Since when it is being ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminating_since: Option<Timestamp>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

impl Record {
    /// Makes the record of a Pod that ran here and of which nothing is left.
    pub fn lost(key: &Key, uid: &str, at: Timestamp) -> Self {
        Self {
            uid: uid.to_owned(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            process: None,
            executed: true,
            address: None,
            address6: None,
            started_at: at,
            logs: Vec::new(),
            exit_code: None,
            terminating_since: None,
            end: Some(End { code: None, at, starved: None }),
        }
    }

    /// Lists the Pod's addresses, the one that it is known by first.
    pub fn addresses(&self) -> Vec<String> {
        let four = self.address.iter().map(ToString::to_string);
        four.chain(self.address6.iter().map(ToString::to_string)).collect()
    }
}

/// Where a container's output is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerLog {
    /// Name of the container.
    pub container: String,
    /// File on the host.
    pub file: PathBuf,
}

/// How a Pod's first process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// Exit code; 128 and the number for a signal. `None` when nobody was there to see it.
    pub code: Option<i32>,
    /// When that was noticed.
    pub at: Timestamp,
    /// What the Pod's memory was, if the kernel killed somebody in it for want of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starved: Option<Starved>,
}

/// Memory of a Pod in which the kernel killed somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Starved {
    /// Bytes that the Pod may use; `None` without a limit.
    pub limit: Option<u64>,
    /// Most bytes that it ever used, where the kernel tells.
    pub peak: Option<u64>,
}

impl Record {
    /// Returns namespace and name.
    pub fn key(&self) -> Key {
        Key::new(&self.namespace, &self.name)
    }

    /// Writes the record into the directory `pods`/`uid`.
    pub fn save(&self, pods: &Path) -> io::Result<()> {
        let directory = pods.join(&self.uid);
        std::fs::create_dir_all(&directory)?;
        let fresh = directory.join("pod.json.new");
        std::fs::write(&fresh, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(fresh, directory.join(FILE))
    }

    /// Reads the record of Pod `uid`; `None` when there is none that can be read.
    pub fn load(pods: &Path, uid: &str) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(pods.join(uid).join(FILE)).ok()?).ok()
    }

    /// Lists the UIDs of all Pod directories, with their records.
    pub fn all(pods: &Path) -> Vec<(String, Option<Self>)> {
        let entries = std::fs::read_dir(pods).into_iter().flatten().flatten();
        let mut all: Vec<_> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .map(|uid| (uid.clone(), Self::load(pods, &uid)))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_back() {
        let pods = tempfile::tempdir().expect("a temporary directory");
        let record = Record {
            uid: "u1".into(),
            namespace: "default".into(),
            name: "p".into(),
            process: Some(ProcessRecord { pid: 7, start_time: 8, boot_id: "b".into() }),
            executed: true,
            address: Some(Ipv4Addr::new(10, 244, 0, 2)),
            address6: None,
            started_at: Timestamp::UNIX_EPOCH,
            logs: vec![ContainerLog { container: "c".into(), file: "/x".into() }],
            exit_code: None,
            terminating_since: None,
            end: Some(End { code: Some(0), at: Timestamp::UNIX_EPOCH, starved: None }),
        };
        record.save(pods.path()).expect("it is written");
        std::fs::create_dir(pods.path().join("u0")).expect("a directory without record");
        assert_eq!(Record::all(pods.path()), [("u0".into(), None), ("u1".into(), Some(record))]);
    }
}
