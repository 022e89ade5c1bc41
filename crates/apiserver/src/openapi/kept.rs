//! What is kept of documents, all of which can be made again: what they hashed to, and the one of version 2 compressed.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha512};

/// A hash over what a document is made of.
pub(super) type Source = [u8; 32];

/// What is kept.
#[derive(Debug, Default)]
pub struct Kept {
    tags: Mutex<HashMap<String, (Source, Arc<str>)>>,
    pub(super) whole: tokio::sync::Mutex<Option<Arc<Whole>>>,
}

impl Kept {
    /// The tag of the document `name`, which `write` writes if it changed.
    pub(super) fn tag(&self, name: &str, source: Source, write: impl FnOnce() -> String) -> Arc<str> {
        if let Some((known, tag)) = self.tags.lock().get(name)
            && *known == source
        {
            return Arc::clone(tag);
        }
        let tag: Arc<str> = tag_of(write().as_bytes()).into();
        self.tags.lock().insert(name.to_owned(), (source, Arc::clone(&tag)));
        tag
    }

    /// Forgets documents that are no more.
    pub(super) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.tags.lock().retain(|name, _| is_there(name));
    }
}

/// By what clients recognise a document.
pub(super) fn tag_of(document: &[u8]) -> String {
    hex::encode_upper(Sha512::digest(document))
}

/// The document of version 2.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    /// What this server's own part of it is made of.
    pub(super) own: Source,
    /// What other programs told.
    pub(super) theirs: Source,
    /// When other programs were asked for theirs.
    pub(super) asked: Timestamp,
    pub(super) tag: String,
    pub(super) json: Packed,
    pub(super) protobuf: Packed,
}

/// Bytes, compressed.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    /// In gzip's format.
    pub(super) gzip: Bytes,
    length: usize,
}

impl Packed {
    pub(super) fn new(plain: &[u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        // Writing into memory does not fail.
        let packed = encoder.write_all(plain).and_then(|()| encoder.finish()).unwrap_or_default();
        Self { gzip: packed.into(), length: plain.len() }
    }

    pub(super) fn plain(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(self.length);
        let read = GzDecoder::new(&self.gzip[..]).read_to_end(&mut plain);
        debug_assert!(read.is_ok(), "what was packed here can be unpacked");
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_made_again_when_the_source_changed() {
        let kept = Kept::default();
        let first = kept.tag("a", [1; 32], || "x".to_owned());
        assert_eq!(kept.tag("a", [1; 32], || unreachable!()), first);
        assert_ne!(kept.tag("a", [2; 32], || "y".to_owned()), first);
        kept.retain(|name| name != "a");
        assert_eq!(kept.tag("a", [2; 32], || "x".to_owned()), first);
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let packed = Packed::new(b"abcabc");
        assert_eq!(packed.plain(), b"abcabc");
    }
}
