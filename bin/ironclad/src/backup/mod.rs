//! `ironclad backup` and `ironclad restore`: the whole state of a control plane in one file.
//!
//! The file is a tar: first a manifest that names every file with its size and digest, then those files. In it are the objects,
//! the installation's keys and certificates, and how registries are reached; not what is large and lives elsewhere (images
//! and the disks of claims), nor what describes processes (records of running machines).

mod archive;
mod restore;

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use store::SqliteStore;

use self::archive::{Content, Part};
pub(crate) use self::restore::{finish, run as restore};
use crate::cli::BackupArgs;
use crate::layout::Layout;
use crate::say::say;

/// Name of the objects' file in a backup, and the folders beside it.
const DATABASE: &str = "state.db";
const FOLDERS: [&str; 2] = ["pki", "registries"];

/// Writes the state of an installation, which may run, into a new file.
///
/// # Errors
/// When there is no installation, its state is damaged, or the file exists or cannot be written.
pub(crate) fn run(arguments: &BackupArgs) -> Result<()> {
    let layout = Layout::of(&arguments.data)?;
    restore::refuse_interrupted(&layout)?;
    if !layout.database().is_file() {
        bail!("there is no installation in {}; name one by --data-dir", layout.root().display());
    }
    let file = std::path::absolute(&arguments.file)
        .with_context(|| format!("making {} absolute", arguments.file.display()))?;
    if file.symlink_metadata().is_ok() {
        bail!("{} is there already; name a file that is not", file.display());
    }
    let workshop = Workshop::beside(&file)?;
    let copy = workshop.0.join(DATABASE);
    let revision = SqliteStore::copy(&layout.database(), &copy)
        .with_context(|| format!("copying {}", layout.database().display()))?;
    let mut parts = vec![Part { path: DATABASE.to_owned(), mode: 0o600, content: Content::File(copy) }];
    for folder in FOLDERS {
        collect(layout.root(), Path::new(folder), &mut parts)?;
    }
    let finished = workshop.0.join("backup");
    let size = archive::write(&finished, revision, &parts)
        .with_context(|| format!("writing {}", finished.display()))?;
    std::fs::rename(&finished, &file)
        .and_then(|()| std::fs::File::open(file.parent().unwrap_or_else(|| Path::new("/")))?.sync_all())
        .with_context(|| format!("writing {}", file.display()))?;
    say!("wrote {} ({} KiB, revision {revision})", file.display(), size.div_ceil(1024));
    say!("it holds Secrets and the installation's private keys: whoever can read it is its administrator");
    Ok(())
}

/// Adds the files below `folder` of the data directory, in order.
fn collect(root: &Path, folder: &Path, parts: &mut Vec<Part>) -> Result<()> {
    let reading = || format!("reading {}", root.join(folder).display());
    let entries = match std::fs::read_dir(root.join(folder)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(reading)?,
    };
    let mut names = entries.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    for name in names {
        let path = folder.join(name);
        let reading = || format!("reading {}", root.join(&path).display());
        // A registry's authority may be a link to the machine's.
        let facts = root.join(&path).metadata().with_context(reading)?;
        if facts.is_dir() {
            collect(root, &path, parts)?;
        } else if facts.is_file() && path.extension().is_none_or(|end| end != "partial") {
            let content = std::fs::read(root.join(&path)).with_context(reading)?;
            let path = path.to_str().with_context(|| format!("{} is no UTF-8", path.display()))?.to_owned();
            let mode = facts.permissions().mode() & 0o777;
            parts.push(Part { path, mode, content: Content::Bytes(content) });
        }
    }
    Ok(())
}

/// A closed directory beside the file that is made, gone when this value is.
#[derive(Debug)]
struct Workshop(PathBuf);

impl Workshop {
    fn beside(file: &Path) -> Result<Self> {
        let name = file.file_name().with_context(|| format!("{} names no file", file.display()))?;
        let name = format!(".{}.{}.partial", name.to_string_lossy(), std::process::id());
        let path = file.with_file_name(name);
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What cannot be removed now is named after its purpose.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
