//! What is refused, at which path.

use super::*;
use serde_json::json;

fn volume(fields: Value) -> Value {
    let mut spec = json!({"storage": {"resources": {"requests": {"storage": "1Gi"}}}});
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    spec
}

/// Returns the path of the refusal; nothing where there is none.
fn path(checked: Checked) -> String {
    checked.err().map(|error| error.path.to_string()).unwrap_or_default()
}

fn judged(spec: &Value) -> String {
    path(data_volume(&Path::new("spec"), spec))
}

#[test]
fn a_data_volume_says_which_volume_is_wanted() {
    let blank = json!({"blank": {}});
    let claim = |modes: Value| json!({"source": blank, "pvc": {"accessModes": modes, "resources": {"requests": {"storage": "1Gi"}}}});
    let sized =
        |size: Value| json!({"source": blank, "storage": {"resources": {"requests": {"storage": size}}}});
    for (spec, at) in [
        (volume(json!({"source": blank})), ""),
        (json!({"source": blank}), "spec.PVC"),
        (volume(json!({"source": blank, "pvc": {}})), "spec.PVC.Storage"),
        (claim(json!(["ReadWriteOnce"])), ""),
        (claim(json!([])), "spec.PVC.accessModes"),
        (claim(json!(["ReadWriteOnce", "ReadOnlyMany"])), "spec.PVC.accessModes"),
        (claim(json!(["Sometimes"])), "spec.PVC.accessModes"),
        (
            volume(json!({"source": blank, "storage": {"accessModes": ["Sometimes"],
            "resources": {"requests": {"storage": "1Gi"}}}})),
            "spec.PVC.accessModes",
        ),
        (sized(json!(1 << 20)), ""),
        (sized(json!("1Mi")), ""),
        (sized(json!("1023Ki")), "spec.Storage.resources.requests.size"),
        (sized(json!("0")), "spec.Storage.resources.requests.size"),
        (sized(json!("-1Gi")), "spec.Storage.resources.requests.size"),
        (json!({"source": blank, "storage": {}}), "spec.Storage.resources.requests.size"),
        (json!({"source": {"pvc": {"namespace": "n", "name": "c"}}, "storage": {}}), ""),
        (json!({"sourceRef": {"kind": "DataSource", "name": "d"}, "storage": {}}), ""),
        (
            json!({"source": {"pvc": {"namespace": "n", "name": "c"}}, "pvc": {}}),
            "spec.PVC.resources.requests.size",
        ),
    ] {
        assert_eq!(judged(&spec), at, "{spec}");
    }
}

#[test]
fn a_data_volume_says_what_fills_it() {
    let http = |fields: Value| {
        let mut http = json!({"url": "http://images.example/disk"});
        http.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"source": {"http": http}})
    };
    let registry = |fields: Value| json!({"source": {"registry": fields}});
    let from = |fields: Value| json!({"storage": {"resources": {"requests": {"storage": "1Gi"}}, "dataSourceRef": fields}});
    let vddk =
        json!({"secretRef": "s", "uuid": "u", "backingFile": "f", "thumbprint": "t", "url": "https://v"});
    for (fields, at) in [
        (json!({}), "spec.source"),
        (json!({"source": {}}), "spec.source"),
        (json!({"source": {"blank": {}, "upload": {}}}), "spec.source"),
        (json!({"source": {"blank": {}, "upload": null}}), ""),
        (json!({"source": {"blank": {}}, "sourceRef": {"kind": "DataSource", "name": "d"}}), "spec.source"),
        (json!({"source": {"blank": {}}, "contentType": "archive"}), "spec.contentType"),
        (json!({"source": {"upload": {}}, "contentType": "archive"}), ""),
        (json!({"source": {"upload": {}}, "contentType": "other"}), "spec.contentType"),
        (json!({"sourceRef": {"kind": "Other", "name": "d"}}), "spec.sourceRef.Kind"),
        (json!({"sourceRef": {"kind": "DataSource", "name": ""}}), "spec.sourceRef.Name"),
        (json!({"source": {"pvc": {"name": "c"}}}), "spec.source.PVC"),
        (json!({"source": {"snapshot": {"namespace": "n", "name": ""}}}), "spec.source.Snapshot"),
        (http(json!({})), ""),
        (http(json!({"url": ""})), "spec.source.HTTP.url"),
        (http(json!({"url": "ftp://x"})), "spec.source.HTTP.url"),
        (http(json!({"url": "http://a b"})), "spec.source.HTTP.url"),
        (http(json!({"checksum": format!("SHA256:{}", "aB".repeat(32))})), ""),
        (http(json!({"checksum": "sha256:12"})), "spec.source.HTTP.checksum"),
        (http(json!({"checksum": "crc:12"})), "spec.source.HTTP.checksum"),
        (json!({"source": {"s3": {"url": "x"}}}), "spec.source.S3.url"),
        (json!({"source": {"gcs": {"url": "gs://b/x"}}}), ""),
        (registry(json!({"url": "docker://r/i"})), ""),
        (registry(json!({"url": "oci-archive:/x"})), ""),
        (registry(json!({"url": "https://r/i"})), "spec.source.Registry.URL"),
        (registry(json!({})), "spec.source.Registry"),
        (registry(json!({"url": "docker://r/i", "pullMethod": "x"})), "spec.source.Registry.importMethod"),
        (registry(json!({"imageStream": "s"})), "spec.source.Registry.importMethod"),
        (registry(json!({"imageStream": "s", "pullMethod": "node"})), ""),
        (
            json!({"source": {"imageio": {"secretRef": "s", "diskId": "d", "url": "https://e"}}}),
            "spec.source.Imageio",
        ),
        (
            json!({"source": {"imageio": {"secretRef": "s", "diskId": "d", "url": "e", "certConfigMap": "c"}}}),
            "spec.source.ImageIO.url",
        ),
        (json!({"source": {"vddk": vddk}}), ""),
        (json!({"source": {"vddk": {"url": "https://v"}}}), "spec.source.VDDK"),
        (from(json!({"kind": "PersistentVolumeClaim", "name": "c"})), ""),
        (from(json!({"kind": "VolumeImportSource", "name": "c"})), "spec.dataSourceRef.apiGroup"),
        (
            from(json!({"kind": "PersistentVolumeClaim", "name": "c", "namespace": "n"})),
            "spec.dataSourceRef.namespace",
        ),
    ] {
        let spec = volume(fields);
        assert_eq!(judged(&spec), at, "{spec}");
    }
}

