//! The store itself: what is here, by which name, and where its files are.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::blobs::Blobs;
use crate::digest::Digest;
use crate::error::Error;
use crate::lease;
use crate::limits::Limits;
use crate::lock;
use crate::manifest::{self, Config, Document, Manifest, Settings};
use crate::reference::Reference;
use crate::registry::Flight;
use crate::rights::{self, Rights};
use crate::staging::{self, unique, write_file};
use crate::unpack::{self, Budget};

/// One image of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Full name, for example `ironclad.local/guest:0.1.0`.
    pub reference: String,
    /// Digest of its manifest: the same digest, the same image.
    pub digest: Digest,
    /// Bytes of its blobs, as they were downloaded.
    pub size: u64,
    /// Processor that it is for, in Kubernetes' words.
    pub architecture: String,
    /// How it is meant to be run.
    pub settings: Settings,
    /// Whether it was loaded by hand and therefore stays, however little space is left.
    pub pinned: bool,
}

/// The images of one node. Clones share one store.
#[derive(Clone, Debug)]
pub struct Store(pub(crate) Arc<Inner>);

/// What the clones of a store share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) blobs: Blobs,
    pub(crate) rights: Rights,
    /// One lock for each image that is being unpacked, so that it is unpacked once.
    unpacking: Locks<Mutex<()>>,
    /// One lock for each blob that is being pulled, so that it is downloaded once.
    pub(crate) pulling: Locks<tokio::sync::Mutex<()>>,
    /// The pulls of each reference.
    pub(crate) flights: Locks<Flight>,
}

/// Locks by name, kept while somebody holds them.
#[derive(Debug, Default)]
pub(crate) struct Locks<T>(Mutex<HashMap<String, std::sync::Weak<T>>>);

impl<T: Default> Locks<T> {
    /// Returns the lock of `name`, the same for all who ask while somebody holds it.
    pub(crate) fn of(&self, name: &str) -> Arc<T> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(name).and_then(std::sync::Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(T::default());
        locks.insert(name.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

/// Which manifest a reference means.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    reference: String,
    digest: Digest,
    /// Whether somebody loaded it by hand: nothing could bring it back, so it is never removed to make room.
    /// Records of older releases do not say.
    #[serde(default = "yes")]
    pinned: bool,
    /// The logins that the registry gave it for, as fingerprints. Without any, it is for everybody: it was loaded, or its
    /// registry asked for no login, or an older release pulled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logins: Option<BTreeSet<Digest>>,
}

fn yes() -> bool {
    true
}

/// Where an image came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An archive that somebody loaded.
    Archive,
    /// A registry, which has it still.
    Registry {
        /// The login that it asked for, as a fingerprint.
        login: Option<Digest>,
    },
}

impl Store {
    /// Opens the store at `root`, which is made where it is missing, with the usual limits.
    ///
    /// # Errors
    /// When the directories cannot be made.
    pub fn open(root: &Path) -> Result<Self, Error> {
        Self::open_with(root, Limits::default())
    }

    /// Opens the store at `root` with its own limits.
    ///
    /// # Errors
    /// When the directories cannot be made.
    pub fn open_with(root: &Path, limits: Limits) -> Result<Self, Error> {
        for name in
            ["blobs/sha256", "references", "unpacked", "users", "staging", rights::FOLDER, lease::FOLDER]
        {
            let path = root.join(name);
            fs::create_dir_all(&path).map_err(Error::system("make", &path))?;
        }
        let staging = root.join("staging");
        if let Some(_guard) = lock::exclusive_now(root) {
            clear(&staging)?;
        }
        let blobs = Blobs::new(root.join("blobs/sha256"), staging, limits);
        let rights = Rights::new(root);
        let (unpacking, pulling, flights) = (Locks::default(), Locks::default(), Locks::default());
        let root = root.to_owned();
        Ok(Self(Arc::new(Inner { root, limits, blobs, rights, unpacking, pulling, flights })))
    }

    /// Returns the image that `reference` means here, if it is complete.
    ///
    /// # Errors
    /// When the reference is invalid, or what is here cannot be read.
    pub fn resolve(&self, reference: &str) -> Result<Option<Image>, Error> {
        self.find(&reference.parse()?)
    }

    pub(crate) fn find(&self, reference: &Reference) -> Result<Option<Image>, Error> {
        self.record(reference)?.map_or(Ok(None), |record| self.image(&record))
    }

