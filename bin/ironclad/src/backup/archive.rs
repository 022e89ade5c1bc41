//! The form of a backup: a tar whose first file says what the others are.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use effects::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{DATABASE, FOLDERS};

/// Name of the first file.
const MANIFEST: &str = "ironclad-backup.json";
/// The form that this release writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// The most that a manifest may have, in bytes.
const LARGEST_MANIFEST: u64 = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    release: String,
    taken: String,
    revision: u64,
    files: Vec<Listed>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    path: String,
    size: u64,
    mode: u32,
    sha256: String,
}

/// One file of a backup.
#[derive(Debug)]
pub(super) struct Part {
    /// Where it is below the data directory.
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl Content {
    fn open(&self) -> std::io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(&bytes[..]),
            Self::File(path) => Box::new(File::open(path)?),
        })
    }
}

/// Writes `parts` into the new file `to`, durably; returns its size in bytes.
pub(super) fn write(to: &Path, revision: u64, parts: &[Part]) -> Result<u64> {
    let now = SystemClock.now();
    let mut files = Vec::new();
    for part in parts {
        let (size, sha256) = copy(&mut part.content.open()?, &mut std::io::sink())?;
        files.push(Listed { path: part.path.clone(), size, mode: part.mode, sha256 });
    }
    let release = env!("CARGO_PKG_VERSION").to_owned();
    let manifest = Manifest { format: FORMAT, release, taken: now.to_string(), revision, files };
    let text = serde_json::to_vec_pretty(&manifest)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let mut tar = tar::Builder::new(file);
    let mut append = |path: &str, mode, size, content: &mut dyn Read| {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(mode);
        header.set_mtime(u64::try_from(now.as_second()).unwrap_or(0));
        tar.append_data(&mut header, path, content)
    };
    append(MANIFEST, 0o600, text.len() as u64, &mut &text[..])?;
    for (part, listed) in parts.iter().zip(&manifest.files) {
        append(&part.path, part.mode, listed.size, &mut part.content.open()?)?;
    }
    let file = tar.into_inner()?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// What a backup says of itself.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) release: String,
    pub(super) taken: String,
}

/// Checks the backup `from` and puts its files below the directory `to`.
///
/// # Errors
/// When it is no backup, one of a newer release, cut off, or not what was written; the message says which.
pub(super) fn read(from: &Path, to: &Path) -> Result<Said> {
    let name = from.display();
    let mut tar = tar::Archive::new(File::open(from).with_context(|| format!("opening {name}"))?);
    let mut entries = tar.entries()?;
    let foreign = || format!("{name} is no backup that `ironclad backup` wrote");
    let Some(Ok(mut first)) = entries.next() else { bail!(foreign()) };
    if first.path_bytes() != MANIFEST.as_bytes() || first.size() > LARGEST_MANIFEST {
        bail!(foreign());
    }
    let mut text = Vec::new();
    let size = first.size();
    let cut_off =
        |at: &str| format!("{name} is cut off: it ends before or within {at}; use a whole copy of it");
    first.read_to_end(&mut text).with_context(|| cut_off(MANIFEST))?;
    ensure!(text.len() as u64 == size, cut_off(MANIFEST));
    // Only what every form has, so that a newer one is known as that.
    let any: serde_json::Value = serde_json::from_slice(&text).with_context(foreign)?;
    let format = any["format"].as_u64().with_context(foreign)?;
    if format > u64::from(FORMAT) {
        let release = any["release"].as_str().unwrap_or("a newer release");
        bail!(
            "{name} has form {format}, written by {release}; this release reads up to {FORMAT}: use that one"
        );
    }
    let manifest: Manifest = serde_json::from_value(any).with_context(foreign)?;
    ensure!(manifest.files.iter().filter(|listed| listed.path == DATABASE).count() == 1, foreign());
    for listed in &manifest.files {
        let path = &listed.path;
        ensure!(is_ours(path), "{name} names {path}, which no backup has; it is not restored");
        let mut entry = match entries.next() {
            Some(Ok(entry)) if entry.path_bytes() == path.as_bytes() && entry.size() == listed.size => entry,
            Some(Ok(_)) => bail!("{name} is damaged: {path} is not where its manifest says"),
            Some(Err(_)) | None => bail!(cut_off(path)),
        };
        let place = to.join(path);
        std::fs::create_dir_all(place.parent().unwrap_or(to))?;
        let mode = listed.mode & 0o777;
        let making = || format!("writing {}", place.display());
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&place).with_context(making)?;
        let (size, sha256) = copy(&mut entry, &mut file).with_context(making)?;
        ensure!(size == listed.size, cut_off(path));
        ensure!(
            sha256 == listed.sha256,
            "{name} is damaged: {path} is not what was written; use another copy of it"
        );
        file.sync_all().with_context(making)?;
    }
    Ok(Said { release: manifest.release, taken: manifest.taken })
}

/// Says whether a path is one that a backup has: below the data directory, by whatever name.
fn is_ours(path: &str) -> bool {
    let mut components = Path::new(path).components();
    let is_plain = components.clone().all(|component| matches!(component, Component::Normal(_)));
    let first = components.next().map(Component::as_os_str);
    let in_folder =
        FOLDERS.iter().any(|folder| first == Some(folder.as_ref())) && components.next().is_some();
    is_plain && (path == DATABASE || in_folder)
}

/// Copies everything; returns how much it was, and its digest in hexadecimal.
fn copy(from: &mut dyn Read, to: &mut dyn Write) -> std::io::Result<(u64, String)> {
    let (mut digest, mut size) = (Sha256::new(), 0);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, hex::encode(digest.finalize())));
        }
        digest.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        size += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn only_paths_of_an_installation_are_taken() {
        for path in ["state.db", "pki/ca.key", "registries/r.example:5000/ca.crt"] {
            assert!(is_ours(path), "{path}");
        }
        for path in [
            "",
            "pki",
            "bin/ironclad",
            "../state.db",
            "/state.db",
            "pki/../../x",
            "./state.db/x",
            "state.db/x",
        ] {
            assert!(!is_ours(path), "{path}");
        }
    }
}
