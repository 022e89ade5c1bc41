//! Raw disks in directories that are not the machine's own: claims, and directories of the host.
//!
//! Whoever can write to such a directory may have put links into it. Nothing here follows one, nothing leaves the
//! directory, and a disk is one regular file that has no second name elsewhere.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Uid, openat2,
};

use crate::beneath::open_with;

/// Sizes of disks are multiples of this, in bytes.
pub const ALIGNMENT: u64 = 1 << 20;

/// Why a disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be opened.
    #[error("cannot open the directory: {0}")]
    Directory(#[source] io::Error),
    /// The path passes through a link.
    #[error("the path leads through a symbolic link or out of its directory; name the file itself")]
    Link,
    /// It is a directory, a device, a pipe or the like.
    #[error("it is no regular file but a directory, a device or the like; a disk is a file")]
    NoFile,
    /// The file can also be reached by another name.
    #[error("the file has {0} names (hard links); a disk has one, copy it instead")]
    Linked(u64),
    /// The user that machines run as may not use it.
    #[error("user {user} may not read and write the file; give it to that user: chown {user} FILE")]
    Forbidden {
        /// The user.
        user: u32,
    },
    /// Another machine has it open.
    #[error("another machine uses it; stop that one first, or give this one a disk of its own")]
    Busy,
    /// The operating system refuses.
    #[error("cannot {0} the disk: {1}")]
    Io(&'static str, #[source] io::Error),
}

impl Error {
    /// Tells whether there is no such file.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io(_, error) if error.kind() == io::ErrorKind::NotFound)
    }

    fn open(error: io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(&error) {
            Some(Errno::LOOP | Errno::XDEV) => Self::Link,
            Some(Errno::ISDIR | Errno::NXIO) => Self::NoFile,
            _ => Self::Io("open", error),
        }
    }
}

/// Opens an absolute path to a directory, following no symbolic link on the way. With `make`, what is missing of it is
/// made.
///
/// # Errors
/// When it is not there, leads through a link, or cannot be made.
pub fn directory(path: &Path, make: bool) -> Result<File, Error> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |at: &File, name: &OsStr| openat2(at, name, flags, Mode::empty(), resolve);
    let failed = |error: rustix::io::Errno| match error {
        rustix::io::Errno::LOOP => Error::Link,
        other => Error::Directory(other.into()),
    };
    let root = openat2(CWD, "/", flags, Mode::empty(), ResolveFlags::empty()).map_err(failed)?;
    let mut current = File::from(root);
    for component in path.components() {
        let name = match component {
            Component::RootDir | Component::CurDir => continue,
            Component::Normal(name) => name,
            Component::ParentDir | Component::Prefix(_) => return Err(Error::Link),
        };
        let next = match open(&current, name) {
            Err(rustix::io::Errno::NOENT) if make => {
                match rustix::fs::mkdirat(&current, name, Mode::from_raw_mode(0o755)) {
                    Err(error) if error != rustix::io::Errno::EXIST => return Err(failed(error)),
                    _ => open(&current, name),
                }
            }
            other => other,
        };
        current = File::from(next.map_err(failed)?);
    }
    Ok(current)
}

/// Opens the disk `name` in `directory`.
///
/// # Errors
/// When it is not there, or is anything but a regular file with one name.
pub fn open(directory: &File, name: &Path, write: bool) -> Result<File, Error> {
    // What a device does when it is opened, and who may, is not for whoever names it.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    if let Ok(found) = openat2(directory, name, flags, Mode::empty(), beneath)
        && let Ok(status) = rustix::fs::fstat(&found)
        && !matches!(FileType::from_raw_mode(status.st_mode), FileType::RegularFile | FileType::Symlink)
    {
        return Err(Error::NoFile);
    }
    // A pipe put in the place of the disk must not keep whoever opens it waiting.
    let file = open_with(directory, name, write, OFlags::NONBLOCK).map_err(Error::open)?;
    let metadata = file.metadata().map_err(|error| Error::Io("look at", error))?;
    if !metadata.is_file() {
        return Err(Error::NoFile);
    }
    rustix::fs::fcntl_getfl(&file)
        .and_then(|flags| rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK))
        .map_err(|error| Error::Io("open", error.into()))?;
    if write && metadata.nlink() > 1 {
        return Err(Error::Linked(metadata.nlink()));
    }
    Ok(file)
}

