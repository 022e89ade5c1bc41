//! Who uses which image, and making room by removing what nobody uses.
//!
//! A user of a file tree is a symbolic link that leads to it, wherever it is; the store keeps the link's path. When the
//! link is gone, so is the use: whoever dies without a word, or is removed with its directory, keeps nothing alive.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use crate::digest::Digest;
use crate::error::Error;
use crate::lock;
use crate::reference::Reference;
use crate::remove::Removed;
use crate::staging::write_file;
use crate::store::{Image, Store};

/// How long a use that was written down may lack its link: it is about to be made.
const GRACE: Duration = Duration::from_secs(600);

/// An image, and whether it can be done without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The image.
    pub image: Image,
    /// Whether something uses its file tree now.
    pub used: bool,
}

/// Space of the store's file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub capacity: u64,
    /// Bytes that can still be written.
    pub available: u64,
}

impl Store {
    /// Measures the file system.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn space(&self) -> Result<Space, Error> {
        let root = &self.0.root;
        let state =
            rustix::fs::statvfs(root).map_err(|error| Error::system("measure", root)(error.into()))?;
        Ok(Space { capacity: state.f_blocks * state.f_frsize, available: state.f_bavail * state.f_frsize })
    }

    /// Returns every image, by name, with whether it is used.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn stock(&self) -> Result<Vec<Stored>, Error> {
        let used = self.used()?;
        let stored = |image: Image| Stored { used: used.contains(&image.digest), image };
        Ok(self.list()?.into_iter().map(stored).collect())
    }

    /// Removes the image `reference` unless it is used or pinned, and everything that no name and no user needs.
    ///
    /// Returns `None`, and does nothing, while somebody adds an image.
    ///
    /// # Errors
    /// When something cannot be read or removed.
    pub fn make_room(&self, reference: Option<&str>) -> Result<Option<Removed>, Error> {
        let Some(guard) = lock::exclusive_now(&self.0.root) else { return Ok(None) };
        let used = self.used()?;
        if let Some(reference) = reference {
            let name: Reference = reference.parse()?;
            let removable = self.find(&name)?.is_some_and(|i| !i.pinned && !used.contains(&i.digest));
            if removable {
                self.forget_name(&name.to_string())?;
            }
        }
        self.sweep(&used, &guard).map(Some)
    }

    /// Writes down that `link` will lead to the tree of `digest`.
    pub(crate) fn note_use(&self, digest: Digest, link: &Path) -> Result<(), Error> {
        let path = self.0.root.join("users").join(Digest::of(link.as_os_str().as_bytes()).hex());
        let mut content = format!("{}\n", digest.hex()).into_bytes();
        content.extend_from_slice(link.as_os_str().as_bytes());
        write_file(&self.0.root.join("staging"), &path, &content)
    }

    /// Returns the images whose trees are used, and forgets users that are gone.
    fn used(&self) -> Result<BTreeSet<Digest>, Error> {
        let users = self.0.root.join("users");
        let mut used = BTreeSet::new();
        for entry in fs::read_dir(&users).map_err(Error::system("list", &users))? {
            let path = entry.map_err(Error::system("list", &users))?.path();
            let Ok(content) = fs::read(&path) else { continue };
            match parse(&content) {
                Some((digest, link)) if self.leads_to(link, digest) || is_fresh(&path) => {
                    used.insert(digest);
                }
                _ => fs::remove_file(&path).map_err(Error::system("remove", &path))?,
            }
        }
        Ok(used)
    }

    fn leads_to(&self, link: &Path, digest: Digest) -> bool {
        fs::read_link(link).is_ok_and(|tree| tree == self.tree_path(digest))
    }
}

/// Reads what [`Store::note_use`] wrote.
fn parse(content: &[u8]) -> Option<(Digest, &Path)> {
    let end = content.iter().position(|byte| *byte == b'\n')?;
    let digest = Digest::from_hex(std::str::from_utf8(content.get(..end)?).ok()?)?;
    Some((digest, Path::new(OsStr::from_bytes(content.get(end + 1..)?))))
}

/// Says whether a use was written down a moment ago.
fn is_fresh(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age < GRACE)
}
