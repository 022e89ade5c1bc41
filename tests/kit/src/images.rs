//! Container images made for a test: an OCI layout with one layer.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Writes the image `reference` with `files` (path and content) as an OCI layout below `directory`, and returns the
/// layout's directory, which `ironclad image load` takes.
///
/// # Panics
/// When it cannot be written.
pub fn image(directory: &Path, reference: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let layout = directory.join(hash(reference.as_bytes()));
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("a directory for blobs");
    let keep = |content: &[u8], kind: &str| -> Value {
        let digest = hash(content);
        std::fs::write(blobs.join(&digest), content).expect("writing a blob");
        let media_type = format!("application/vnd.oci.image.{kind}");
        json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len()})
    };
    let layer = keep(&layer(files), "layer.v1.tar");
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = keep(config.to_string().as_bytes(), "config.v1+json");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer],
    });
    let mut manifest = keep(manifest.to_string().as_bytes(), "manifest.v1+json");
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": reference});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    std::fs::write(layout.join("index.json"), index.to_string()).expect("writing the index");
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
        .expect("writing the layout");
    layout
}

fn layer(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        // So that programs in it can be run.
        header.set_mode(0o755);
        archive.append_data(&mut header, path, *content).expect("a file of the layer");
    }
    archive.into_inner().expect("the layer's end")
}

fn hash(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}
