//! The volumes that uploads go into, as objects.

use anyhow::{Result, bail};
use machinery::quantity::Quantity;
use serde_json::{Map, Value, json};

/// Says that a claim takes an upload.
pub(super) const TARGET: &str = "cdi.kubevirt.io/storage.upload.target";
/// Says what is uploaded: `kubevirt` or `archive`.
const CONTENT: &str = "cdi.kubevirt.io/storage.contentType";
/// Says that a claim is bound without waiting for its first user.
const BIND: &str = "cdi.kubevirt.io/storage.bind.immediate.requested";
/// Tells how far the Pod is that works on a claim.
pub(super) const PHASE: &str = "cdi.kubevirt.io/storage.pod.phase";
/// Lets the importer choose what suits the class.
const PROFILE: &str = "cdi.kubevirt.io/applyStorageProfile";

/// A volume that is wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// A claim alone, without a DataVolume.
    pub(super) claim: bool,
    pub(super) archive: bool,
    pub(super) size: String,
    pub(super) class: String,
    pub(super) access: String,
    /// `block`, `filesystem`, or empty.
    pub(super) mode: String,
    pub(super) bind: bool,
    pub(super) labels: Map<String, Value>,
}

impl Wanted {
    fn content(&self) -> &'static str {
        if self.archive { "archive" } else { "kubevirt" }
    }

    /// Returns the object that is created.
    ///
    /// # Errors
    /// When the size is none, or the volume could not be written.
    pub(super) fn object(&self) -> Result<Value> {
        let spec = self.storage()?;
        let mut annotations = Map::new();
        if self.bind {
            annotations.insert(BIND.to_owned(), "".into());
        }
        let mut labels = self.labels.clone();
        let mut object = if self.claim {
            annotations.insert(TARGET.to_owned(), "".into());
            annotations.insert(CONTENT.to_owned(), self.content().into());
            labels.insert(PROFILE.to_owned(), "true".into());
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": self.name}, "spec": spec})
        } else {
            json!({
                "apiVersion": "cdi.kubevirt.io/v1beta1",
                "kind": "DataVolume",
                "metadata": {"name": self.name},
                "spec": {"source": {"upload": {}}, "contentType": self.content(), "storage": spec},
            })
        };
        for (field, given) in [("labels", labels), ("annotations", annotations)] {
            if !given.is_empty() {
                object["metadata"][field] = given.into();
            }
        }
        Ok(object)
    }

    fn storage(&self) -> Result<Value> {
        if self.access == "ReadOnlyMany" {
            bail!(
                "cannot upload to a readonly volume, use either ReadWriteOnce or ReadWriteMany if supported"
            );
        }
        let size = Quantity::parse(&self.size);
        let size = match size {
            Ok(size) => size.canonical(),
            Err(error) => bail!("validation failed for size={}: {error}", self.size),
        };
        let mut spec = json!({"resources": {"requests": {"storage": size}}});
        if !self.class.is_empty() {
            spec["storageClassName"] = self.class.as_str().into();
        }
        match self.access.as_str() {
            // Nobody chooses for a claim alone.
            "" if self.claim => spec["accessModes"] = json!(["ReadWriteOnce"]),
            "" => {}
            access => spec["accessModes"] = json!([access]),
        }
        match self.mode.as_str() {
            "block" => spec["volumeMode"] = "Block".into(),
            "filesystem" => spec["volumeMode"] = "Filesystem".into(),
            _ => {}
        }
        Ok(spec)
    }
}

/// Checks that a claim which is there can take an upload.
///
/// # Errors
/// When it has been filled, or is for something else.
pub(super) fn check(claim: &Value, name: &str, archive: bool, no_create: bool) -> Result<()> {
    let annotations = &claim["metadata"]["annotations"];
    if annotations[PHASE] == "Succeeded" {
        bail!("PVC {name} already successfully imported/cloned/updated");
    }
    if !no_create && annotations[TARGET].is_null() {
        bail!("PVC {name} not available for upload");
    }
    if archive && annotations[CONTENT] != "archive" {
        bail!("PVC {name} doesn't have archive contentType annotation");
    }
    Ok(())
}