    /// Does what [`Store::find`] does for whoever brings `login`: what the registry gives to others only is not here.
    pub(crate) fn find_for(
        &self,
        reference: &Reference,
        login: Option<&Digest>,
    ) -> Result<Option<Image>, Error> {
        let record = self.record(reference)?;
        let may = |record: &Record| {
            record.logins.as_ref().is_none_or(|logins| login.is_some_and(|login| logins.contains(login)))
        };
        record.filter(may).map_or(Ok(None), |record| self.image(&record))
    }

    fn record(&self, reference: &Reference) -> Result<Option<Record>, Error> {
        let path = self.record_path(reference);
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::system("read", &path)(error)),
        };
        manifest::parse(&content, &path.display().to_string()).map(Some)
    }

    /// Returns every image, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<Image>, Error> {
        let mut images = Vec::new();
        for record in self.records()? {
            images.extend(self.image(&record)?);
        }
        images.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(images)
    }

    /// Returns the image's file tree, unpacking it if nobody has yet. The tree is shared: it must only be read.
    ///
    /// Blocks while it unpacks. Every layer is verified against the image's configuration.
    ///
    /// # Errors
    /// When a layer is damaged or malicious, exceeds a limit, or there is no space.
    pub fn unpacked(&self, image: &Image) -> Result<PathBuf, Error> {
        let _guard = lock::shared(&self.0.root)?;
        self.tree(image)
    }

    /// Does what [`Store::unpacked`] does, and keeps the tree for as long as `link` will lead to it: the caller makes
    /// that symbolic link within ten minutes.
    ///
    /// # Errors
    /// Those of [`Store::unpacked`], or when the use cannot be written down.
    pub fn unpacked_for(&self, image: &Image, link: &Path) -> Result<PathBuf, Error> {
        let _guard = lock::shared(&self.0.root)?;
        match self.tree(image) {
            Ok(tree) => {
                self.note_use(image.digest, link)?;
                Ok(tree)
            }
            Err(error) => {
                if error.is_of_the_image() && !image.pinned {
                    self.forget_bad(image)?;
                }
                Err(error)
            }
        }
    }

    /// Takes the name away from an image that cannot be used: its registry is asked again, and may have mended it.
    fn forget_bad(&self, image: &Image) -> Result<(), Error> {
        let reference: Reference = image.reference.parse()?;
        let path = self.record_path(&reference);
        match self.record(&reference)? {
            Some(record) if record.digest == image.digest => {
                fs::remove_file(&path).map_err(Error::system("remove", &path))
            }
            _ => Ok(()),
        }
    }

    /// Finds the file tree or makes it; the caller keeps removers out.
    fn tree(&self, image: &Image) -> Result<PathBuf, Error> {
        let target = self.tree_path(image.digest);
        if target.is_dir() {
            return Ok(target);
        }
        let lock = self.0.unpacking.of(&image.digest.hex());
        let _once = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if target.is_dir() {
            return Ok(target);
        }
        let staging = self.0.root.join("staging");
        staging::check_space(&staging, &self.0.limits)?;
        let partial = unique(&staging);
        fs::create_dir(&partial).map_err(Error::system("make", &partial))?;
        let result = self.unpack_into(image.digest, &partial).and_then(|()| publish(&partial, &target));
        if partial.exists()
            && let Err(error) = fs::remove_dir_all(&partial)
        {
            tracing::warn!(path = %partial.display(), %error, "cannot remove a half-unpacked image");
        }
        result.map(|()| target)
    }

    fn unpack_into(&self, digest: Digest, target: &Path) -> Result<(), Error> {
        let (manifest, config) = self.documents(digest)?;
        let ids = &config.rootfs.diff_ids;
        if !ids.is_empty() && ids.len() != manifest.layers.len() {
            return Err(Error::Document {
                what: format!("the configuration of image {digest}"),
                reason: format!("it names {} layers, the manifest {}", ids.len(), manifest.layers.len()),
            });
        }
        let mut budget = Budget::new(&self.0.limits);
        for (place, layer) in manifest.layers.iter().enumerate() {
            let blob = self.0.blobs.open(layer.digest)?;
            unpack::layer(target, layer.digest, blob, ids.get(place).copied(), &mut budget)?;
        }
        Ok(())
    }

    /// Reads manifest and configuration of an image that is here.
    pub(crate) fn documents(&self, digest: Digest) -> Result<(Manifest, Config), Error> {
        let what = format!("the manifest {digest}");
        let Document::Manifest(manifest) = manifest::document(&self.0.blobs.document(digest)?, &what)? else {
            return Err(Error::Document { what, reason: "it is an index".to_owned() });
        };
        let what = format!("the configuration of image {digest}");
        let config = manifest::parse(&self.0.blobs.document(manifest.config.digest)?, &what)?;
        Ok((manifest, config))
    }

    /// Checks that everything of the manifest is here and gives it the name `reference`.
    pub(crate) fn publish(
        &self,
        reference: &Reference,
        digest: Digest,
        origin: Origin,
    ) -> Result<Image, Error> {
        let pinned = origin == Origin::Archive;
        let mut logins = match origin {
            Origin::Archive | Origin::Registry { login: None } => None,
            Origin::Registry { login: Some(login) } => Some(BTreeSet::from([login])),
        };
        // Who was let in to this very content stays so.
        if let Some(before) = self.record(reference)?.filter(|before| before.digest == digest) {
            logins = logins.zip(before.logins).map(|(new, old)| new.into_iter().chain(old).collect());
        }
        let record = Record { reference: reference.to_string(), digest, pinned, logins };
        let image = self.image(&record)?.ok_or_else(|| Error::Document {
            what: format!("image {reference}"),
            reason: "a blob that its manifest names is missing".to_owned(),
        })?;
        if pinned {
            let (manifest, _) = self.documents(digest)?;
            for blob in manifest.layers.iter().chain([&manifest.config]) {
                self.0.rights.give(blob.digest, None)?;
            }
        }
        let content = serde_json::to_vec(&record)
            .map_err(|error| Error::Document { what: "a reference".to_owned(), reason: error.to_string() })?;
        write_file(&self.0.root.join("staging"), &self.record_path(reference), &content)?;
        Ok(image)
    }

    /// Describes the image of a record; `None` when a part of it is missing.
    fn image(&self, record: &Record) -> Result<Option<Image>, Error> {
        if !self.0.blobs.directory().join(record.digest.hex()).exists() {
            return Ok(None);
        }
        let (manifest, config) = self.documents(record.digest)?;
        let complete = self.tree_path(record.digest).is_dir()
            || manifest.layers.iter().all(|layer| self.0.blobs.has(layer));
        Ok(complete.then(|| Image {
            reference: record.reference.clone(),
            digest: record.digest,
            size: manifest.layers.iter().map(|layer| layer.size).sum(),
            architecture: config.architecture,
            settings: config.config.unwrap_or_default(),
            pinned: record.pinned,
        }))
    }

    /// Returns every name with the manifest that it means: (path of the record, name, digest).
    pub(crate) fn names(&self) -> Result<Vec<(PathBuf, String, Digest)>, Error> {
        let mut names = Vec::new();
        for record in self.records()? {
            let path = self.0.root.join("references").join(record_name(&record.reference));
            names.push((path, record.reference, record.digest));
        }
        Ok(names)
    }

    fn records(&self) -> Result<Vec<Record>, Error> {
        let directory = self.0.root.join("references");
        let mut records = Vec::new();
        for entry in fs::read_dir(&directory).map_err(Error::system("list", &directory))? {
            let path = entry.map_err(Error::system("list", &directory))?.path();
            match fs::read(&path) {
                Ok(content) => records.push(manifest::parse(&content, &path.display().to_string())?),
                // Somebody removed it in between.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::system("read", &path)(error)),
            }
        }
        Ok(records)
    }

    fn record_path(&self, reference: &Reference) -> PathBuf {
        self.0.root.join("references").join(record_name(&reference.to_string()))
    }

    /// Returns where the file tree of a manifest is or will be.
    pub(crate) fn tree_path(&self, digest: Digest) -> PathBuf {
        self.0.root.join("unpacked").join(digest.hex())
    }
}

fn record_name(reference: &str) -> String {
    format!("{}.json", Digest::of(reference.as_bytes()).hex())
}

/// Makes a finished tree durable and gives it its name.
fn publish(partial: &Path, target: &Path) -> Result<(), Error> {
    let directory = fs::File::open(partial).map_err(Error::system("open", partial))?;
    rustix::fs::syncfs(&directory).map_err(|error| Error::system("sync", partial)(error.into()))?;
    match fs::rename(partial, target) {
        // Another process was first with the same content.
        Err(_) if target.is_dir() => Ok(()),
        other => other.map_err(Error::system("name", target)),
    }?;
    target.parent().map_or(Ok(()), staging::sync_directory)
}

/// Empties a directory, but for files that somebody is still writing.
fn clear(directory: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(directory).map_err(Error::system("list", directory))? {
        let path = entry.map_err(Error::system("list", directory))?.path();
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else if staging::is_written(&path) {
            continue;
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(Error::system("remove", &path))?;
    }
    Ok(())
}
