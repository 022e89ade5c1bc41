//! Names of images.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// Registry of images that are only ever loaded into the store, never pulled.
const LOCAL: &str = "ironclad.local";

/// The full name of an image: registry, repository, and tag or digest. Short names mean Docker Hub's, and a name
/// without tag means `latest`, as everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference(oci_client::Reference);

impl Reference {
    /// Returns the host that serves the image, with its port.
    pub fn registry(&self) -> &str {
        self.0.registry()
    }

    /// Returns whether the image can only be loaded, never pulled.
    pub fn is_local(&self) -> bool {
        self.0.registry() == LOCAL
    }

    /// Returns whether the name itself fixes the content.
    pub fn has_digest(&self) -> bool {
        self.0.digest().is_some()
    }

    /// Returns the digest that the name fixes, if any.
    pub fn digest(&self) -> Option<&str> {
        self.0.digest()
    }

    /// Returns whether the tag is `latest`, which moves.
    pub fn is_latest(&self) -> bool {
        !self.has_digest() && self.0.tag() == Some("latest")
    }

    pub(crate) fn inner(&self) -> &oci_client::Reference {
        &self.0
    }

    /// Returns the name of the content `digest` in the same repository.
    pub(crate) fn with_digest(&self, digest: &str) -> oci_client::Reference {
        self.0.clone_with_digest(digest.to_owned())
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.parse().map(Self).map_err(|error: oci_client::ParseError| Error::Reference {
            reference: text.to_owned(),
            reason: error.to_string(),
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.whole())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed() {
        let cases = [
            ("busybox", "docker.io/library/busybox:latest"),
            ("ironclad.local/guest:0.1.0", "ironclad.local/guest:0.1.0"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ];
        for (short, full) in cases {
            assert_eq!(short.parse::<Reference>().unwrap().to_string(), full);
        }
        for bad in ["", "UPPER", "a b", "../x"] {
            assert!(bad.parse::<Reference>().is_err(), "{bad} was read");
        }
    }
}
