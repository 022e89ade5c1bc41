//! Where volumes of type `image` come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// When an image is fetched from its registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Each time; what is stored is used when its digest is the registry's.
    Always,
    /// When it is not stored.
    IfNotPresent,
    /// Never.
    Never,
}

impl PullPolicy {
    /// Reads the API's word; without one, `latest` and no tag mean `Always`.
    pub fn of(word: Option<&str>, reference: &str) -> Self {
        match word {
            Some("Always") => Self::Always,
            Some("Never") => Self::Never,
            Some("IfNotPresent") => Self::IfNotPresent,
            _ if reference.contains('@') => Self::IfNotPresent,
            _ => match reference.rsplit_once(':') {
                Some((_, tag)) if !tag.contains('/') && tag != "latest" => Self::IfNotPresent,
                _ => Self::Always,
            },
        }
    }
}

/// How an image is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// When.
    pub policy: PullPolicy,
    /// What its registry may ask for.
    pub secrets: Vec<PullSecret>,
}

/// Credentials for registries.
#[derive(Clone, PartialEq, Eq)]
pub struct PullSecret {
    /// Name of the Secret.
    pub name: String,
    /// Docker's configuration document.
    pub document: Vec<u8>,
}

impl std::fmt::Debug for PullSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PullSecret({})", self.name)
    }
}

impl PullSecret {
    /// Reads a Secret of the types that hold such a document; `None` for others.
    pub fn of(name: &str, mut data: BTreeMap<String, Vec<u8>>) -> Option<Self> {
        let document = data.remove(".dockerconfigjson").or_else(|| {
            // The older form is what the newer one has below `auths`.
            let old: serde_json::Value = serde_json::from_slice(&data.remove(".dockercfg")?).ok()?;
            serde_json::to_vec(&serde_json::json!({ "auths": old })).ok()
        })?;
        Some(Self { name: name.to_owned(), document })
    }
}

/// An image that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// Root of its files; shared, never written.
    pub directory: PathBuf,
    /// Digest of its manifest.
    pub digest: String,
    /// A sentence about how it was had, where people would expect something else.
    pub note: Option<String>,
}

/// Why an image cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It could not be fetched or unpacked, or there was no room for it; another try may work.
    #[error("{0}")]
    Pull(String),
    /// It is not stored, and must not be fetched.
    #[error("{0}")]
    Absent(String),
    /// The reference is not well formed.
    #[error("{0}")]
    InvalidName(String),
}

impl ImageError {
    /// Returns the word for a container's `state.waiting.reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Pull(_) => "ErrImagePull",
            Self::Absent(_) => "ErrImageNeverPull",
            Self::InvalidName(_) => "InvalidImageName",
        }
    }

    /// Returns the word for the Event that tells of it.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Pull(_) => "Failed",
            Self::Absent(_) => "ErrImageNeverPull",
            Self::InvalidName(_) => "InspectFailed",
        }
    }
}

/// An image of the store, as far as making room is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Full name.
    pub reference: String,
    /// Whether a Pod uses it.
    pub used: bool,
    /// Whether it stays, however little space is left: nothing could bring it back.
    pub pinned: bool,
}

/// Space of the file system that the images are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub capacity: u64,
    /// Bytes that can still be written.
    pub available: u64,
}

/// A store of images.
#[async_trait::async_trait]
pub trait Images: Send + Sync {
    /// Tells whether the image can be used without asking a registry.
    async fn is_here(&self, reference: &str, pull: &Pull) -> bool;

    /// Makes the files of an image available, fetching it as `pull` says, and keeps them for as long as the
    /// symbolic link `link`, which the caller makes, leads to them.
    async fn ensure(&self, reference: &str, pull: &Pull, link: &Path) -> Result<Unpacked, ImageError>;

    /// Lists the images.
    async fn stock(&self) -> Result<Vec<Stored>, ImageError>;

    /// Measures the space.
    async fn space(&self) -> Result<Space, ImageError>;

    /// Removes an image unless it is used or pinned, and what belongs to no image. Returns whether it could be tried:
    /// it cannot while an image is being added.
    async fn remove(&self, reference: Option<&str>) -> Result<bool, ImageError>;
}

#[cfg(test)]
mod tests {
    use super::{PullPolicy, PullSecret};
    use std::collections::BTreeMap;

    #[test]
    fn both_forms_of_credentials_are_read() {
        let of = |key: &str, text: &str| {
            PullSecret::of("s", BTreeMap::from([(key.to_owned(), text.as_bytes().to_vec())]))
        };
        let new = of(".dockerconfigjson", r#"{"auths":{"a":{}}}"#).expect("the usual form");
        assert_eq!(of(".dockercfg", r#"{"a":{}}"#).expect("the older form"), new);
        assert_eq!((of("password", "x"), of(".dockercfg", "x")), (None, None));
    }

    #[test]
    fn the_default_policy_depends_on_the_tag() {
        for (reference, expected) in [
            ("a.example/b:1", PullPolicy::IfNotPresent),
            ("a.example/b:latest", PullPolicy::Always),
            ("a.example:5000/b", PullPolicy::Always),
            ("a.example/b@sha256:00", PullPolicy::IfNotPresent),
        ] {
            assert_eq!(PullPolicy::of(None, reference), expected, "{reference}");
        }
        assert_eq!(PullPolicy::of(Some("Never"), "a:latest"), PullPolicy::Never);
    }
}
