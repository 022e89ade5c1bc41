//! Files of container images, as the kubelet has put them into the Pod.

use std::fs::File;
use std::io;
use std::path::Path;

use disk::{files_beneath, open_beneath};

/// Where a container disk has its image, by convention.
const DISK_FOLDER: &str = "disk";

/// The root of an image volume of a Pod.
#[derive(Debug)]
pub(super) struct ImageVolume {
    root: File,
}

impl ImageVolume {
    /// Opens volume `name` of the Pod whose directory is `pod`.
    pub(super) fn open(pod: &Path, name: &str) -> io::Result<Self> {
        let path = pod.join("volumes/kubernetes.io~image").join(name);
        Ok(Self { root: File::open(path)? })
    }

    /// Opens the file at `path` in the image, which whoever built the image chose: it cannot lead out.
    pub(super) fn file(&self, path: &str) -> io::Result<File> {
        open_beneath(&self.root, Path::new(path.trim_start_matches('/')), false)
    }

    /// Opens the only disk of the image.
    pub(super) fn disk(&self) -> io::Result<File> {
        // Listed by the same rules: a link in the image must not show what the host has elsewhere.
        let mut names = match files_beneath(&self.root, Path::new(DISK_FOLDER)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            names => names.unwrap_or_default(),
        };
        names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
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