/// Returns a DataSource for a volume.
pub(super) fn source(wanted: &Wanted, namespace: &str) -> Value {
    json!({
        "apiVersion": "cdi.kubevirt.io/v1beta1",
        "kind": "DataSource",
        "metadata": {"name": wanted.name, "labels": wanted.labels},
        "spec": {"source": {"pvc": {"name": wanted.name, "namespace": namespace}}},
    })
}

/// Returns the JSON patch by which a DataSource points to a volume.
pub(super) fn repointed(known: &Value, wanted: &Wanted, namespace: &str) -> Value {
    let mut labels = known["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.extend(wanted.labels.clone());
    json!([
        {"op": "add", "path": "/metadata/labels", "value": labels},
        {"op": "add", "path": "/spec/source/pvc", "value": {"name": wanted.name, "namespace": namespace}},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted { name: "v".to_owned(), size: "1024Mi".to_owned(), ..Wanted::default() }
    }

    #[test]
    fn a_data_volume_waits_for_an_upload() {
        assert_eq!(
            wanted().object().unwrap(),
            json!({
                "apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "metadata": {"name": "v"},
                "spec": {"source": {"upload": {}}, "contentType": "kubevirt", "storage": {"resources": {"requests": {"storage": "1Gi"}}}},
            })
        );
        let more = Wanted {
            archive: true,
            bind: true,
            class: "fast".to_owned(),
            access: "ReadWriteMany".to_owned(),
            mode: "filesystem".to_owned(),
            ..wanted()
        };
        let more = more.object().unwrap();
        assert_eq!(more["metadata"]["annotations"], json!({BIND: ""}));
        assert_eq!(more["spec"]["contentType"], "archive");
        let storage = &more["spec"]["storage"];
        assert_eq!(
            (&storage["volumeMode"], &storage["storageClassName"]),
            (&json!("Filesystem"), &json!("fast"))
        );
        assert_eq!(storage["accessModes"], json!(["ReadWriteMany"]));
    }

    #[test]
    fn a_claim_says_that_it_takes_an_upload() {
        let labels = Map::from_iter([("a".to_owned(), "b".into())]);
        let claim = Wanted { claim: true, mode: "block".to_owned(), labels, ..wanted() }.object().unwrap();
        assert_eq!(claim["metadata"]["annotations"], json!({TARGET: "", CONTENT: "kubevirt"}));
        assert_eq!(claim["metadata"]["labels"], json!({"a": "b", PROFILE: "true"}));
        assert_eq!(
            (&claim["spec"]["volumeMode"], &claim["spec"]["accessModes"]),
            (&json!("Block"), &json!(["ReadWriteOnce"]))
        );
        let broken = Wanted { size: "x".to_owned(), ..wanted() };
        assert!(broken.object().unwrap_err().to_string().starts_with("validation failed for size=x"));
        assert!(Wanted { access: "ReadOnlyMany".to_owned(), ..wanted() }.object().is_err());
    }

    #[test]
    fn only_what_waits_for_an_upload_is_used() {
        let claim = |annotations: Value| json!({"metadata": {"annotations": annotations}});
        let said = |annotations: Value, archive, no_create| {
            check(&claim(annotations), "c", archive, no_create).map_err(|error| error.to_string())
        };
        assert_eq!(said(json!({TARGET: ""}), false, false), Ok(()));
        assert_eq!(said(Value::Null, false, true), Ok(()));
        assert_eq!(said(Value::Null, false, false), Err("PVC c not available for upload".to_owned()));
        assert!(
            said(json!({TARGET: "", PHASE: "Succeeded"}), false, true)
                .unwrap_err()
                .contains("already successfully")
        );
        assert!(said(json!({TARGET: ""}), true, false).unwrap_err().contains("archive contentType"));
        let known = json!({"metadata": {"labels": {"x": "y"}}});
        let patch = repointed(
            &known,
            &Wanted { labels: Map::from_iter([("a".to_owned(), "b".into())]), ..wanted() },
            "ns",
        );
        assert_eq!(patch[0]["value"], json!({"x": "y", "a": "b"}));
        assert_eq!(source(&wanted(), "ns")["spec"]["source"]["pvc"], json!({"name": "v", "namespace": "ns"}));
    }
}
