//! Claims and disks of the node, as several tests use them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kit::{Installation, until};

use crate::{configure, machine};

/// Bytes of [`claim`].
pub const CLAIM_SIZE: u64 = 64 << 20;

const PATIENCE: Duration = Duration::from_secs(120);

/// Returns the manifest of a claim of [`CLAIM_SIZE`] bytes.
pub fn claim(name: &str) -> String {
    format!(
        "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {name}}}
spec:
  accessModes: [ReadWriteOnce]
  resources: {{requests: {{storage: 64Mi}}}}
---
"
    )
}

/// Opens the gate for disks of the node.
///
/// # Panics
/// When it stays closed.
pub fn allow_host_disks(installation: &Installation) {
    configure(installation, r#"{"developerConfiguration":{"featureGates":["HostDisk"]}}"#);
    let tried = machine("tried", "hostDisk: {path: /tried, type: Disk}");
    until("the gate is open", PATIENCE, || {
        installation.kubectl_with(&["apply", "--dry-run=server", "-f", "-"], Some(&tried)).success
    });
}

/// Returns where the disk in a bound claim is.
///
/// # Panics
/// When it is in no volume of the node.
pub fn disk_of(installation: &Installation, claim: &str) -> PathBuf {
    let claim = installation.get("pvc", "default", claim).expect("the claim");
    let volume = claim["spec"]["volumeName"].as_str().expect("a bound claim");
    let volume = installation.get("pv", "", volume).expect("its volume");
    Path::new(volume["spec"]["local"]["path"].as_str().expect("a local volume")).join("disk.img")
}

/// Returns `status.phase` of an object in the namespace `default`; nothing where there is none.
pub fn phase(installation: &Installation, kind: &str, name: &str) -> String {
    let object = installation.get(kind, "default", name);
    object.and_then(|object| object["status"]["phase"].as_str().map(str::to_owned)).unwrap_or_default()
}

/// Returns the manifest of the smallest machine over a claim.
pub fn claimed(name: &str, claim: &str) -> String {
    machine(name, &format!("persistentVolumeClaim: {{claimName: {claim}}}"))
}
