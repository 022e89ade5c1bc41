//! Files of container images, as the kubelet has put them into the Pod.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use disk::open_beneath;

/// Where a container disk has its image, by convention.
const DISK_FOLDER: &str = "disk";

/// The root of an image volume of a Pod.
#[derive(Debug)]
pub(super) struct ImageVolume {
    root: File,
    path: PathBuf,
}

impl ImageVolume {
    /// Opens volume `name` of the Pod whose directory is `pod`.
    pub(super) fn open(pod: &Path, name: &str) -> io::Result<Self> {
        let path = pod.join("volumes/kubernetes.io~image").join(name);
        Ok(Self { root: File::open(&path)?, path })
    }

    /// Opens the file at `path` in the image, which whoever built the image chose: it cannot lead out.
    pub(super) fn file(&self, path: &str) -> io::Result<File> {
        open_beneath(&self.root, Path::new(path.trim_start_matches('/')), false)
    }

    /// Opens the only disk of the image.
    pub(super) fn disk(&self) -> io::Result<File> {
        let entries = match std::fs::read_dir(self.path.join(DISK_FOLDER)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            entries => entries.into_iter().flatten(),
        };
        let mut names: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .map(|entry| entry.file_name())
            .filter(|name| !name.as_encoded_bytes().starts_with(b"."))
            .collect();
        names.sort();
        match names.as_slice() {
            [name] => open_beneath(&self.root, &Path::new(DISK_FOLDER).join(name), false),
            [] => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the image has no disk: put one qcow2 or raw file into its folder /disk",
            )),
            several => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the image has {} files in /disk; name one by containerDisk.path", several.len()),
            )),
        }
    }
}
