//! New images: an empty layer over a base, an empty disk.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use imago::file::File as Storage;
use imago::format::builder::FormatCreateBuilder as _;
use imago::qcow2::Qcow2;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, openat, renameat_with, unlinkat};

use crate::beneath::open_beneath;

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the disk image {path}")]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// Makes an empty qcow2 layer of `virtual_size` bytes, to be written over a base.
///
/// The layer names no base: whoever starts the machine states the chain. An image that is already there is left as it
/// is, so that a machine whose agent was restarted keeps its writes; a half-made one is never seen, because it
/// gets its name only when it is complete.
///
/// # Errors
/// When the file cannot be written, for example for want of space, or something else than a file has its name.
pub fn overlay(path: &Path, virtual_size: u64) -> Result<File, Error> {
    make(path, |file| {
        let storage = Storage::try_from(file)?;
        Qcow2::<Storage>::create_builder(storage).size(virtual_size).create()
    })
}

/// Makes an empty, sparse raw disk of `size` bytes. One that is already there is left as it is.
///
/// # Errors
/// When the file cannot be written, or something else than a file has its name.
pub fn empty(path: &Path, size: u64) -> Result<File, Error> {
    make(path, |file| file.set_len(size))
}

/// Opens the image at `path`, or has `fill` make it first.
///
/// Whoever works in the Pod can write to the directory as well, and may have put links there: none is followed.
fn make(path: &Path, fill: impl FnOnce(File) -> io::Result<()>) -> Result<File, Error> {
    let failed = |source| Error { path: path.to_owned(), source };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(io::Error::from(io::ErrorKind::InvalidInput)));
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(CWD, parent, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    let open = || open_beneath(&directory, Path::new(name), true);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let partial = partial_of(name);
            let fresh = new_file(&directory, &partial).map_err(failed)?;
            fill(fresh).map_err(failed)?;
            renameat_with(&directory, &partial, &directory, name, RenameFlags::NOREPLACE)
                .map_err(|error| failed(error.into()))?;
            open().map_err(failed)
        }
        found => found.map_err(failed),
    }
}

fn partial_of(name: &OsStr) -> OsString {
    let mut partial = name.to_owned();
    partial.push(".partial");
    partial
}

fn new_file(directory: &OwnedFd, name: &OsStr) -> io::Result<File> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(error) if error != rustix::io::Errno::NOENT => return Err(error.into()),
        _ => {}
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{Format, Probe, probe};

    #[test]
    fn a_layer_has_the_size_of_its_base_and_takes_little_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.qcow2");
        let file = overlay(&path, 10 << 30).unwrap();
        assert_eq!(probe(&file).unwrap(), Probe { format: Format::Qcow2, virtual_size: 10 << 30 });
        assert!(file.metadata().unwrap().len() < 1 << 21);
        assert!(!folder.path().join("root.qcow2.partial").exists());
    }

    #[test]
    fn what_is_there_is_kept() {
        use std::os::unix::fs::FileExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scratch.img");
        empty(&path, 1 << 20).unwrap().write_at(b"kept", 512).unwrap();
        let mut kept = [0; 4];
        empty(&path, 1 << 20).unwrap().read_at(&mut kept, 512).unwrap();
        assert_eq!(&kept, b"kept");
    }

    #[test]
    fn links_in_the_way_are_not_followed() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let pod = folder.path().join("pod");
        std::fs::create_dir(&pod).unwrap();
        for name in ["a.qcow2", "b.img", "c.qcow2.partial", "d.img.partial"] {
            symlink(&victim, pod.join(name)).unwrap();
        }
        assert!(overlay(&pod.join("a.qcow2"), 1 << 20).is_err(), "a link is no disk");
        assert!(empty(&pod.join("b.img"), 1 << 20).is_err(), "a link is no disk");
        overlay(&pod.join("c.qcow2"), 1 << 20).unwrap();
        empty(&pod.join("d.img"), 1 << 20).unwrap();
        assert!(pod.join("c.qcow2").symlink_metadata().unwrap().is_file());
        symlink(&pod, folder.path().join("other")).unwrap();
        assert!(empty(&folder.path().join("other/e.img"), 1 << 20).is_err(), "the directory is a link");
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn qemu_img_finds_a_layer_sound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.qcow2");
        overlay(&path, 1 << 30).unwrap();
        let check = std::process::Command::new("qemu-img").args(["check", "-q"]).arg(&path).status();
        assert!(check.expect("qemu-img is installed (make deps)").success());
    }
}