/// Checks that `user`, whose group has the same number, could have opened the file for reading and writing itself.
///
/// Whoever opens a file on behalf of somebody with less rights asks this first.
///
/// # Errors
/// When it could not.
pub fn check_owner(file: &File, user: u32) -> Result<(), Error> {
    let metadata = file.metadata().map_err(|error| Error::Io("look at", error))?;
    let bits = if metadata.uid() == user {
        metadata.mode() >> 6
    } else if metadata.gid() == user {
        metadata.mode() >> 3
    } else {
        metadata.mode()
    };
    if bits & 0o6 == 0o6 { Ok(()) } else { Err(Error::Forbidden { user }) }
}

/// Makes a sparse disk of `size` bytes, which belongs to `owner` where that is given. It gets its name when it is
/// complete; one that has the name already is never replaced.
///
/// # Errors
/// When it cannot be written, or exists.
pub fn create(directory: &File, name: &OsStr, size: u64, owner: Option<u32>) -> Result<File, Error> {
    create_filled(directory, name, owner, |file| file.set_len(size))
}

/// As [`create`], for a file that `write` fills.
///
/// # Errors
/// When it cannot be written, or exists.
pub fn create_filled(
    directory: &File,
    name: &OsStr,
    owner: Option<u32>,
    write: impl FnOnce(&File) -> io::Result<()>,
) -> Result<File, Error> {
    let mut partial = OsStr::new(".").to_owned();
    partial.push(name);
    partial.push(".partial");
    let failed = |error: rustix::io::Errno| Error::Io("make", error.into());
    match rustix::fs::unlinkat(directory, &partial, AtFlags::empty()) {
        Err(error) if error != rustix::io::Errno::NOENT => return Err(failed(error)),
        _ => {}
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let descriptor =
        rustix::fs::openat(directory, &partial, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    let file = File::from(descriptor);
    write(&file).map_err(|error| Error::Io("make", error))?;
    if let Some(owner) = owner {
        rustix::fs::fchown(&file, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner))).map_err(failed)?;
    }
    rustix::fs::renameat_with(directory, &partial, directory, name, RenameFlags::NOREPLACE)
        .map_err(failed)?;
    rustix::fs::fsync(directory).map_err(failed)?;
    Ok(file)
}

/// Claims the disk for as long as this open file lives, wherever it is handed on to: exclusively, or together with others
/// who only read it.
///
/// # Errors
/// [`Error::Busy`] when somebody else has claimed it.
pub fn claim(file: &File, exclusive: bool) -> Result<(), Error> {
    let how = if exclusive {
        FlockOperation::NonBlockingLockExclusive
    } else {
        FlockOperation::NonBlockingLockShared
    };
    match rustix::fs::flock(file, how) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Busy),
        Err(error) => Err(Error::Io("lock", error.into())),
    }
}

/// Returns how many bytes can still be written where `directory` is.
///
/// # Errors
/// When the file system does not tell.
pub fn space(directory: &File) -> Result<u64, Error> {
    let status = rustix::fs::fstatvfs(directory).map_err(|error| Error::Io("find room for", error.into()))?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}