#[test]
fn a_cron_imports_from_a_registry_by_a_schedule() {
    let spec = |path: &str, value: Value| {
        let mut spec = json!({
            "schedule": "0 3 * * *", "managedDataSource": "fedora",
            "template": {"spec": volume(json!({"source": {"registry": {"url": "docker://r/i"}}}))},
        });
        let (parent, field) = path.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[field] = value;
        spec
    };
    for (spec, at) in [
        (spec("/schedule", json!("")), ""),
        (spec("/schedule", json!("now")), "spec.Schedule"),
        (spec("/importsToKeep", json!(-1)), "spec.ImportsToKeep"),
        (spec("/garbageCollect", json!("Never")), ""),
        (spec("/garbageCollect", json!("Sometimes")), "spec.GarbageCollect"),
        (spec("/managedDataSource", json!("")), "spec.ManagedDataSource"),
        (spec("/template/spec/source", json!({"blank": {}})), "spec.Template"),
        (spec("/template/spec/contentType", json!("kubevirt")), "spec.Template"),
        (spec("/template/spec/finalCheckpoint", json!(false)), ""),
        (spec("/template/spec/storage", json!({})), "Template.Storage.resources.requests.size"),
    ] {
        assert_eq!(path(import_cron("c", &spec)), at, "{spec}");
    }
    assert!(import_cron(&"c".repeat(64), &spec("/schedule", json!(""))).is_err());
}

#[test]
fn checkpoints_alone_may_change() {
    let staged = |checkpoint: &str, uuid: &str| json!({"source": {"vddk": {"uuid": uuid}}, "checkpoints": [{"current": checkpoint, "previous": ""}]});
    assert!(unchanged("DataVolume", &staged("a", "u"), &staged("b", "u")).is_ok());
    let error = unchanged("DataVolume", &staged("a", "u"), &staged("b", "other")).unwrap_err();
    assert_eq!((error.path.as_str(), error.problem), ("DataVolume.Spec", Problem::Duplicate));
    let (old, new) = (json!({"source": {"blank": {}}}), json!({"source": {"upload": {}}}));
    assert!(unchanged("VolumeImportSource", &old, &new).is_err());
    assert!(volume_source("s", &staged("a", "u"), true).is_err(), "no claim is named");
    assert!(volume_source("s", &json!({"source": {"blank": {}}}), true).is_ok());
    assert!(volume_source("s", &json!({"contentType": "x"}), false).is_err());
}

#[test]
fn an_object_that_is_written_back_is_unchanged() {
    let old = json!({"storage": {"resources": {"requests": {"storage": "1Gi"}}}, "source": {"blank": {}}});
    let back = json!({
        "storage": {"resources": {"requests": {"storage": "1024Mi"}, "limits": {}}, "storageClassName": null},
        "source": {"blank": {}}, "finalCheckpoint": false, "checkpoints": [],
    });
    assert!(unchanged("DataVolume", &old, &back).is_ok());
    for (at, value) in
        [("/source", json!({"upload": {}})), ("/storage/resources/requests/storage", json!("2Gi"))]
    {
        let mut other = old.clone();
        *other.pointer_mut(at).unwrap() = value;
        assert!(unchanged("DataVolume", &old, &other).is_err(), "{at}");
    }
    let cron = json!({"template": {"spec": {"storage": {}}}, "schedule": "CRON_TZ=Europe/Vienna 0 3 * * *"});
    let back = json!({
        "template": {"metadata": {"creationTimestamp": null}, "spec": {"storage": {"resources": {}}}, "status": {}},
        "schedule": "CRON_TZ=Europe/Vienna 0 3 * * *",
    });
    assert!(unchanged("DataImportCron", &cron, &back).is_ok());
    assert_eq!(without_zone("TZ=UTC  0 3 * * *"), "0 3 * * *");
}
