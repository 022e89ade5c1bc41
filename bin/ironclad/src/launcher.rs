//! The launcher executable, which this binary carries in itself.
//!
//! A release build embeds it (`IRONCLAD_EMBED_LAUNCHER` names the file at build time, see `build.rs`); a development build
//! takes the one beside its own executable. Pods run a copy that is named by its content, so that an upgrade never
//! changes the program under a running machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Name of the launcher's executable.
const NAME: &str = "ironclad-launcher";

/// The embedded executable; empty in a development build.
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/launcher"));

/// Puts the launcher into `directory` and returns its path.
///
/// # Errors
/// When neither an embedded nor a neighbouring launcher exists, or the directory cannot be written.
pub(crate) fn install(directory: &Path) -> Result<PathBuf> {
    let neighbour;
    let content = if EMBEDDED.is_empty() {
        let own = std::env::current_exe().context("finding this executable")?;
        let path = own.with_file_name(NAME);
        neighbour = std::fs::read(&path).with_context(|| {
            format!(
                "this build carries no launcher and {} is not there; build it with `cargo build -p launcher`",
                path.display()
            )
        })?;
        neighbour.as_slice()
    } else {
        EMBEDDED
    };
    let name = format!("{NAME}-{:016x}", fingerprint(content));
    let path = directory.join(&name);
    if path.metadata().is_ok_and(|metadata| metadata.len() == content.len() as u64) {
        return Ok(path);
    }
    std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    let partial = directory.join(format!("{name}.partial"));
    write_executable(&partial, content).with_context(|| format!("writing {}", partial.display()))?;
    std::fs::rename(&partial, &path).with_context(|| format!("renaming {}", partial.display()))?;
    Ok(path)
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
