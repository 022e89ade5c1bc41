//! What a jail is made of.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One Pod's first process and everything around it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JailSpec {
    /// Host name inside.
    pub hostname: String,
    /// Existing empty directory of the host that the new root is built on.
    pub root: PathBuf,
    /// What the root holds, in order. `/dev`, `/proc` and `/tmp` are always there.
    pub entries: Vec<Entry>,
    /// Device nodes beyond the harmless ones.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// User ID of the process, as the Pod sees it.
    pub user: u32,
    /// Group ID of the process, as the Pod sees it.
    pub group: u32,
    /// Further groups. Ignored in a user namespace, where only one group exists.
    #[serde(default)]
    pub groups: Vec<u32>,
    /// Make a user namespace with this mapping (for a kubelet that is not root).
    #[serde(default)]
    pub user_namespace: Option<UserMap>,
    /// Keep the host's network namespace instead of making one.
    #[serde(default)]
    pub host_network: bool,
    /// Control group directories to join.
    #[serde(default)]
    pub cgroups: Vec<PathBuf>,
    /// Resource limits.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// Capabilities (numbers) that stay in the bounding set. The process holds none at first.
    #[serde(default)]
    pub bounding: Vec<u32>,
    /// Apply the system call deny-list.
    #[serde(default)]
    pub seccomp: bool,
    /// Program to execute, as a path inside the jail.
    pub program: PathBuf,
    /// Arguments, the name of the program first.
    pub arguments: Vec<String>,
    /// Environment.
    #[serde(default)]
    pub environment: Vec<(String, String)>,
    /// Working directory inside the jail.
    pub directory: PathBuf,
    /// File of the host that standard output and standard error are appended to.
    pub log: PathBuf,
}

/// Which IDs inside stand for the caller's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserMap {
    /// User ID inside.
    pub user: u32,
    /// Group ID inside.
    pub group: u32,
}

/// One thing in the jail's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Entry {
    /// A file or directory of the host.
    #[serde(rename_all = "camelCase")]
    Bind {
        /// Path on the host.
        source: PathBuf,
        /// Absolute path inside.
        target: PathBuf,
        /// Whether it cannot be written through this mount.
        read_only: bool,
        /// Whether it is left out when the host does not have it.
        optional: bool,
    },
    /// A directory.
    #[serde(rename_all = "camelCase")]
    Directory {
        /// Absolute path inside.
        target: PathBuf,
    },
    /// A symbolic link.
    #[serde(rename_all = "camelCase")]
    Link {
        /// Absolute path inside.
        target: PathBuf,
        /// What it holds.
        to: PathBuf,
    },
    /// A small text file.
    #[serde(rename_all = "camelCase")]
    File {
        /// Absolute path inside.
        target: PathBuf,
        /// Content.
        content: String,
    },
}

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Path on the host and inside, below `/dev`.
    pub path: PathBuf,
}

/// One resource limit; both values are the same, and a value above what the caller may set is lowered to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type", content = "value")]
pub enum Limit {
    /// Open files.
    OpenFiles(u64),
    /// Bytes of a core dump.
    Core(u64),
    /// Bytes of locked memory.
    LockedMemory(u64),
}