/// Tells whether the host's page cache can be bypassed for this file.
pub fn supports_direct(file: &File) -> bool {
    let Ok(before) = rustix::fs::fcntl_getfl(file) else { return false };
    let supported = rustix::fs::fcntl_setfl(file, before | OFlags::DIRECT).is_ok();
    // What was there before can be set again.
    supported && rustix::fs::fcntl_setfl(file, before).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn folder() -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().unwrap();
        let directory = File::open(folder.path()).unwrap();
        (folder, directory)
    }

    #[test]
    fn a_disk_is_made_once_and_found_again() {
        let (_folder, directory) = folder();
        let name = OsStr::new("disk.img");
        assert!(open(&directory, Path::new(name), true).unwrap_err().is_absent());
        create(&directory, name, ALIGNMENT, None).unwrap();
        let file = open(&directory, Path::new(name), true).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!((metadata.len(), metadata.mode() & 0o777, metadata.blocks()), (ALIGNMENT, 0o600, 0));
        assert!(create(&directory, name, 1, None).is_err(), "an existing disk was replaced");
        assert_eq!(file.metadata().unwrap().len(), ALIGNMENT);
        assert!(space(&directory).unwrap() > 0);
    }

    #[test]
    fn neither_links_nor_other_kinds_of_file_are_disks() {
        let (folder, directory) = folder();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("real"), "x").unwrap();
        std::fs::hard_link(at("real"), at("second")).unwrap();
        symlink("/etc/passwd", at("soft")).unwrap();
        std::fs::create_dir(at("inner")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(&directory, "pipe", fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(matches!(open(&directory, Path::new("pipe"), false), Err(Error::NoFile)));
        let tried = |name: &str| open(&directory, Path::new(name), true).map(drop).unwrap_err();
        assert!(matches!(tried("soft"), Error::Link));
        assert!(matches!(tried("../x"), Error::Link));
        assert!(matches!(tried("second"), Error::Linked(2)));
        assert!(matches!(tried("inner"), Error::NoFile));
        assert!(matches!(tried("pipe"), Error::NoFile));
        let null = File::open("/dev").unwrap();
        assert!(matches!(open(&null, Path::new("null"), true), Err(Error::NoFile)), "it is a device");
    }

    #[test]
    fn directories_are_reached_without_links_and_made_where_asked() {
        let (folder, _) = folder();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("a")).unwrap();
        symlink("a", real.join("b")).unwrap();
        assert!(directory(&real.join("a"), false).is_ok());
        assert!(matches!(directory(&real.join("b"), true), Err(Error::Link)));
        assert!(matches!(directory(&real.join("a/../a"), true), Err(Error::Link)));
        assert!(matches!(directory(&real.join("c/d"), false), Err(Error::Directory(_))));
        assert!(directory(&real.join("c/d"), true).is_ok());
        assert!(real.join("c/d").is_dir());
    }

    #[test]
    fn a_claim_excludes_others_until_the_last_descriptor_is_closed() {
        let (_folder, directory) = folder();
        let first = create(&directory, OsStr::new("d"), ALIGNMENT, None).unwrap();
        let again = || open(&directory, Path::new("d"), true).unwrap();
        claim(&first, true).unwrap();
        assert!(matches!(claim(&again(), true), Err(Error::Busy)));
        assert!(matches!(claim(&again(), false), Err(Error::Busy)));
        let handed_on = first.try_clone().unwrap();
        drop(first);
        assert!(matches!(claim(&again(), true), Err(Error::Busy)));
        drop(handed_on);
        let readers = (again(), again());
        claim(&readers.0, false).unwrap();
        claim(&readers.1, false).unwrap();
        assert!(matches!(claim(&again(), true), Err(Error::Busy)));
    }

    #[test]
    fn rights_are_those_of_the_machines_user() {
        let (folder, directory) = folder();
        let file = create(&directory, OsStr::new("d"), ALIGNMENT, None).unwrap();
        let own = file.metadata().unwrap().uid();
        let stranger = own + 12345;
        check_owner(&file, own).unwrap();
        assert!(matches!(check_owner(&file, stranger), Err(Error::Forbidden { .. })));
        let open = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(folder.path().join("d"), open).unwrap();
        check_owner(&file, stranger).unwrap();
    }
}
