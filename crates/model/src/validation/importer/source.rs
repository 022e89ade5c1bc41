//! What fills a volume.

use machinery::field::Path;
use serde_json::Value;

use super::{Checked, invalid, set, text};

/// Hash algorithms of checksums, with the number of hexadecimal digits.
const ALGORITHMS: [(&str, usize); 4] = [("md5", 32), ("sha1", 40), ("sha256", 64), ("sha512", 128)];

/// Checks the source of a DataVolume: an import, an upload, or a copy.
pub(super) fn data_volume(at: &Path, source: &Value, content: &str) -> Checked {
    one(at, source)?;
    content_type(at, content)?;
    for (field, name) in [("pvc", "PVC"), ("snapshot", "Snapshot")] {
        let Some(copied) = set(source, field) else { continue };
        if text(copied, "namespace").is_empty() || text(copied, "name").is_empty() {
            let rule = "name what is copied, and its namespace";
            return invalid(at.child("source").child(name), copied.clone(), rule);
        }
    }
    kinds(at, source, content)
}

/// Checks the source of an import.
pub(super) fn import(at: &Path, source: &Value, content: &str) -> Checked {
    one(at, source)?;
    kinds(at, source, content)
}

pub(super) fn content_type(at: &Path, content: &str) -> Checked {
    match content {
        "" | "kubevirt" | "archive" => Ok(()),
        _ => {
            invalid(at.child("contentType"), content, "write kubevirt (a disk image) or archive (a tar file)")
        }
    }
}

fn one(at: &Path, source: &Value) -> Checked {
    let given = source.as_object().into_iter().flatten().filter(|(_, one)| !one.is_null());
    let given: Vec<&str> = given.map(|(name, _)| name.as_str()).collect();
    match given.as_slice() {
        [_] => Ok(()),
        [] => invalid(at.child("source"), (), "give one source, such as http, registry or blank"),
        several => invalid(at.child("source"), several.join(", "), "give one source, not several"),
    }
}

fn kinds(at: &Path, source: &Value, content: &str) -> Checked {
    let at_source = at.child("source");
    for (field, name) in [("http", "HTTP"), ("s3", "S3"), ("gcs", "GCS")] {
        if let Some(source) = set(source, field) {
            url(&at_source.child(name), source)?;
        }
    }
    if let Some(http) = set(source, "http") {
        checksum(&at_source.child("HTTP.checksum"), text(http, "checksum"))?;
    }
    if set(source, "blank").is_some() && content == "archive" {
        return invalid(at.child("contentType"), content, "a blank disk is no archive: leave it out");
    }
    if let Some(registry) = set(source, "registry") {
        if !matches!(content, "" | "kubevirt") {
            let rule = "what comes from a registry is a disk image: leave it out";
            return invalid(at.child("contentType"), content, rule);
        }
        from_registry(&at_source.child("Registry"), registry)?;
    }
    if let Some(imageio) = set(source, "imageio") {
        let at = at_source.child("Imageio");
        complete(&at, imageio, &["secretRef", "diskId"])?;
        if text(imageio, "certConfigMap").is_empty() && imageio["insecureSkipVerify"] != true {
            return invalid(at, (), "give certConfigMap, or insecureSkipVerify: true");
        }
        url(&at_source.child("ImageIO"), imageio)?;
    }
    if let Some(vddk) = set(source, "vddk") {
        let at = at_source.child("VDDK");
        complete(&at, vddk, &["secretRef", "uuid", "backingFile", "thumbprint"])?;
        url(&at, vddk)?;
    }
    Ok(())
}

fn complete(at: &Path, source: &Value, needed: &[&str]) -> Checked {
    match needed.iter().find(|field| text(source, field).is_empty()) {
        Some(field) => invalid(at.clone(), (), format!("give its {field}")),
        None => Ok(()),
    }
}

fn url(at: &Path, source: &Value) -> Checked {
    let written = text(source, "url");
    let at = at.child("url");
    if written.is_empty() {
        return invalid(at, "", "say where the image is, such as https://images.example/disk.qcow2");
    }
    match scheme(written) {
        Some(scheme) if ["http", "https", "gs"].contains(&scheme.as_str()) => Ok(()),
        _ => invalid(at, written, "write a URL that begins with http://, https:// or gs://"),
    }
}

/// Returns the scheme of a URL in lower case; none when it is no URL.
fn scheme(url: &str) -> Option<String> {
    let (scheme, _) = url.split_once(':')?;
    let is_clean = !url.contains(|c: char| c.is_ascii_control() || c == ' ');
    (is_clean && scheme.starts_with(|c: char| c.is_ascii_alphabetic())).then(|| scheme.to_ascii_lowercase())
}

fn checksum(at: &Path, written: &str) -> Checked {
    if written.is_empty() {
        return Ok(());
    }
    let (algorithm, digits) = written.split_once(':').unwrap_or((written, ""));
    let (algorithm, digits) = (algorithm.trim().to_ascii_lowercase(), digits.trim());
    let Some((_, length)) = ALGORITHMS.into_iter().find(|(known, _)| *known == algorithm) else {
        return invalid(at.clone(), written, "write algorithm:digits, with md5, sha1, sha256 or sha512");
    };
    if digits.len() == length && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(());
    }
    invalid(at.clone(), written, format!("{algorithm} has {length} hexadecimal digits"))
}

fn from_registry(at: &Path, registry: &Value) -> Checked {
    let (url, stream) = (set(registry, "url"), set(registry, "imageStream"));
    if url.is_some() == stream.is_some() {
        return invalid(at.clone(), (), "give url or imageStream, one of them");
    }
    if let Some(url) = url {
        let written = url.as_str().unwrap_or_default();
        if !matches!(scheme(written).as_deref(), Some("docker" | "oci-archive")) {
            let rule = "write a URL that begins with docker:// or oci-archive:";
            return invalid(at.child("URL"), written, rule);
        }
    }
    let at = at.child("importMethod");
    let method = set(registry, "pullMethod").and_then(Value::as_str);
    if let Some(method) = method.filter(|method| !matches!(*method, "pod" | "node")) {
        return invalid(at, method, "pullMethod is pod or node");
    }
    match stream {
        Some(stream) if stream == "" => invalid(at, "", "name the image stream, or give url"),
        Some(_) if method != Some("node") => {
            invalid(at, method.unwrap_or_default(), "an image stream needs pullMethod: node")
        }
        _ => Ok(()),
    }
}
