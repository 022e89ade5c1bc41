//! Names of images.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::Error;

/// Registry of images that are only ever loaded into the store, never pulled.
const LOCAL: &str = "ironclad.local";
/// Registry of names that name none.
const HUB: &str = "docker.io";
/// Where that one is reached.
const HUB_HOST: &str = "registry-1.docker.io";
/// Longest registry and repository together, as registries have it.
const LONGEST_NAME: usize = 255;

/// The full name of an image: registry, repository, and tag or digest. Short names mean Docker Hub's, and a name
/// without tag means `latest`, as everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Returns the host that serves the image, with its port.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the host that is connected to, which differs for Docker Hub.
    pub(crate) fn host(&self) -> &str {
        if self.registry == HUB { HUB_HOST } else { &self.registry }
    }

    /// Returns the name below the registry.
    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns what a registry calls the manifest: the digest where there is one, else the tag.
    pub(crate) fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// Returns whether the image can only be loaded, never pulled.
    pub fn is_local(&self) -> bool {
        self.registry == LOCAL
    }

    /// Returns the digest that the name fixes, if any.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Returns whether the tag is `latest`, which moves.
    pub fn is_latest(&self) -> bool {
        self.digest.is_none() && self.tag.as_deref() == Some("latest")
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).map_err(|reason| Error::Reference {
            reference: text.chars().take(LONGEST_NAME).collect(),
            reason: reason.to_owned(),
        })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    let (rest, digest) = match text.split_once('@') {
        None => (text, None),
        Some((rest, digest)) => {
            let digest: Digest =
                digest.parse().map_err(|_| "after @ there is no digest of the form sha256:HEX")?;
            (rest, Some(digest))
        }
    };
    // A colon before the last slash belongs to a port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path.to_owned()),
        _ => (HUB, name.to_owned()),
    };
    let registry = if registry == "index.docker.io" { HUB } else { registry };
    let repository = if registry == HUB && !path.contains('/') { format!("library/{path}") } else { path };
    if registry.len() + repository.len() >= LONGEST_NAME {
        return Err("it is longer than 255 characters");
    }
    if !is_host(registry) {
        return Err("its registry is no host name or address");
    }
    if !repository.split('/').all(is_component) {
        return Err("its name has other characters than a-z, 0-9, and single . _ - between them");
    }
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("its tag has other characters than A-Z, a-z, 0-9, . _ -, or more than 128");
    }
    let tag = tag.or_else(|| digest.is_none().then_some("latest")).map(str::to_owned);
    Ok(Reference { registry: registry.to_owned(), repository, tag, digest })
}

/// `HOST`, `HOST:PORT`, `[V6]:PORT`.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok() && port.is_none_or(is_port);
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Lower-case words, joined by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    if !bytes.first().copied().is_some_and(is_word) || !bytes.last().copied().is_some_and(is_word) {
        return false;
    }
    let separators = bytes.split(|byte| is_word(*byte)).filter(|separator| !separator.is_empty());
    separators.into_iter().all(|separator| {
        matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
    })
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        self.digest.iter().try_for_each(|digest| write!(formatter, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn names_are_completed() {
        let cases = [
            ("busybox", "docker.io/library/busybox:latest"),
            ("team/busybox:1", "docker.io/team/busybox:1"),
            ("index.docker.io/library/busybox", "docker.io/library/busybox:latest"),
            ("ironclad.local/guest:0.1.0", "ironclad.local/guest:0.1.0"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("[::1]:5000/a:1", "[::1]:5000/a:1"),
            ("Quay.Example/a__b/c-d--e.f_g:V_1.x-y", "Quay.Example/a__b/c-d--e.f_g:V_1.x-y"),
        ];
        for (short, full) in cases {
            assert_eq!(short.parse::<Reference>().unwrap().to_string(), full);
        }
        let both = format!("quay.example/a:1@{DIGEST}");
        let reference: Reference = both.parse().unwrap();
        assert_eq!((reference.to_string(), reference.version()), (both, DIGEST.to_owned()));
        assert_eq!(format!("a@{DIGEST}").parse::<Reference>().unwrap().tag, None);
        assert_eq!("busybox".parse::<Reference>().unwrap().host(), HUB_HOST);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(300);
        for bad in [
            "",
            "UPPER",
            "a b",
            "../x",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a:",
            "a:.b",
            "a@sha256:00",
            "a@md5:00",
            "host.example:0/a",
            "host.example:x/a",
            "host.example:99999/a",
            "bad_host.example/a",
            "-x.example/a",
            "[::g]/a",
            "a?b",
            "a#b",
            "a%2fb",
            &long,
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad} was read");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_so_that_it_reads_the_same(text in "[a-zA-Z0-9./:@_-]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
            }
        }
    }
}
