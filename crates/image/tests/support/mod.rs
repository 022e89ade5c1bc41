//! Images made for a test, as layouts on disk and behind a small registry.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should fail")]

pub(crate) mod liar;
pub(crate) mod registry;

use std::path::Path;

use sha2::{Digest as _, Sha256};

/// An image in pieces: its blobs and its manifest.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Vec<u8>>,
}

pub(crate) fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

/// Packs one file into an uncompressed layer.
pub(crate) fn layer(path: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append_data(&mut header, path, content).unwrap();
    builder.into_inner().unwrap()
}

/// Makes an image of zstd-compressed layers.
pub(crate) fn build(layers: &[Vec<u8>]) -> Built {
    let ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let config = serde_json::json!({
        "architecture": architecture(), "os": "linux",
        "config": {"Entrypoint": ["/bin/x"], "Cmd": null},
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    let config = serde_json::to_vec(&config).unwrap();
    let layers: Vec<Vec<u8>> =
        layers.iter().map(|layer| zstd::encode_all(layer.as_slice(), 1).unwrap()).collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": layers.iter()
            .map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar+zstd", layer)).collect::<Vec<_>>(),
    });
    Built { manifest: serde_json::to_vec(&manifest).unwrap(), config, layers }
}

pub(crate) fn descriptor(media_type: &str, content: &[u8]) -> serde_json::Value {
    serde_json::json!({"mediaType": media_type, "digest": digest(content), "size": content.len()})
}

pub(crate) fn architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }
}

/// Makes an index that offers the image for this machine, and something else for another one.
pub(crate) fn index(image: &Built) -> Vec<u8> {
    let mut own = descriptor("application/vnd.oci.image.manifest.v1+json", &image.manifest);
    own["platform"] = serde_json::json!({"architecture": architecture(), "os": "linux"});
    let mut other = descriptor("application/vnd.oci.image.manifest.v1+json", b"other");
    other["platform"] = serde_json::json!({"architecture": "s390x", "os": "linux"});
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [other, own],
    });
    serde_json::to_vec(&index).unwrap()
}

/// Writes an OCI layout into `directory`.
pub(crate) fn write_layout(directory: &Path, image: &Built, name: &str) {
    let blobs = directory.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    for content in image.layers.iter().chain([&image.manifest, &image.config]) {
        std::fs::write(blobs.join(&digest(content)[7..]), content).unwrap();
    }
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &image.manifest);
    entry["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": name});
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [entry]});
    std::fs::write(directory.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    std::fs::write(directory.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}
