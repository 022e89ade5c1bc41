//! Why an image cannot be had.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::Digest;
use crate::registry::Problem;

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
#[allow(clippy::error_impl_error, reason = "the crate has one error; callers write image::Error")]
pub enum Error {
    /// The reference cannot be read.
    #[error("image reference {reference:?} is invalid: {reason}")]
    Reference {
        /// As it was given.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The image is not here, and the policy or its name forbids pulling.
    #[error("image {reference} is not on this node{remedy}")]
    Absent {
        /// The image.
        reference: String,
        /// What to do, as the end of the sentence.
        remedy: &'static str,
    },
    /// The registry did not give it.
    #[error("cannot pull image {reference}: {problem}")]
    Registry {
        /// The image.
        reference: String,
        /// What the registry or the way to it answered.
        problem: Problem,
    },
    /// The image is made of something that is no file tree.
    #[error(
        "image {reference} has a layer of the type {media_type:?}, which cannot be unpacked; use an image of tar layers"
    )]
    MediaType {
        /// The image.
        reference: String,
        /// The layer's type.
        media_type: String,
    },
    /// Content differs from the digest that names it.
    #[error("{what} has the digest {found} instead of {expected}; it was damaged or replaced on its way")]
    Mismatch {
        /// Which content.
        what: String,
        /// The digest that was promised.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// Content is shorter or longer than its descriptor says.
    #[error("{what} has {found} bytes instead of {expected}; it was cut short or replaced on its way")]
    Size {
        /// Which content.
        what: String,
        /// The size that was promised.
        expected: u64,
        /// How much came, at least.
        found: u64,
    },
    /// A limit of this store is exceeded.
    #[error("{what} exceeds the limit of {limit}; raise the image store's limits if the image is trusted")]
    Limit {
        /// What is too large.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// A manifest, index or configuration makes no sense.
    #[error("{what} is not a valid OCI document: {reason}")]
    Document {
        /// Which document.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The image exists, but not for this processor.
    #[error("image {reference} has no variant for {platform}; it offers {offered}")]
    Platform {
        /// The image.
        reference: String,
        /// What this node needs.
        platform: String,
        /// What there is.
        offered: String,
    },
    /// An archive holds neither an OCI layout nor a docker archive.
    #[error("{path} holds no image: {reason}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// A layer has an entry that leads out of its tree or cannot be unpacked.
    #[error("layer {layer} has a bad entry {entry:?}: {reason}")]
    Entry {
        /// The layer.
        layer: Digest,
        /// Path of the entry.
        entry: String,
        /// What is wrong.
        reason: String,
    },
    /// The file system is full or about to be.
    #[error(
        "no space left for images in {path}: {free} bytes are free and {reserve} are kept free; remove images or make room"
    )]
    Space {
        /// The store.
        path: PathBuf,
        /// Free bytes.
        free: u64,
        /// Bytes that stay free.
        reserve: u64,
    },
    /// A layer is no archive, or damaged.
    #[error("layer {layer} cannot be unpacked: {reason}; push the image again")]
    Layer {
        /// The layer.
        layer: Digest,
        /// What is wrong.
        reason: String,
    },
    /// Another pull of the same image failed while this one waited for it.
    #[error(transparent)]
    Shared(Arc<Self>),
    /// The system refused something.
    #[error("cannot {action} {path}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

impl Error {
    /// Returns the error itself where several who waited for one pull share it.
    pub fn own(&self) -> &Self {
        match self {
            Self::Shared(error) => error.own(),
            own => own,
        }
    }

    /// Tells whether the image itself is at fault, so that another try with the same content is of no use.
    pub(crate) fn is_of_the_image(&self) -> bool {
        matches!(
            self,
            Self::Mismatch { .. }
                | Self::Size { .. }
                | Self::Limit { .. }
                | Self::Document { .. }
                | Self::Entry { .. }
                | Self::Layer { .. }
        )
    }

    /// Returns a function that wraps what the system answered, for `map_err`.
    pub(crate) fn system(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::System { action, path, source }
    }
}
