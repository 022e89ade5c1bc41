//! Opening a path that a tenant named, below a directory that it cannot leave.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, openat2};

/// Opens the regular file `path` below `root`, following no symbolic link and never leaving `root` (openat2, Linux 5.6).
///
/// # Errors
/// When there is no such file, it is of another kind, or the path leads out: `..`, an absolute path, a symbolic or
/// magic link.
pub fn open_beneath(root: impl AsFd, path: &Path, write: bool) -> io::Result<File> {
    // A pipe put in the place of the file must not keep whoever opens it waiting.
    let file = open_with(root, path, write, OFlags::NONBLOCK)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Lists the regular files in the directory `path` below `root`, which is reached in the same way.
///
/// # Errors
/// When there is no such directory, or the path leads out.
pub fn files_beneath(root: impl AsFd, path: &Path) -> io::Result<Vec<OsString>> {
    let directory = open_with(root, path, false, OFlags::DIRECTORY)?;
    let mut names = Vec::new();
    for entry in Dir::new(directory)? {
        let entry = entry?;
        if entry.file_type() == FileType::RegularFile {
            names.push(OsStr::from_bytes(entry.file_name().to_bytes()).to_owned());
        }
    }
    Ok(names)
}

/// Opens whatever `path` is, with further flags.
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

    #[test]
    fn what_is_no_file_is_neither_opened_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let root = File::open(folder.path()).unwrap();
        std::fs::create_dir(folder.path().join("directory")).unwrap();
        rustix::fs::mknodat(&root, "pipe", FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in ["directory", "pipe"] {
            for write in [false, true] {
                assert!(open_beneath(&root, Path::new(path), write).is_err(), "{path} was opened");
            }
        }
        std::fs::write(folder.path().join("file"), "").unwrap();
        let file = open_beneath(&root, Path::new("file"), true).unwrap();
        assert!(!rustix::fs::fcntl_getfl(&file).unwrap().contains(OFlags::NONBLOCK));
    }

    #[test]
    fn only_files_of_the_directory_itself_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let root = File::open(folder.path()).unwrap();
        std::fs::create_dir_all(folder.path().join("disk/inner")).unwrap();
        std::fs::write(folder.path().join("disk/a.img"), "").unwrap();
        symlink("/etc/passwd", folder.path().join("disk/link")).unwrap();
        symlink("/etc", folder.path().join("elsewhere")).unwrap();
        assert_eq!(files_beneath(&root, Path::new("disk")).unwrap(), ["a.img"]);
        for path in ["elsewhere", "..", "/etc", "none"] {
            assert!(files_beneath(&root, Path::new(path)).is_err(), "{path} was listed");
        }
    }
}
