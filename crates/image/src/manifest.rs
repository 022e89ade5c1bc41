//! The documents of an image: index, manifest, configuration, in OCI's and Docker's dialects.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::digest::Digest;
use crate::error::Error;

/// Media types that are asked of registries, best first.
pub(crate) const ACCEPTED: &[&str] = &[
    OCI_MANIFEST,
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Refers to content by digest and size.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Returns a descriptor of `media_type` for known content.
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.to_owned(), digest, size, platform: None, annotations: BTreeMap::new() }
    }
}

/// What an image runs on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
}

/// One image.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// Several images under one name, for different platforms.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Index {
    pub(crate) manifests: Vec<Descriptor>,
}

/// What a manifest's digest leads to.
#[derive(Debug)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Index),
}

/// Configuration of an image: how it is meant to be run, and the digests of its unpacked layers.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) config: Option<Settings>,
    #[serde(default)]
    pub(crate) rootfs: RootFs,
}

/// Digests of the layers' tar streams, lowest first.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct RootFs {
    #[serde(default)]
    pub(crate) diff_ids: Vec<Digest>,
}

/// How an image is meant to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Settings {
    /// Program and its first arguments.
    #[serde(default, deserialize_with = "or_empty")]
    pub entrypoint: Vec<String>,
    /// Further arguments, unless the container brings its own.
    #[serde(default, deserialize_with = "or_empty")]
    pub cmd: Vec<String>,
    /// Environment as `NAME=VALUE`.
    #[serde(default, deserialize_with = "or_empty")]
    pub env: Vec<String>,
    /// Directory that the program starts in.
    #[serde(default)]
    pub working_dir: String,
    /// User and group, by name or number.
    #[serde(default)]
    pub user: String,
    /// Labels.
    #[serde(default, deserialize_with = "or_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Reads `null` as empty, as Docker writes it.
fn or_empty<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a JSON document; `what` names it in the error.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::Document { what: what.to_owned(), reason: error.to_string() })
}

/// Reads a manifest or an index, told apart by what they hold (media types are often left out).
pub(crate) fn document(bytes: &[u8], what: &str) -> Result<Document, Error> {
    let value: serde_json::Value = parse(bytes, what)?;
    if value.get("schemaVersion").and_then(serde_json::Value::as_u64) == Some(1) {
        let reason = "it is of the old schema 1; push the image again with a current tool".to_owned();
        return Err(Error::Document { what: what.to_owned(), reason });
    }
    if value.get("manifests").is_some() {
        parse(bytes, what).map(Document::Index)
    } else {
        parse(bytes, what).map(Document::Manifest)
    }
}

/// Returns whether a layer of this media type is a tar, compressed in a way that unpacking knows. Old tools leave
/// the type out.
pub(crate) fn is_tree(media_type: &str) -> bool {
    const TREES: [&str; 4] = [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ];
    let rest = TREES.iter().find_map(|tree| media_type.strip_prefix(tree));
    media_type.is_empty() || matches!(rest, Some("" | "+gzip" | ".gzip" | "+zstd" | ".zstd"))
}

/// Chooses the image for `architecture` (Kubernetes' word) of an index.
pub(crate) fn choose<'a>(
    index: &'a Index,
    architecture: &str,
    reference: &str,
) -> Result<&'a Descriptor, Error> {
    let fits = |entry: &&Descriptor| match &entry.platform {
        Some(platform) => {
            platform.architecture == architecture && (platform.os == "linux" || platform.os.is_empty())
        }
        None => index.manifests.len() == 1,
    };
    index.manifests.iter().find(fits).ok_or_else(|| Error::Platform {
        reference: reference.to_owned(),
        platform: format!("linux/{architecture}"),
        offered: offered(index),
    })
}

fn offered(index: &Index) -> String {
    // Each once, and not more words than a sentence bears: an index comes from strangers.
    const MOST: usize = 8;
    let word = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).take(16).collect::<String>();
    let names: BTreeSet<String> = index
        .manifests
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .filter(|platform| platform.os != "unknown")
        .map(|platform| format!("{}/{}", word(&platform.os), word(&platform.architecture)))
        .collect();
    let shown: Vec<&str> = names.iter().take(MOST).map(String::as_str).collect();
    match (shown.is_empty(), names.len() > MOST) {
        (true, _) => "none that it names".to_owned(),
        (false, false) => shown.join(", "),
        (false, true) => format!("{} and others", shown.join(", ")),
    }
}

/// Returns the architecture of this machine in Kubernetes' words.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_decides_and_its_lack_is_said() {
        let entry = |architecture: &str| {
            let mut descriptor = Descriptor::new(OCI_MANIFEST, Digest::of(architecture.as_bytes()), 1);
            descriptor.platform =
                Some(Platform { architecture: architecture.to_owned(), os: "linux".to_owned() });
            descriptor
        };
        let index = Index { manifests: vec![entry("amd64"), entry("arm64")] };
        assert_eq!(choose(&index, "arm64", "x").unwrap().digest, Digest::of(b"arm64"));
        let error = choose(&index, "riscv64", "example/x:1").unwrap_err().to_string();
        assert_eq!(
            error,
            "image example/x:1 has no variant for linux/riscv64; it offers linux/amd64, linux/arm64"
        );
    }

    #[test]
    fn docker_writes_null_for_empty() {
        let settings: Settings =
            parse(br#"{"Cmd":null,"Entrypoint":["/x"],"Labels":null}"#, "config").unwrap();
        assert_eq!((settings.cmd, settings.entrypoint), (vec![], vec!["/x".to_owned()]));
    }
}
