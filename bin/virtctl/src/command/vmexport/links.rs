//! Where an export's server has what is wanted.

use anyhow::{Result, anyhow, bail};
use http::Uri;
use serde_json::Value;

/// One thing to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) url: Uri,
    /// Whether what comes is packed by gzip.
    pub(super) packed: bool,
}

/// The links that are used: those for the world, or those inside of the cluster when the server is reached in another way.
pub(super) fn of<'a>(export: &'a Value, service: Option<&str>) -> Option<&'a Value> {
    let links = &export["status"]["links"];
    let outside = &links["external"];
    if service.is_none() && outside.is_object() { Some(outside) } else { Some(&links["internal"]) }
        .filter(|links| links.is_object())
}

/// Returns whether the links are there that will be used.
pub(super) fn are_there(export: &Value, service: Option<&str>) -> bool {
    let side = if service.is_none() { "external" } else { "internal" };
    export["status"]["links"][side].is_object()
}

fn name(export: &Value) -> String {
    let text = |field: &str| export["metadata"][field].as_str().unwrap_or_default().to_owned();
    format!("'{}/{}' VirtualMachineExport", text("namespace"), text("name"))
}

/// Finds a volume: packed, where it is to be had so.
pub(super) fn volume(export: &Value, wanted: &str, service: Option<&str>) -> Result<Link> {
    let volumes =
        of(export, service).and_then(|links| links["volumes"].as_array()).filter(|list| !list.is_empty());
    let volumes = volumes.ok_or_else(|| anyhow!("unable to access the volume info from {}", name(export)))?;
    if volumes.len() > 1 && wanted.is_empty() {
        let names: Vec<_> = volumes.iter().filter_map(|volume| volume["name"].as_str()).collect();
        bail!(
            "detected more than one downloadable volume in {}: Select the expected volume using the --volume flag ({})",
            name(export),
            names.join(", ")
        );
    }
    let found = volumes.iter().find(|volume| volumes.len() == 1 || volume["name"] == wanted);
    let formats = found.and_then(|volume| volume["formats"].as_array()).into_iter().flatten();
    let of_format = |format: &str| formats.clone().find(|known| known["format"] == format);
    let packed = of_format("gzip").or_else(|| of_format("tar.gz"));
    let chosen = packed.or_else(|| of_format("raw"));
    let url = chosen.and_then(|format| format["url"].as_str());
    let url = url.ok_or_else(|| anyhow!("unable to get a valid URL from {}", name(export)))?;
    Ok(Link { url: at(url, service)?, packed: packed.is_some() })
}

/// Finds the manifests of a kind: `all`, or `auth-header-secret`.
pub(super) fn manifest(export: &Value, kind: &str, service: Option<&str>) -> Result<Link> {
    let missing = || anyhow!("unable to access the manifest info from {}", name(export));
    let side = if service.is_none() { "external" } else { "internal" };
    let manifests = export["status"]["links"][side]["manifests"].as_array().ok_or_else(missing)?;
    let found = manifests.iter().find(|manifest| manifest["type"] == kind);
    let url = found.and_then(|manifest| manifest["url"].as_str()).ok_or_else(missing)?;
    Ok(Link { url: at(url, service)?, packed: false })
}

/// Puts another server into a URL.
fn at(url: &str, service: Option<&str>) -> Result<Uri> {
    let uri: Uri = url.parse().map_err(|error| anyhow!("parse {url:?}: {error}"))?;
    let Some(service) = service else { return Ok(uri) };
    let mut parts = uri.into_parts();
    parts.authority = Some(service.parse().map_err(|error| anyhow!("parse {service:?}: {error}"))?);
    Ok(Uri::from_parts(parts)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn export() -> Value {
        let format =
            |format: &str, host: &str| json!({"format": format, "url": format!("https://{host}/v/{format}")});
        json!({"metadata": {"namespace": "a", "name": "e"}, "status": {"links": {
            "external": {"cert": "C", "volumes": [
                {"name": "one", "formats": [format("raw", "out"), format("gzip", "out")]},
                {"name": "two", "formats": [format("raw", "out")]},
                {"name": "three", "formats": [format("dir", "out"), format("tar.gz", "out")]},
            ], "manifests": [{"type": "all", "url": "https://out/all"}]},
            "internal": {"volumes": [{"name": "one", "formats": [format("gzip", "in.svc")]}],
                         "manifests": [{"type": "all", "url": "https://in.svc/all"}]},
        }}})
    }

    #[test]
    fn what_is_packed_is_preferred() {
        let link = |name: &str, service: Option<&str>| {
            volume(&export(), name, service)
                .map(|link| (link.url.to_string(), link.packed))
                .map_err(|error| error.to_string())
        };
        assert_eq!(link("one", None), Ok(("https://out/v/gzip".to_owned(), true)));
        assert_eq!(link("two", None), Ok(("https://out/v/raw".to_owned(), false)));
        assert_eq!(link("three", None), Ok(("https://out/v/tar.gz".to_owned(), true)));
        assert_eq!(link("", Some("127.0.0.1:5410")), Ok(("https://127.0.0.1:5410/v/gzip".to_owned(), true)));
        assert!(
            link("", None)
                .unwrap_err()
                .contains("Select the expected volume using the --volume flag (one, two")
        );
        assert_eq!(
            link("none", None),
            Err("unable to get a valid URL from 'a/e' VirtualMachineExport".to_owned())
        );
        let bare =
            json!({"metadata": {"namespace": "a", "name": "e"}, "status": {"links": {"external": {}}}});
        assert!(
            volume(&bare, "", None).unwrap_err().to_string().starts_with("unable to access the volume info")
        );
    }

    #[test]
    fn manifests_are_found_by_type() {
        let url = |service| manifest(&export(), "all", service).map(|link| link.url.to_string());
        assert_eq!(url(None).unwrap(), "https://out/all");
        assert_eq!(url(Some("h:1")).unwrap(), "https://h:1/all");
        assert!(manifest(&export(), "auth-header-secret", None).is_err());
        assert!(are_there(&export(), None) && !are_there(&json!({}), Some("h")));
    }
}
