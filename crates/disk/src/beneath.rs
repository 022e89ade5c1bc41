//! Opening a path that a tenant named, below a directory that it cannot leave.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

/// Opens `path` below `root`, following no symbolic link and never leaving `root` (openat2, Linux 5.6).
///
/// # Errors
/// When there is no such file, or the path leads out: `..`, an absolute path, a symbolic or magic link.
pub fn open_beneath(root: impl AsFd, path: &Path, write: bool) -> io::Result<File> {
    open_with(root, path, write, OFlags::empty())
}

/// The same with further flags.
pub(crate) fn open_with(root: impl AsFd, path: &Path, write: bool, flags: OFlags) -> io::Result<File> {
    let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
    let flags = flags | access | OFlags::CLOEXEC | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(File::from(openat2(root, path, flags, Mode::empty(), resolve)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_outside_can_be_reached() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        std::fs::write(inside.join("disk.img"), "disk").unwrap();
        symlink("../secret", inside.join("link")).unwrap();
        symlink("..", inside.join("up")).unwrap();
        let root = File::open(&inside).unwrap();
        assert!(open_beneath(&root, Path::new("disk.img"), true).is_ok());
        for path in ["../secret", "link", "up/secret", "/etc/passwd", "none"] {
            assert!(open_beneath(&root, Path::new(path), false).is_err(), "{path} was opened");
        }
    }
}
