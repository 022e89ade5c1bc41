//! Images from files: an OCI layout, as a directory or a tar, and what `docker save` writes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use crate::digest::Digest;
use crate::error::Error;
use crate::lock;
use crate::manifest::{self, Descriptor, Document, Index, Manifest};
use crate::reference::Reference;
use crate::store::{Image, Origin, Store};
use crate::tarball::{Kind, Tarball};
use crate::unpack::decompress;

/// Annotations that carry an image's name, best first.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// One image of a `docker save` archive.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// What was found in an archive, apart from blobs that are in the store already.
#[derive(Default)]
struct Contents {
    /// Documents by path: `index.json`, `manifest.json`.
    documents: BTreeMap<String, Vec<u8>>,
    /// Content by path, for archives that name it otherwise than by digest.
    files: BTreeMap<String, (Digest, u64)>,
    /// Other names of such content.
    links: BTreeMap<String, String>,
}

impl Store {
    /// Loads the images of `archive`: an OCI layout (a directory or a tar, which may be compressed) or a docker
    /// archive. `name` is used for an image that the archive leaves without a full name.
    ///
    /// Blocks while it reads.
    ///
    /// # Errors
    /// When the archive is damaged, incomplete or holds no named image for this machine's processor.
    pub fn load(&self, archive: &Path, name: Option<&str>) -> Result<Vec<Image>, Error> {
        let _guard = lock::shared(&self.0.root)?;
        let contents = if archive.is_dir() { self.read_directory(archive)? } else { self.read_tar(archive)? };
        if let Some(index) = contents.documents.get("index.json") {
            return self.load_layout(archive, index, name);
        }
        if let Some(saved) = contents.documents.get("manifest.json") {
            return self.load_saved(archive, saved, &contents, name);
        }
        let reason = "it has neither index.json (an OCI layout) nor manifest.json (docker save)".to_owned();
        Err(Error::Archive { path: archive.to_owned(), reason })
    }

    fn read_directory(&self, directory: &Path) -> Result<Contents, Error> {
        let mut contents = Contents::default();
        let path = directory.join("index.json");
        if !path.exists() {
            return Ok(contents);
        }
        let content = fs::read(&path).map_err(Error::system("read", &path))?;
        self.0.blobs.check_document(&content, "index.json")?;
        contents.documents.insert("index.json".to_owned(), content);
        let blobs = directory.join("blobs/sha256");
        for entry in fs::read_dir(&blobs).map_err(Error::system("list", &blobs))? {
            let path = entry.map_err(Error::system("list", &blobs))?.path();
            let digest = path.file_name().and_then(|name| name.to_str()).and_then(Digest::from_hex);
            if let Some(digest) = digest {
                let file = File::open(&path).map_err(Error::system("open", &path))?;
                let size = file.metadata().map_err(Error::system("measure", &path))?.len();
                self.keep(digest, size, file, &path.display().to_string())?;
            }
        }
        Ok(contents)
    }

    /// Keeps a blob that is not here yet.
    fn keep(&self, digest: Digest, size: u64, content: impl Read, what: &str) -> Result<(), Error> {
        if self.0.blobs.has(&Descriptor::new("", digest, size)) {
            return Ok(());
        }
        self.0.blobs.copy(content, Some((digest, size)), what).map(drop)
    }

    fn read_tar(&self, archive: &Path) -> Result<Contents, Error> {
        let broken =
            |error: std::io::Error| Error::Archive { path: archive.to_owned(), reason: error.to_string() };
        let file = File::open(archive).map_err(Error::system("open", archive))?;
        let mut tarball = Tarball::new(decompress(file).map_err(broken)?);
        let mut contents = Contents::default();
        let mut entries = 0;
        while let Some(entry) = tarball.next_entry().map_err(broken)? {
            entries += 1;
            if entries > self.0.limits.entries {
                let limit = format!("{} entries", self.0.limits.entries);
                return Err(Error::Limit { what: archive.display().to_string(), limit });
            }
            let path = entry.path.trim_start_matches("./").to_owned();
            if matches!(entry.kind, Kind::Symlink | Kind::Hardlink) {
                contents
                    .links
                    .insert(path, entry.link.trim_start_matches("../").trim_start_matches("./").to_owned());
                continue;
            }
            if entry.kind != Kind::File {
                continue;
            }
            let what = format!("{path} in {}", archive.display());
            if let Some(digest) = path.strip_prefix("blobs/sha256/").and_then(Digest::from_hex) {
                self.keep(digest, entry.size, &mut tarball, &what)?;
                // Newer docker archives name blobs by path in manifest.json.
                contents.files.insert(path, (digest, entry.size));
            } else if matches!(path.as_str(), "index.json" | "manifest.json") {
                let mut content = Vec::new();
                let limit = self.0.limits.document + 1;
                (&mut tarball).take(limit).read_to_end(&mut content).map_err(broken)?;
                self.0.blobs.check_document(&content, &what)?;
                contents.documents.insert(path, content);
            } else if Path::new(&path).extension().is_some_and(|end| end == "tar" || end == "json") {
                let kept = self.0.blobs.copy(&mut tarball, None, &what)?;
                contents.files.insert(path, kept);
            }
        }
        Ok(contents)
    }

