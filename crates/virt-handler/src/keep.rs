//! What the agent remembers across its own restarts: session secrets and machine records, one file each.
//!
//! The directory is the agent's alone. What a launcher could have written is never read back as truth.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use plan::handler::{Moving, Volume};
use serde::{Deserialize, Serialize};
use wire::machine::MachineRecord;

/// Bytes of a session secret.
const SECRET_LENGTH: usize = 32;

/// Why the agent's memory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}: {source}")]
pub struct Error {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A machine as it was started, with what its record does not hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kept {
    /// The record.
    pub(crate) record: MachineRecord,
    /// Addresses of the Pod, at which a machine behind it is reached.
    pub(crate) pod_ips: Vec<String>,
    /// Sizes of disks, by volume.
    pub(crate) volume_sizes: std::collections::BTreeMap<String, u64>,
    /// What the status shows of the claims that disks are in, by volume.
    #[serde(default)]
    pub(crate) claims: std::collections::BTreeMap<String, serde_json::Value>,
    /// Whether it could move to another node.
    #[serde(default)]
    pub(crate) moving: Moving,
    /// Whether the rules of its network are known to be in force.
    #[serde(default = "yes")]
    pub(crate) wired: bool,
}

/// Machines of agents that waited for the rules before the start.
fn yes() -> bool {
    true
}

impl Kept {
    /// Returns the volumes as a Linux guest is likely to name them.
    pub(crate) fn volumes(&self) -> Vec<Volume> {
        let (mut virtio, mut scsi) = (0u8, 0u8);
        let mut target = |bus: wire::machine::DiskBus| {
            let (prefix, next) = match bus {
                wire::machine::DiskBus::Virtio => ("vd", &mut virtio),
                _ => ("sd", &mut scsi),
            };
            let letter = char::from(b'a' + *next % 26);
            *next += 1;
            format!("{prefix}{letter}")
        };
        let disks = self.record.disks.iter();
        disks
            .map(|disk| Volume {
                name: disk.name.clone(),
                target: target(disk.bus),
                size: self.volume_sizes.get(&disk.name).copied().unwrap_or(0),
                claim: self.claims.get(&disk.name).cloned(),
            })
            .collect()
    }
}

/// The agent's state directory.
#[derive(Debug)]
pub(crate) struct Keep {
    root: PathBuf,
}

impl Keep {
    /// Opens the directory, and makes it where it is missing.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        let keep = Self { root: root.to_owned() };
        for directory in [keep.secrets(), keep.machines()] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&directory)
                .map_err(|source| Error { operation: "make", path: directory, source })?;
        }
        Ok(keep)
    }

    /// Returns the session secret of an instance, which is made up at the first question.
    pub(crate) fn secret(&self, uid: &str, entropy: &dyn effects::Entropy) -> Result<Vec<u8>, Error> {
        let path = self.secrets().join(uid);
        if let Ok(secret) = std::fs::read(&path)
            && secret.len() == SECRET_LENGTH
        {
            return Ok(secret);
        }
        let mut secret = vec![0; SECRET_LENGTH];
        entropy.fill(&mut secret);
        // It opens a process of this boot; after the next one there is none.
        replace(&path, &secret, Outlives::Processes)?;
        Ok(secret)
    }

    /// Returns the machine of an instance, if one was started.
    pub(crate) fn machine(&self, uid: &str) -> Option<Kept> {
        let text = std::fs::read(self.machines().join(uid)).ok()?;
        // A record that cannot be read is from no release we know; the machine is described without it.
        serde_json::from_slice(&text)
            .inspect_err(|error| tracing::error!(uid, %error, "unreadable machine record"))
            .ok()
    }

    /// Remembers the machine of an instance before it starts; survives a loss of power.
    pub(crate) fn remember(&self, uid: &str, kept: &Kept) -> Result<(), Error> {
        self.write(uid, kept, Outlives::Power)
    }

    /// Remembers of a machine that was remembered before that its network is wired.
    pub(crate) fn remember_wired(&self, uid: &str, kept: Kept) -> Result<(), Error> {
        // A namespace is gone with the power as well.
        self.write(uid, &Kept { wired: true, ..kept }, Outlives::Processes)
    }

    fn write(&self, uid: &str, kept: &Kept, outlives: Outlives) -> Result<(), Error> {
        let path = self.machines().join(uid);
        let text = serde_json::to_vec(kept).map_err(|error| Error {
            operation: "write",
            path: path.clone(),
            source: error.into(),
        })?;
        replace(&path, &text, outlives)
    }

    /// Forgets an instance.
    pub(crate) fn forget(&self, uid: &str) {
        for path in [self.secrets().join(uid), self.machines().join(uid)] {
            if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "cannot remove what was kept of an instance");
            }
        }
    }

    /// Returns every instance that something is remembered of.
    pub(crate) fn known(&self) -> BTreeSet<String> {
        let directories = [self.secrets(), self.machines()];
        let entries = directories.iter().filter_map(|path| std::fs::read_dir(path).ok()).flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    fn machines(&self) -> PathBuf {
        self.root.join("machines")
    }
}

/// What a file is to survive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outlives {
    /// The end of any process.
    Processes,
    /// A loss of power as well.
    Power,
}

/// Replaces a file in one step, so that a crash leaves the old or the new one.
fn replace(path: &Path, content: &[u8], outlives: Outlives) -> Result<(), Error> {
    let failed = |source| Error { operation: "write", path: path.to_owned(), source };
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    if outlives == Outlives::Power {
        file.sync_data().map_err(failed)?;
    }
    std::fs::rename(&partial, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use effects::SystemEntropy;

    #[test]
    fn a_secret_is_made_once_and_forgotten_with_its_instance() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep::open(folder.path()).unwrap();
        let secret = keep.secret("u", &SystemEntropy).unwrap();
        assert_eq!(secret, Keep::open(folder.path()).unwrap().secret("u", &SystemEntropy).unwrap());
        assert_eq!(keep.known().into_iter().collect::<Vec<_>>(), ["u"]);
        keep.forget("u");
        assert!(keep.known().is_empty());
        assert_ne!(secret, keep.secret("u", &SystemEntropy).unwrap());
    }
}
