//! New images: an empty layer over a base, an empty disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use imago::file::File as Storage;
use imago::format::builder::FormatCreateBuilder as _;
use imago::qcow2::Qcow2;

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
/// When the file cannot be written, for example for want of space.
pub fn overlay(path: &Path, virtual_size: u64) -> Result<File, Error> {
    let failed = |source| Error { path: path.to_owned(), source };
    if !path.exists() {
        let partial = partial_of(path);
        let file = new_file(&partial).map_err(failed)?;
        let storage = Storage::try_from(file).map_err(failed)?;
        Qcow2::<Storage>::create_builder(storage).size(virtual_size).create().map_err(failed)?;
        std::fs::rename(&partial, path).map_err(failed)?;
    }
    OpenOptions::new().read(true).write(true).open(path).map_err(failed)
}

/// Makes an empty, sparse raw disk of `size` bytes. One that is already there is left as it is.
///
/// # Errors
/// When the file cannot be written.
pub fn empty(path: &Path, size: u64) -> Result<File, Error> {
    let failed = |source| Error { path: path.to_owned(), source };
    if !path.exists() {
        let partial = partial_of(path);
        new_file(&partial).and_then(|file| file.set_len(size)).map_err(failed)?;
        std::fs::rename(&partial, path).map_err(failed)?;
    }
    OpenOptions::new().read(true).write(true).open(path).map_err(failed)
}

fn partial_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
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
        assert!(!partial_of(&path).exists());
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
    fn qemu_img_finds_a_layer_sound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.qcow2");
        overlay(&path, 1 << 30).unwrap();
        let check = std::process::Command::new("qemu-img").args(["check", "-q"]).arg(&path).status();
        assert!(check.expect("qemu-img is installed (make deps)").success());
    }
}