    fn load_layout(&self, archive: &Path, index: &[u8], name: Option<&str>) -> Result<Vec<Image>, Error> {
        let what = format!("index.json in {}", archive.display());
        let index: Index = manifest::parse(index, &what)?;
        let mut images = Vec::new();
        let mut unnamed = Vec::new();
        for descriptor in &index.manifests {
            match full_name(descriptor)
                .or_else(|| name.map(str::to_owned).filter(|_| index.manifests.len() == 1))
            {
                Some(found) => {
                    let reference: Reference = found.parse()?;
                    let digest = self.image_of(descriptor, &reference.to_string())?;
                    images.push(self.publish(&reference, digest, Origin::Archive)?);
                }
                None => unnamed.push(descriptor.clone()),
            }
        }
        // Without names, the entries are the platforms of one image.
        if images.is_empty()
            && let Some(name) = name
        {
            let reference: Reference = name.parse()?;
            let index = Index { manifests: unnamed };
            let chosen = manifest::choose(&index, manifest::architecture(), name)?;
            let digest = self.image_of(chosen, name)?;
            images.push(self.publish(&reference, digest, Origin::Archive)?);
        }
        if images.is_empty() {
            let reason = "its images have no names; name the image with --name".to_owned();
            return Err(Error::Archive { path: archive.to_owned(), reason });
        }
        Ok(images)
    }

    /// Returns the manifest that a descriptor leads to on this machine's processor.
    fn image_of(&self, descriptor: &Descriptor, reference: &str) -> Result<Digest, Error> {
        let what = format!("{} of image {reference}", descriptor.digest);
        match manifest::document(&self.0.blobs.document(descriptor.digest)?, &what)? {
            Document::Manifest(manifest) => self.check(&manifest, reference).map(|()| descriptor.digest),
            Document::Index(index) => {
                let chosen = manifest::choose(&index, manifest::architecture(), reference)?;
                match manifest::document(&self.0.blobs.document(chosen.digest)?, &what)? {
                    Document::Manifest(manifest) => self.check(&manifest, reference).map(|()| chosen.digest),
                    Document::Index(_) => Err(Error::Document {
                        what,
                        reason: "an index inside an index inside an index".to_owned(),
                    }),
                }
            }
        }
    }

    /// Checks a manifest's bounds.
    pub(crate) fn check(&self, manifest: &Manifest, reference: &str) -> Result<(), Error> {
        if manifest.layers.len() > self.0.limits.layers {
            let limit = format!("{} layers", self.0.limits.layers);
            return Err(Error::Limit { what: format!("image {reference}"), limit });
        }
        if let Some(layer) = manifest.layers.iter().find(|layer| !manifest::is_tree(&layer.media_type)) {
            let media_type = layer.media_type.chars().take(100).collect();
            return Err(Error::MediaType { reference: reference.to_owned(), media_type });
        }
        if manifest.config.size > self.0.limits.document {
            let limit = format!("{} bytes", self.0.limits.document);
            return Err(Error::Limit { what: format!("the configuration of image {reference}"), limit });
        }
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            if blob.size > self.0.limits.blob {
                let limit = format!("{} bytes", self.0.limits.blob);
                return Err(Error::Limit { what: format!("{} of image {reference}", blob.digest), limit });
            }
        }
        Ok(())
    }

    fn load_saved(
        &self,
        archive: &Path,
        saved: &[u8],
        contents: &Contents,
        name: Option<&str>,
    ) -> Result<Vec<Image>, Error> {
        let saved: Vec<Saved> = manifest::parse(saved, &format!("manifest.json in {}", archive.display()))?;
        let find = |path: &str| {
            let path = contents.links.get(path).map_or(path, String::as_str);
            contents.files.get(path).copied().ok_or_else(|| Error::Archive {
                path: archive.to_owned(),
                reason: format!("manifest.json names {path}, which is not there"),
            })
        };
        let mut images = Vec::new();
        for image in saved {
            let (config, config_size) = find(&image.config)?;
            let mut layers = Vec::new();
            for path in &image.layers {
                let (digest, size) = find(path)?;
                layers.push(Descriptor::new(manifest::OCI_LAYER, digest, size));
            }
            let manifest = Manifest {
                schema_version: 2,
                media_type: manifest::OCI_MANIFEST.to_owned(),
                config: Descriptor::new(manifest::OCI_CONFIG, config, config_size),
                layers,
            };
            let tags = image.repo_tags.unwrap_or_default();
            let names: Vec<&str> = if tags.is_empty() {
                name.into_iter().collect()
            } else {
                tags.iter().map(String::as_str).collect()
            };
            self.check(&manifest, names.first().copied().unwrap_or("without a name"))?;
            let content = serde_json::to_vec(&manifest).map_err(|error| Error::Document {
                what: "a manifest".to_owned(),
                reason: error.to_string(),
            })?;
            let digest = self.0.blobs.put(&content, "a manifest")?;
            for name in names {
                images.push(self.publish(&name.parse()?, digest, Origin::Archive)?);
            }
        }
        if images.is_empty() {
            let reason = "its images have no names; name the image with --name".to_owned();
            return Err(Error::Archive { path: archive.to_owned(), reason });
        }
        Ok(images)
    }
}

/// Returns the full name that an archive gives an image; a bare tag is none.
fn full_name(descriptor: &Descriptor) -> Option<String> {
    NAMES
        .iter()
        .filter_map(|key| descriptor.annotations.get(*key))
        .find(|name| name.contains([':', '/']))
        .cloned()
}
