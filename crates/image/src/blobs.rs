//! Content by digest.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::error::Error;
use crate::limits::Limits;
use crate::manifest::Descriptor;
use crate::staging::Staged;

/// The blobs of a store.
#[derive(Clone, Debug)]
pub(crate) struct Blobs {
    directory: PathBuf,
    staging: PathBuf,
    limits: Limits,
}

impl Blobs {
    /// Uses `directory`, which exists.
    pub(crate) fn new(directory: PathBuf, staging: PathBuf, limits: Limits) -> Self {
        Self { directory, staging, limits }
    }

    /// Returns the directory of the blobs.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns whether the blob is here in the size that `descriptor` names.
    pub(crate) fn has(&self, descriptor: &Descriptor) -> bool {
        fs::metadata(self.directory.join(descriptor.digest.hex()))
            .is_ok_and(|data| data.len() == descriptor.size)
    }

    /// Opens a blob.
    pub(crate) fn open(&self, digest: Digest) -> Result<File, Error> {
        let path = self.directory.join(digest.hex());
        File::open(&path).map_err(Error::system("open the blob", &path))
    }

    /// Reads a whole document and verifies it.
    pub(crate) fn document(&self, digest: Digest) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        let path = self.directory.join(digest.hex());
        let mut file = self.open(digest)?.take(self.limits.document + 1);
        file.read_to_end(&mut content).map_err(Error::system("read the blob", &path))?;
        self.check_document(&content, &format!("document {digest}"))?;
        let found = Digest::of(&content);
        if found != digest {
            return Err(Error::Mismatch { what: path.display().to_string(), expected: digest, found });
        }
        Ok(content)
    }

    /// Fails when a document is too large.
    pub(crate) fn check_document(&self, content: &[u8], what: &str) -> Result<(), Error> {
        if content.len() as u64 > self.limits.document {
            return Err(Error::Limit {
                what: what.to_owned(),
                limit: format!("{} bytes", self.limits.document),
            });
        }
        Ok(())
    }

    /// Keeps a small document and returns its digest.
    pub(crate) fn put(&self, content: &[u8], what: &str) -> Result<Digest, Error> {
        self.check_document(content, what)?;
        let mut staged = self.begin(what)?;
        staged.write(content, None)?;
        Ok(staged.finish(&self.directory, None)?.0)
    }

    /// Keeps everything that `reader` gives; fails unless it is `expected`, when that is given.
    pub(crate) fn copy(
        &self,
        mut reader: impl Read,
        expected: Option<(Digest, u64)>,
        what: &str,
    ) -> Result<(Digest, u64), Error> {
        let mut staged = self.begin(what)?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let count = reader.read(&mut buffer).map_err(Error::system("read", Path::new(what)))?;
            if count == 0 {
                break;
            }
            staged.write(&buffer[..count], expected.map(|(_, size)| size))?;
        }
        staged.finish(&self.directory, expected)
    }

    /// Begins a blob whose content comes in pieces.
    pub(crate) fn begin(&self, what: &str) -> Result<Staged, Error> {
        Staged::new(&self.staging, self.limits, what.to_owned())
    }
}
