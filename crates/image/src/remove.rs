//! Removing names, and what no name needs any more.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::digest::Digest;
use crate::error::Error;
use crate::lease;
use crate::lock::{self, Guard};
use crate::reference::Reference;
use crate::store::Store;

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Blobs.
    pub blobs: usize,
    /// Unpacked file trees.
    pub trees: usize,
    /// Bytes of the blobs.
    pub bytes: u64,
}

impl Store {
    /// Takes the name `reference` away and returns whether it was there. Its content goes with the next
    /// [`Store::collect`].
    ///
    /// # Errors
    /// When the reference is invalid or its record cannot be removed.
    pub fn remove(&self, reference: &str) -> Result<bool, Error> {
        let _guard = lock::exclusive(&self.0.root)?;
        self.forget_name(&reference.parse::<Reference>()?.to_string())
    }

    /// Takes a full name away; the caller keeps everybody out.
    pub(crate) fn forget_name(&self, name: &str) -> Result<bool, Error> {
        for (path, other, _) in self.names()? {
            if other == name {
                fs::remove_file(&path).map_err(Error::system("remove", &path))?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the blobs and file trees that belong to no named image and to none in `used` (the images of running
    /// Pods, whose name may have moved on).
    ///
    /// # Errors
    /// When something cannot be read or removed.
    pub fn collect(&self, used: &BTreeSet<Digest>) -> Result<Removed, Error> {
        let guard = lock::exclusive(&self.0.root)?;
        self.sweep(used, &guard)
    }

    /// Does the work of [`Store::collect`]; the caller keeps everybody out.
    pub(crate) fn sweep(&self, used: &BTreeSet<Digest>, guard: &Guard) -> Result<Removed, Error> {
        let mut images = used.clone();
        images.extend(self.names()?.into_iter().map(|(_, _, digest)| digest));
        let mut kept = lease::leased(&self.0.root, guard)?;
        for image in &images {
            // An image that is damaged keeps nothing: it has to be pulled again anyway.
            if let Ok((manifest, _)) = self.documents(*image) {
                kept.insert(*image);
                kept.insert(manifest.config.digest);
                kept.extend(manifest.layers.iter().map(|layer| layer.digest));
            }
        }
        let mut removed = Removed::default();
        for_each_digest(self.0.blobs.directory(), |path, digest| {
            if !kept.contains(&digest) {
                removed.blobs += 1;
                removed.bytes += fs::metadata(path).map_or(0, |data| data.len());
                fs::remove_file(path).map_err(Error::system("remove", path))?;
            }
            Ok(())
        })?;
        for_each_digest(self.0.rights.folder(), |path, digest| {
            let is_gone = !self.0.blobs.directory().join(digest.hex()).exists() && !kept.contains(&digest);
            if is_gone { fs::remove_file(path).map_err(Error::system("remove", path)) } else { Ok(()) }
        })?;
        for_each_digest(&self.0.root.join("unpacked"), |path, digest| {
            if !images.contains(&digest) {
                removed.trees += 1;
                fs::remove_dir_all(path).map_err(Error::system("remove", path))?;
            }
            Ok(())
        })?;
        Ok(removed)
    }
}

fn for_each_digest(
    directory: &Path,
    mut each: impl FnMut(&Path, Digest) -> Result<(), Error>,
) -> Result<(), Error> {
    for entry in fs::read_dir(directory).map_err(Error::system("list", directory))? {
        let path = entry.map_err(Error::system("list", directory))?.path();
        if let Some(digest) = path.file_name().and_then(|name| name.to_str()).and_then(Digest::from_hex) {
            each(&path, digest)?;
        }
    }
    Ok(())
}
