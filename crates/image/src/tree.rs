//! A directory tree that names from an image cannot lead out of.
//!
//! Parents are resolved by the kernel as if the tree were the root (`RESOLVE_IN_ROOT`), so that a symbolic link in an
//! image means what it means inside the image; the last component is never followed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Mode of every directory in a tree.
const DIRECTORY: Mode = Mode::from_raw_mode(0o755);

/// Deepest nesting of directories that is removed, a bound on recursion.
const DEPTH: u32 = 256;

/// An open directory tree.
#[derive(Debug)]
pub(crate) struct Tree(OwnedFd);

impl Tree {
    /// Opens `root`.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(CWD, root, flags, Mode::empty())?))
    }

    /// Opens the directory that holds `components`' last one, making what is missing on the way.
    fn parent(&self, components: &[&str]) -> io::Result<OwnedFd> {
        let (_, parents) =
            components.split_last().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        match self.directory(parents) {
            Err(Errno::NOENT) => {}
            other => return Ok(other?),
        }
        for end in 1..=parents.len() {
            if let Err(Errno::NOENT) = self.directory(&parents[..end]) {
                let above = self.directory(&parents[..end - 1])?;
                rustix::fs::mkdirat(&above, parents[end - 1], DIRECTORY)?;
            }
        }
        Ok(self.directory(parents)?)
    }

    fn directory(&self, components: &[&str]) -> Result<OwnedFd, Errno> {
        let path = if components.is_empty() { ".".to_owned() } else { components.join("/") };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.0, path, flags, Mode::empty(), resolve)
    }

    /// Makes a directory; one that is there stays with what it holds.
    pub(crate) fn make_directory(&self, components: &[&str]) -> io::Result<()> {
        let Some(name) = components.last() else {
            return Ok(());
        };
        let parent = self.parent(components)?;
        if kind(&parent, name)? == Some(FileType::Directory) {
            return Ok(());
        }
        clear(parent.as_fd(), name)?;
        Ok(rustix::fs::mkdirat(&parent, *name, DIRECTORY)?)
    }

    /// Makes an empty file in the place of whatever has the name.
    pub(crate) fn make_file(&self, components: &[&str], mode: u32) -> io::Result<File> {
        let parent = self.parent(components)?;
        let name = last(components)?;
        clear(parent.as_fd(), name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(mode))?))
    }

    /// Makes a symbolic link. Its target is not looked at: readers resolve it inside the tree or not at all.
    pub(crate) fn make_symlink(&self, components: &[&str], target: &str) -> io::Result<()> {
        let parent = self.parent(components)?;
        let name = last(components)?;
        clear(parent.as_fd(), name)?;
        Ok(rustix::fs::symlinkat(target, &parent, name)?)
    }

    /// Gives the file `target` a second name.
    pub(crate) fn make_hardlink(&self, components: &[&str], target: &[&str]) -> io::Result<()> {
        let source = self.parent(target)?;
        let source_name = last(target)?;
        if kind(&source, source_name)? != Some(FileType::RegularFile) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a hard link to something that is no file",
            ));
        }
        let parent = self.parent(components)?;
        let name = last(components)?;
        if components != target {
            clear(parent.as_fd(), name)?;
            rustix::fs::linkat(&source, source_name, &parent, name, AtFlags::empty())?;
        }
        Ok(())
    }

    /// Removes what has the name, if anything has.
    pub(crate) fn remove(&self, components: &[&str]) -> io::Result<()> {
        clear(self.parent(components)?.as_fd(), last(components)?)
    }

    /// Returns the names in a directory; none when there is no such directory.
    pub(crate) fn names(&self, components: &[&str]) -> io::Result<Vec<String>> {
        match self.directory(components) {
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(Vec::new()),
            directory => names(directory?.as_fd()),
        }
    }
}

fn last<'a>(components: &[&'a str]) -> io::Result<&'a str> {
    components.last().copied().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Returns what has the name, without following it.
fn kind(parent: &OwnedFd, name: &str) -> io::Result<Option<FileType>> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(state) => Ok(Some(FileType::from_raw_mode(state.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes `name` in `parent` with everything below it.
fn clear(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    clear_to(parent, name, DEPTH)
}

fn clear_to(parent: BorrowedFd<'_>, name: &str, depth: u32) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) if depth > 0 => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    for child in names(directory.as_fd())? {
        clear_to(directory.as_fd(), &child, depth - 1)?;
    }
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = rustix::fs::openat(directory, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&readable)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
