//! One image on its way: manifest first, then what it names, each verified as it comes.

use tokio::sync::mpsc;

use super::client::Client;
use super::{Access, interrupted, refused};
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{self, Descriptor, Document, Manifest};
use crate::reference::Reference;
use crate::store::{Image, Origin, Store};

/// Pieces of a download that wait for the disk.
const BUFFERED: usize = 8;
/// How often a broken download is continued where it broke.
const RESUMPTIONS: u32 = 2;

/// One image on its way.
pub(super) struct Download<'a> {
    store: &'a Store,
    reference: &'a Reference,
    client: Client,
}

impl<'a> Download<'a> {
    pub(super) fn new(store: &'a Store, reference: &'a Reference, access: &Access) -> Result<Self, Error> {
        let client = Client::new(reference, access).map_err(|problem| refused(reference, problem))?;
        Ok(Self { store, reference, client })
    }

    pub(super) async fn run(&self) -> Result<Image, Error> {
        let (digest, manifest) = self.manifest().await?;
        self.store.check(&manifest, &self.reference.to_string())?;
        for blob in [&manifest.config].into_iter().chain(&manifest.layers) {
            self.blob(blob).await?;
        }
        let login = self.client.used_credential().map(|used| used.fingerprint(self.client.registry()));
        self.store.publish(self.reference, digest, Origin::Registry { login })
    }

    /// Fetches the manifest for this machine's processor.
    async fn manifest(&self) -> Result<(Digest, Manifest), Error> {
        let (digest, bytes) = self.document(&self.reference.version(), self.reference.digest()).await?;
        let what = self.what();
        match manifest::document(&bytes, &what)? {
            Document::Manifest(manifest) => Ok((digest, manifest)),
            Document::Index(index) => {
                let chosen = manifest::choose(&index, manifest::architecture(), &self.reference.to_string())?;
                let (digest, bytes) = self.document(&chosen.digest.to_string(), Some(chosen.digest)).await?;
                match manifest::document(&bytes, &what)? {
                    Document::Manifest(manifest) => Ok((digest, manifest)),
                    Document::Index(_) => {
                        Err(Error::Document { what, reason: "an index inside an index".to_owned() })
                    }
                }
            }
        }
    }

    fn what(&self) -> String {
        format!("the manifest of image {}", self.reference)
    }

    /// Fetches and keeps a manifest or index, verified when its digest is known.
    async fn document(&self, version: &str, digest: Option<Digest>) -> Result<(Digest, Vec<u8>), Error> {
        let limit = self.store.0.limits.document;
        let answer = self.client.manifest(version, manifest::ACCEPTED, limit).await;
        let bytes = answer
            .map_err(|problem| refused(self.reference, problem))?
            .ok_or_else(|| Error::Limit { what: self.what(), limit: format!("{limit} bytes") })?;
        let found = Digest::of(&bytes);
        if let Some(expected) = digest.filter(|expected| *expected != found) {
            return Err(Error::Mismatch { what: self.what(), expected, found });
        }
        self.store.0.blobs.put(&bytes, &self.what())?;
        Ok((found, bytes))
    }

    /// Downloads a blob that is not here, verifying it as it comes. The disk's work is done on a thread of its own.
    async fn blob(&self, descriptor: &Descriptor) -> Result<(), Error> {
        // Images that share a layer share its download too.
        let lock = self.store.0.pulling.of(&descriptor.digest.to_string());
        let _once = lock.lock().await;
        if self.store.0.blobs.has(descriptor) {
            return Ok(());
        }
        let what = format!("{} of image {}", descriptor.digest, self.reference);
        let (sender, mut pieces) = mpsc::channel::<bytes::Bytes>(BUFFERED);
        let blobs = self.store.0.blobs.clone();
        let expected = (descriptor.digest, descriptor.size);
        let writer = tokio::task::spawn_blocking(move || {
            let mut staged = blobs.begin(&what)?;
            while let Some(piece) = pieces.blocking_recv() {
                staged.write(&piece, Some(expected.1))?;
            }
            staged.finish(blobs.directory(), Some(expected))
        });
        let fetched = self.fetch(descriptor, sender).await;
        let written = writer.await.map_err(|error| interrupted(self.reference, &error))?;
        fetched?;
        written.map(drop)
    }

    /// Sends the content of a blob to the writer, and goes on where a connection breaks.
    async fn fetch(&self, descriptor: &Descriptor, writer: mpsc::Sender<bytes::Bytes>) -> Result<(), Error> {
        let digest = descriptor.digest.to_string();
        let mut received = 0;
        for attempt in 0..=RESUMPTIONS {
            let answer = self.client.blob(&digest, received).await;
            let mut response = answer.map_err(|problem| refused(self.reference, problem))?;
            // A server that knows no ranges begins again.
            let mut skip =
                if response.status() == reqwest::StatusCode::PARTIAL_CONTENT { 0 } else { received };
            loop {
                match response.chunk().await {
                    Ok(Some(piece)) => {
                        let known = skip.min(piece.len() as u64);
                        skip -= known;
                        let piece = piece.slice(known as usize..);
                        received += piece.len() as u64;
                        // The writer ends early when it finds the blob bad; it then says why.
                        if !piece.is_empty() && writer.send(piece).await.is_err() {
                            return Ok(());
                        }
                    }
                    Ok(None) if received >= descriptor.size || attempt == RESUMPTIONS => return Ok(()),
                    Err(error) if attempt == RESUMPTIONS => {
                        let problem = self.client.broken(&error);
                        return Err(refused(self.reference, problem));
                    }
                    Ok(None) | Err(_) => break,
                }
            }
        }
        Ok(())
    }
}
