//! Putting a backup into a data directory, whole or not at all.
//!
//! Everything is checked and written beside what is there first; renaming that directory to [`Layout::restored`] decides.
//! What is left is moving its parts to their places, which whoever comes next finishes when it is interrupted.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};
use store::SqliteStore;

use super::{DATABASE, FOLDERS, archive};
use crate::cli::RestoreArgs;
use crate::instance::Instance;
use crate::layout::Layout;
use crate::say::say;

/// Restores a backup.
///
/// # Errors
/// When an installation is there and is not to be replaced, or runs, and when the file is not a whole backup; then
/// nothing is changed.
pub(crate) fn run(arguments: &RestoreArgs) -> Result<()> {
    let layout = Layout::of(&arguments.data)?;
    let root = layout.root().display();
    if !arguments.file.is_file() {
        bail!("{} is no file; name one that `ironclad backup` wrote", arguments.file.display());
    }
    layout.create()?;
    let _instance = Instance::claim(&layout)?;
    finish(&layout)?;
    if !arguments.force && (layout.database().exists() || layout.pki().join("ca.key").exists()) {
        bail!(
            "{root} holds an installation; replace its objects, keys and certificates by --force, or name another --data-dir"
        );
    }
    let staging = layout.root().join("restore.partial");
    let outcome = stage(&arguments.file, &staging);
    let said = match outcome {
        Ok(said) => said,
        Err(error) => {
            drop(remove(&staging));
            return Err(error.context("nothing was restored"));
        }
    };
    std::fs::rename(&staging, layout.restored()).with_context(|| format!("keeping {}", staging.display()))?;
    synchronise(layout.root())?;
    finish(&layout)?;
    say!(
        "restored {} of {}, written by release {}, into {root}",
        arguments.file.display(),
        said.taken,
        said.release
    );
    say!("images and the disks of claims are not part of a backup; `ironclad up` starts with what is there");
    Ok(())
}

fn stage(file: &Path, staging: &Path) -> Result<archive::Said> {
    remove(staging)?;
    let making = || format!("making {}", staging.display());
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(staging).with_context(making)?;
    for folder in FOLDERS {
        std::fs::create_dir(staging.join(folder)).with_context(making)?;
    }
    let said = archive::read(file, staging)?;
    let database = staging.join(DATABASE);
    SqliteStore::begin_anew(&database).with_context(|| format!("the objects in {}", file.display()))?;
    for folder in FOLDERS.iter().map(|folder| staging.join(folder)).chain([staging.to_owned()]) {
        synchronise(&folder)?;
    }
    Ok(said)
}

/// Moves what a restore has decided on to its places. Nothing runs on the data directory.
///
/// # Errors
/// When a file cannot be moved; done again, this goes on where it stopped.
pub(crate) fn finish(layout: &Layout) -> Result<()> {
    let restored = layout.restored();
    if !restored.is_dir() {
        return Ok(());
    }
    let moving = |part: &str| format!("moving {}", restored.join(part).display());
    if restored.join(DATABASE).exists() {
        // The new one goes with nothing of the old.
        for file in layout.database_files() {
            remove(&file)?;
        }
        std::fs::rename(restored.join(DATABASE), layout.database()).with_context(|| moving(DATABASE))?;
    }
    for folder in FOLDERS {
        if restored.join(folder).exists() {
            let place = layout.root().join(folder);
            remove(&place)?;
            std::fs::rename(restored.join(folder), place).with_context(|| moving(folder))?;
        }
    }
    synchronise(layout.root())?;
    remove(&restored)?;
    layout.create()
}

/// Refuses to read an installation that a restore has replaced by half.
///
/// # Errors
/// When that is so.
pub(super) fn refuse_interrupted(layout: &Layout) -> Result<()> {
    if layout.restored().exists() {
        bail!("a restore of {} was interrupted; `ironclad up` finishes it", layout.root().display());
    }
    Ok(())
}

/// Removes a file or directory; it is fine if there is none.
fn remove(path: &Path) -> Result<()> {
    let is_directory = path.symlink_metadata().is_ok_and(|facts| facts.is_dir());
    let removed = if is_directory { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn synchronise(directory: &Path) -> Result<()> {
    let done = File::open(directory).and_then(|directory| directory.sync_all());
    done.with_context(|| format!("synchronising {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::DataDir;

    /// Whatever was moved when it was interrupted, the rest follows, and nothing of the old state is left.
    #[test]
    fn an_interrupted_restore_is_finished() {
        for done in 0..=3 {
            let directory = tempfile::tempdir().unwrap();
            let layout = Layout::of(&DataDir { data_dir: Some(directory.path().join("data")) }).unwrap();
            layout.create().unwrap();
            let write = |path: &Path, text: &str| {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            };
            for file in layout.database_files().into_iter().chain([layout.pki().join("ca.key")]) {
                write(&file, "old");
            }
            write(&layout.root().join("registries/a/ca.crt"), "old");
            let restored = layout.restored();
            write(&restored.join("pki/ca.key"), "new");
            write(&restored.join("state.db"), "new");
            std::fs::create_dir(restored.join("registries")).unwrap();
            for part in ["state.db", "pki", "registries"].iter().take(done) {
                if *part == "state.db" {
                    layout.database_files().iter().for_each(|file| remove(file).unwrap());
                }
                remove(&layout.root().join(part)).unwrap();
                std::fs::rename(restored.join(part), layout.root().join(part)).unwrap();
            }
            assert!(refuse_interrupted(&layout).is_err());
            for _ in 0..2 {
                finish(&layout).unwrap();
                assert_eq!(std::fs::read_to_string(layout.database()).unwrap(), "new");
                assert_eq!(std::fs::read_to_string(layout.pki().join("ca.key")).unwrap(), "new");
                let there = layout.database_files().into_iter().filter(|file| file.exists()).count();
                assert_eq!(there, 1, "nothing beside the database");
                assert!(!layout.root().join("registries/a").exists() && !restored.exists());
                refuse_interrupted(&layout).unwrap();
            }
        }
    }
}
