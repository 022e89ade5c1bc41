//! One image on its way: manifest first, then what it names, each verified as it comes.

use std::time::Duration;

use tokio::sync::mpsc;

use super::client::Client;
use super::pace::Pace;
use super::{Access, Problem, interrupted, refused};
use crate::digest::Digest;
use crate::error::Error;
use crate::lease::Lease;
use crate::lock::{self, Guard};
use crate::manifest::{self, Descriptor, Document, Manifest};
use crate::reference::Reference;
use crate::store::{Image, Origin, Store};

/// Pieces of a download that wait for the disk.
const BUFFERED: usize = 8;
/// How often a broken download is continued where it broke, without having come further meanwhile.
const RESUMPTIONS: u32 = 2;
/// Bytes after which a download has come further.
const FURTHER: u64 = 1 << 20;

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
        let (digest, manifest, bytes) = self.manifest().await?;
        self.store.check(&manifest, &self.reference.to_string())?;
        let blobs: Vec<_> = [&manifest.config].into_iter().chain(&manifest.layers).collect();
        let _lease = {
            let guard = self.keep_removers_out().await?;
            self.store.0.blobs.put(&bytes, &self.what())?;
            let wanted = blobs.iter().map(|blob| blob.digest).chain([digest]);
            Lease::take(&self.store.0.root, wanted, &guard)?
        };
        for blob in blobs {
            self.blob(blob).await?;
        }
        let _guard = self.keep_removers_out().await?;
        self.store.publish(self.reference, digest, Origin::Registry { login: self.login() })
    }

    /// Waits for whoever makes room, which takes moments, and keeps everybody from it.
    async fn keep_removers_out(&self) -> Result<Guard, Error> {
        let root = self.store.0.root.clone();
        tokio::task::spawn_blocking(move || lock::shared(&root))
            .await
            .map_err(|error| interrupted(self.reference, &error))?
    }

    /// Returns what the registry was shown, if it asked for something.
    fn login(&self) -> Option<Digest> {
        self.client.used_credential().map(|used| used.fingerprint(self.client.registry()))
    }

    /// Fetches the manifest for this machine's processor.
    async fn manifest(&self) -> Result<(Digest, Manifest, Vec<u8>), Error> {
        let (digest, bytes) = self.document(&self.reference.version(), self.reference.digest()).await?;
        let what = self.what();
        match manifest::document(&bytes, &what)? {
            Document::Manifest(manifest) => Ok((digest, manifest, bytes)),
            Document::Index(index) => {
                let chosen = manifest::choose(&index, manifest::architecture(), &self.reference.to_string())?;
                let (digest, bytes) = self.document(&chosen.digest.to_string(), Some(chosen.digest)).await?;
                match manifest::document(&bytes, &what)? {
                    Document::Manifest(manifest) => Ok((digest, manifest, bytes)),
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

    /// Fetches a manifest or index, verified when its digest is known.
    async fn document(&self, version: &str, digest: Option<Digest>) -> Result<(Digest, Vec<u8>), Error> {
        let limit = self.store.0.limits.document;
        let answer = self.client.manifest(version, manifest::ACCEPTED, limit).await;
        let bytes = answer
            .map_err(|problem| refused(self.reference, problem))?
            .ok_or_else(|| Error::Limit { what: self.what(), limit: format!("{limit} bytes") })?;
        if bytes.trim_ascii_start().starts_with(b"<") {
            let host = self.client.registry().to_owned();
            return Err(refused(self.reference, Problem::NoRegistry { host }));
        }
        let found = Digest::of(&bytes);
        if let Some(expected) = digest.filter(|expected| *expected != found) {
            return Err(Error::Mismatch { what: self.what(), expected, found });
        }
        Ok((found, bytes))
    }

    /// Downloads a blob that is not here, or not for whoever pulls, verifying it as it comes. The disk's work is done on a
    /// thread of its own.
    async fn blob(&self, descriptor: &Descriptor) -> Result<(), Error> {
        // Images that share a layer share its download too.
        let lock = self.store.0.pulling.of(&descriptor.digest.to_string());
        let _once = lock.lock().await;
        let (blobs, rights) = (&self.store.0.blobs, &self.store.0.rights);
        if blobs.has(descriptor) && rights.has(descriptor.digest, self.login()) {
            return Ok(());
        }
        let what = format!("part {} of image {}", descriptor.digest, self.reference);
        let (sender, mut pieces) = mpsc::channel::<bytes::Bytes>(BUFFERED);
        let blobs = blobs.clone();
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
        written?;
        rights.give(descriptor.digest, self.login())
    }

    /// Sends the content of a blob to the writer, and goes on where a connection breaks.
    async fn fetch(&self, descriptor: &Descriptor, writer: mpsc::Sender<bytes::Bytes>) -> Result<(), Error> {
        let digest = descriptor.digest.to_string();
        let (mut received, mut broke_at, mut breaks) = (0, 0, 0);
        loop {
            let answer = self.client.blob(&digest, received).await;
            let mut response = answer.map_err(|problem| refused(self.reference, problem))?;
            // A server that knows no ranges begins again.
            let mut skip =
                if response.status() == reqwest::StatusCode::PARTIAL_CONTENT { 0 } else { received };
            let mut pace = Pace::default();
            let problem = loop {
                let began = tokio::time::Instant::now();
                let chunk = response.chunk().await;
                match chunk {
                    Ok(Some(piece)) => {
                        let is_slow = pace.is_slow(began.elapsed(), piece.len() as u64);
                        let known = skip.min(piece.len() as u64);
                        skip -= known;
                        let piece = piece.slice(known as usize..);
                        received += piece.len() as u64;
                        // The writer ends early when it finds the blob bad; it then says why.
                        if !piece.is_empty() && writer.send(piece).await.is_err() {
                            return Ok(());
                        }
                        if is_slow {
                            break Some(self.slow());
                        }
                    }
                    Ok(None) if received >= descriptor.size => return Ok(()),
                    Ok(None) => break None,
                    Err(error) => break Some(self.client.broken(&error)),
                }
            };
            if received >= broke_at + FURTHER {
                (broke_at, breaks) = (received, 0);
            }
            if breaks == RESUMPTIONS {
                // Without a problem it is the writer that finds the end missing.
                return problem.map_or(Ok(()), |problem| Err(refused(self.reference, problem)));
            }
            breaks += 1;
        }
    }

    fn slow(&self) -> Problem {
        let (bytes, window): (u64, Duration) = (super::pace::LEAST, super::pace::WINDOW);
        Problem::Slow { host: self.client.registry().to_owned(), bytes, seconds: window.as_secs() }
    }
}
