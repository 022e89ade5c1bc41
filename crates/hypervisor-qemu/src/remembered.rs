//! What a binary answered is remembered: it answers the same as long as it is the same.
//!
//! To ask takes some tenths of a second, in which a node's agent could not look after its machines.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::probe::{Error, Facts, probe};

/// The answers of one binary.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remembered {
    binary: Binary,
    facts: Facts,
}

/// What tells a binary from every other: an upgrade replaces the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binary {
    /// Release of the software that asked: another one may ask for more.
    asked_by: String,
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds; also changes when somebody sets the time of the content back.
    changed: (i64, i64),
}

impl Binary {
    /// Identifies `path`, through links; `None` where there is no file that can be executed.
    fn of(path: &Path) -> Option<Self> {
        let path = std::fs::canonicalize(path).ok()?;
        let data = std::fs::metadata(&path).ok().filter(|data| data.is_file() && data.mode() & 0o111 != 0)?;
        Some(Self {
            asked_by: env!("CARGO_PKG_VERSION").to_owned(),
            path,
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }
}

/// Asks the binary `program` as [`probe`] does, unless `memory` holds what this very file answered before.
///
/// The file `memory` is replaced by what is asked; that it cannot be written costs time only.
///
/// # Errors
/// When the program is missing or does not answer.
pub async fn probe_once(program: &Path, memory: &Path) -> Result<Facts, Error> {
    let Some(binary) = Binary::of(program) else { return probe(program).await };
    if let Some(facts) = recall(&binary, memory) {
        return Ok(facts);
    }
    let remembered = Remembered { binary, facts: probe(program).await? };
    let _ = keep(&remembered, memory);
    Ok(remembered.facts)
}

fn recall(binary: &Binary, memory: &Path) -> Option<Facts> {
    // What cannot be read is asked anew.
    let remembered: Remembered = serde_json::from_slice(&std::fs::read(memory).ok()?).ok()?;
    (remembered.binary == *binary).then_some(remembered.facts)
}

fn keep(remembered: &Remembered, memory: &Path) -> std::io::Result<()> {
    let draft = memory.with_extension("new");
    std::fs::write(&draft, serde_json::to_vec(remembered)?)?;
    std::fs::rename(&draft, memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt as _;

    fn facts(program: &Path, version: &str) -> Facts {
        Facts {
            program: program.to_owned(),
            version: version.to_owned(),
            package: String::new(),
            machines: Vec::new(),
            accelerators: Vec::new(),
            cpu_models: vec!["qemu64".to_owned()],
            emulated_features: BTreeSet::new(),
        }
    }

    #[tokio::test]
    async fn a_binary_is_asked_again_only_when_it_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let (program, memory) = (folder.path().join("qemu"), folder.path().join("facts.json"));
        let make = |path: &Path| {
            std::fs::write(path, "#!/bin/sh\nexit 1\n").unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        make(&program);
        assert!(probe_once(&program, &memory).await.is_err(), "it answers nothing");
        assert!(!memory.exists());
        let binary = Binary::of(&program).unwrap();
        keep(&Remembered { binary, facts: facts(&program, "10.0.2") }, &memory).unwrap();
        assert_eq!(probe_once(&program, &memory).await.unwrap().version, "10.0.2");
        // An upgrade puts another file in its place.
        let other = folder.path().join("other");
        make(&other);
        std::fs::rename(&other, &program).unwrap();
        assert!(probe_once(&program, &memory).await.is_err());
        std::fs::write(&memory, "nonsense").unwrap();
        assert!(probe_once(&program, &memory).await.is_err());
        std::fs::remove_file(&program).unwrap();
        assert!(matches!(probe_once(&program, &memory).await, Err(Error::Execute { .. })));
    }
}
