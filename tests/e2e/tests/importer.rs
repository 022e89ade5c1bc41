//! The kinds of an importer of disks: kept, judged, and honest about what nothing does yet.

use std::time::Duration;

use e2e::control_plane;
use kit::until;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(30);

const VOLUME: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: disk}
spec:
  source: {http: {url: 'https://images.example/disk.qcow2'}}
  storage: {resources: {requests: {storage: 1Gi}}}
";

const CLASS: &str = "
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: shared}
provisioner: nfs.example
";

#[test]
fn volumes_that_nothing_fills_are_kept_and_say_so() {
    let api = control_plane();
    let applied = api.kubectl_with(&["apply", "-f", "-"], Some(VOLUME));
    assert!(applied.success && applied.stderr.contains("ironclad: spec has no effect"), "{}", applied.stderr);
    let listed = api.kubectl(&["get", "dv"]);
    assert!(listed.stdout.starts_with("NAME   PHASE   PROGRESS   RESTARTS   AGE"), "{}", listed.stdout);
    let changed = api.kubectl_with(&["apply", "-f", "-"], Some(&VOLUME.replace("1Gi", "2Gi")));
    assert!(!changed.success && changed.stderr.contains("DataVolume.Spec"), "{}", changed.stderr);
    let wrong = VOLUME.replace("name: disk", "name: other").replace("https:", "ftp:");
    let refused = api.kubectl_with(&["apply", "-f", "-"], Some(&wrong));
    assert!(!refused.success && refused.stderr.contains("spec.source.HTTP.url"), "{}", refused.stderr);
}

#[test]
fn each_class_of_storage_has_a_profile_that_its_administrator_corrects() {
    let api = control_plane();
    assert!(api.kubectl_with(&["apply", "-f", "-"], Some(CLASS)).success, "a class is applied");
    let status = || api.get("storageprofile", "", "shared").map(|profile| profile["status"].clone());
    let known = json!({"storageClass": "shared", "provisioner": "nfs.example"});
    until("the class has a profile", PATIENCE, || status() == Some(known.clone()));
    let modes =
        r#"{"spec":{"claimPropertySets":[{"accessModes":["ReadWriteMany"],"volumeMode":"Filesystem"}]}}"#;
    let patched = api.kubectl(&["patch", "storageprofile", "shared", "--type", "merge", "-p", modes]);
    assert!(patched.success, "{}", patched.stderr);
    until("the profile says so", 2 * PATIENCE, || {
        status()
            .is_some_and(|status| status["claimPropertySets"][0]["accessModes"] == json!(["ReadWriteMany"]))
    });
    assert!(api.kubectl(&["delete", "storageclass", "shared"]).success, "a class is deleted");
    until("the profile goes with its class", 2 * PATIENCE, || status().is_none());
}
