//! The launcher executable, which this binary carries in itself.
//!
//! A release build embeds it (`IRONCLAD_EMBED_LAUNCHER` names the file at build time, see `build.rs`); a development build
//! takes the one beside its own executable. Pods run a copy that is named by what it was made of, so that an upgrade never
//! changes the program under a running machine.

use std::fs::Metadata;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;

/// Name of the launcher's executable.
const NAME: &str = "ironclad-launcher";

/// The embedded executable, packed by gzip; empty in a development build.
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/launcher"));

/// Puts the launcher into `directory` and returns its path.
///
/// # Errors
/// When neither an embedded nor a neighbouring launcher exists, or the directory cannot be written.
pub(crate) fn install(directory: &Path) -> Result<PathBuf> {
    if let Some(size) = unpacked_size(EMBEDDED) {
        return put(directory, EMBEDDED, size, || {
            let mut content = Vec::with_capacity(size);
            GzDecoder::new(EMBEDDED).read_to_end(&mut content).context("unpacking the launcher")?;
            Ok(content)
        });
    }
    let own = std::env::current_exe().context("finding this executable")?;
    let path = own.with_file_name(NAME);
    let content = std::fs::read(&path).with_context(|| {
        format!(
            "this build carries no launcher and {} is not there; build it with `cargo build -p launcher`",
            path.display()
        )
    })?;
    put(directory, &content, content.len(), || Ok(content.clone()))
}

/// Writes a program that is named by `identity` and `size` bytes long, unless it is there.
fn put(
    directory: &Path,
    identity: &[u8],
    size: usize,
    content: impl FnOnce() -> Result<Vec<u8>>,
) -> Result<PathBuf> {
    let name = format!("{NAME}-{:016x}", fingerprint(identity));
    let path = directory.join(&name);
    let is_whole = |metadata: Metadata| metadata.len() == size as u64 && metadata.mode() & 0o111 == 0o111;
    if path.metadata().is_ok_and(is_whole) {
        return Ok(path);
    }
    std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    let partial = directory.join(format!("{name}.partial"));
    write_executable(&partial, &content()?).with_context(|| format!("writing {}", partial.display()))?;
    std::fs::rename(&partial, &path).with_context(|| format!("renaming {}", partial.display()))?;
    Ok(path)
}

/// How many bytes a file packed by gzip has, which its last four say (RFC 1952, 2.3.1); nothing of an empty one.
fn unpacked_size(packed: &[u8]) -> Option<usize> {
    let size = u32::from_le_bytes(*packed.last_chunk()?);
    usize::try_from(size).ok()
}

fn write_executable(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// FNV-1a: names a file by its content; integrity is not at stake, the file is ours.
fn fingerprint(content: &[u8]) -> u64 {
    content
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::read::GzEncoder;

    #[test]
    fn what_is_packed_is_unpacked_once() {
        let program = b"#!/bin/sh\nexit 0\n".repeat(100);
        let mut packed = Vec::new();
        GzEncoder::new(&program[..], Compression::best()).read_to_end(&mut packed).unwrap();
        let size = unpacked_size(&packed).unwrap();
        assert_eq!((size, unpacked_size(b"")), (program.len(), None));
        let folder = tempfile::tempdir().unwrap();
        let path = put(folder.path(), &packed, size, || Ok(program.clone())).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), program);
        let again = put(folder.path(), &packed, size, || panic!("it is there")).unwrap();
        assert_eq!(again, path);
        std::fs::write(&path, b"half").unwrap();
        put(folder.path(), &packed, size, || Ok(program.clone())).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), program, "what is not whole is written anew");
    }
}
