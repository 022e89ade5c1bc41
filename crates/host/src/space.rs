//! Space on file systems.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Space on one file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Bytes left for ordinary users.
    pub free: u64,
    /// Bytes in all.
    pub capacity: u64,
}

/// Measures the file system that holds `path`, or what of it exists.
///
/// # Errors
/// When the system does not tell.
pub fn measure(path: &Path) -> io::Result<Space> {
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or_else(|| Path::new("/"));
    let facts = rustix::fs::statvfs(existing)?;
    Ok(Space {
        mount: mount_point(existing)?,
        free: facts.f_bavail.saturating_mul(facts.f_frsize),
        capacity: facts.f_blocks.saturating_mul(facts.f_frsize),
    })
}

/// Returns where the file system of `path` is mounted: the highest folder above it on the same device.
fn mount_point(path: &Path) -> io::Result<PathBuf> {
    let path = path.canonicalize()?;
    let device = path.metadata()?.dev();
    let same = |above: &&Path| above.metadata().is_ok_and(|data| data.dev() == device);
    Ok(path.ancestors().take_while(same).last().unwrap_or(&path).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_named_by_its_mount_point() {
        assert_eq!(measure(Path::new("/proc/self/status")).unwrap().mount, Path::new("/proc"));
        let folder = tempfile::tempdir().unwrap();
        let space = measure(&folder.path().join("not/there/yet")).unwrap();
        assert!(
            folder.path().starts_with(&space.mount) && space.free > 0 && space.capacity >= space.free,
            "{space:?}"
        );
    }
}
