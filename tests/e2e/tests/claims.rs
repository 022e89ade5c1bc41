//! Claims from their first machine to their last: bound, protected, kept or removed.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use e2e::claims::{CLAIM_SIZE, claim, claimed, disk_of, phase};
use kit::{Installation, Options, User, until, until_none, until_some};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn claims_are_bound_where_they_are_used_protected_and_cleaned_up() {
    lives_of_claims(User::Own);
}

#[test]
fn claims_need_no_root() {
    if !rustix::process::geteuid().is_root() {
        // The other test is that one already.
        return;
    }
    lives_of_claims(User::Ordinary);
}

fn lives_of_claims(user: User) {
    let installation = Installation::start(Options { images: false, user, ..Options::default() });
    until("there is a default class", PATIENCE, || {
        let classes = installation.kubectl(&["get", "storageclass"]).expect("kubectl get");
        classes.contains("local (default)") && classes.contains("WaitForFirstConsumer")
    });

    installation.apply(&claim("data"));
    until("the claim waits for its first consumer", PATIENCE, || {
        !installation.events("data", "WaitForFirstConsumer").is_empty()
    });
    assert_eq!(phase(&installation, "pvc", "data"), "Pending");

    // A machine comes before its claim: it waits and says for what.
    installation.apply(&claimed("early", "late"));
    let told = until_some("the instance says that its claim is missing", PATIENCE, || {
        installation.condition("vmi", "early", "PodScheduled")
    });
    assert!(told.contains("persistentvolumeclaim \"late\" not found"), "{told}");
    installation.apply(&claim("late"));

    installation.apply(&claimed("first", "data"));
    for name in ["first", "early"] {
        until(&format!("{name} runs"), PATIENCE, || phase(&installation, "vmi", name) == "Running");
    }
    assert_eq!(phase(&installation, "pvc", "data"), "Bound");
    let disk = disk_of(&installation, "data");
    let metadata = std::fs::metadata(&disk).expect("the disk is there");
    assert_eq!((metadata.len(), metadata.mode() & 0o777), (CLAIM_SIZE, 0o600));
    assert!(metadata.blocks() * 512 < CLAIM_SIZE / 2, "the disk is sparse");

    // What no volume can be made for is told where people look: at the instance, and at a glance.
    installation.apply(&claim("shared").replace("ReadWriteOnce]", "ReadWriteMany]"));
    installation.apply(&claimed("sharer", "shared"));
    // It may say first that the claim has no volume yet.
    let told = until_some("the instance says why its claim stays empty", PATIENCE, || {
        let told = installation.condition("vmi", "sharer", "PodScheduled");
        told.filter(|told| told.contains("accessModes has ReadWriteMany"))
    });
    assert!(told.contains("ask for ReadWriteOnce"), "{told}");
    let status = installation.ironclad(&["status"]).expect("ironclad status");
    assert!(status.contains("accessModes has ReadWriteMany"), "{status}");
    installation.kubectl(&["delete", "vm", "sharer", "--wait", "--timeout", "60s"]).expect("deleting");
    installation.kubectl(&["delete", "pvc", "shared", "--wait", "--timeout", "60s"]).expect("deleting");

    // A second machine on the same claim is told who is in its way, and starts when that is gone.
    installation.apply(&claimed("second", "data"));
    let told = until_some("the second machine is refused", PATIENCE, || {
        installation.condition("vmi", "second", "Synchronized")
    });
    assert!(told.contains("another machine uses it") && told.contains("(in use by first)"), "{told}");
    installation.kubectl(&["delete", "vm", "first", "--wait", "--timeout", "60s"]).expect("deleting");
    until("the second runs", PATIENCE, || phase(&installation, "vmi", "second") == "Running");

    // One that is for a single Pod keeps other Pods from being placed at all.
    installation.apply(&claim("alone").replace("ReadWriteOnce]", "ReadWriteOncePod]"));
    installation.apply(&claimed("owner", "alone"));
    until("its owner runs", PATIENCE, || phase(&installation, "vmi", "owner") == "Running");
    installation.apply(&claimed("next", "alone"));
    let told = until_some("the next one is not placed", PATIENCE, || {
        installation.condition("vmi", "next", "PodScheduled")
    });
    assert!(told.contains("ReadWriteOncePod access mode"), "{told}");
    installation.kubectl(&["delete", "vm", "owner", "--wait", "--timeout", "60s"]).expect("deleting");
    until("the next one runs", PATIENCE, || phase(&installation, "vmi", "next") == "Running");
    installation.kubectl(&["delete", "pvc", "alone", "--wait=false"]).expect("deleting a claim");

    // A claim in use is not taken away.
    installation.kubectl(&["delete", "pvc", "data", "late", "--wait=false"]).expect("deleting claims");
    std::thread::sleep(Duration::from_secs(1));
    assert!(installation.get("pvc", "default", "data").is_some(), "a claim in use went");
    assert!(disk.exists());
    installation.kubectl(&["delete", "vm", "--all", "--wait", "--timeout", "60s"]).expect("deleting");
    until_none("claims and volumes go with their last user", PATIENCE, || {
        let left = installation.list("pvc").into_iter().chain(installation.list("pv"));
        left.map(|object| object["metadata"]["name"].to_string()).collect()
    });
    assert!(!disk.exists() && !disk.parent().expect("a directory").exists(), "data was left behind");
}

#[test]
fn a_kept_volume_and_one_made_by_hand() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    let by_hand = installation.data_dir().with_file_name("by-hand");
    std::fs::create_dir(&by_hand).expect("a directory");
    installation.apply(&format!(
        "apiVersion: v1
kind: PersistentVolume
metadata: {{name: by-hand}}
spec:
  capacity: {{storage: 64Mi}}
  accessModes: [ReadWriteOnce]
  storageClassName: hand
  persistentVolumeReclaimPolicy: Retain
  local: {{path: '{}'}}
  nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [
    {{key: kubernetes.io/hostname, operator: In, values: [node-0]}}]}}]}}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: hand}}
spec:
  storageClassName: hand
  accessModes: [ReadWriteOnce]
  resources: {{requests: {{storage: 32Mi}}}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: kept}}
provisioner: ironclad.io/local-volumes
reclaimPolicy: Retain
volumeBindingMode: Immediate
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: kept}}
spec:
  storageClassName: kept
  accessModes: [ReadWriteOnce]
  resources: {{requests: {{storage: 16Mi}}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: impossible}}
spec:
  storageClassName: kept
  accessModes: [ReadWriteMany]
  resources: {{requests: {{storage: 16Mi}}}}
---
",
        by_hand.display()
    ));
    for name in ["hand", "kept"] {
        until(&format!("{name} is bound"), PATIENCE, || phase(&installation, "pvc", name) == "Bound");
    }
    until("what cannot be made is told", PATIENCE, || {
        let told = installation.events("impossible", "ProvisioningFailed");
        told.iter().any(|message| message.contains("ask for ReadWriteOnce"))
    });
    installation.apply(&(claimed("hand", "hand") + &claimed("kept", "kept")));
    for name in ["hand", "kept"] {
        until(&format!("{name} runs"), PATIENCE, || phase(&installation, "vmi", name) == "Running");
    }
    // What was asked for, not what there is.
    assert_eq!(std::fs::metadata(by_hand.join("disk.img")).expect("its disk").len(), 32 << 20);
    let disk = disk_of(&installation, "kept");
    installation.kubectl(&["delete", "vm", "--all", "--wait", "--timeout", "60s"]).expect("deleting");
    installation.kubectl(&["delete", "pvc", "--all", "--timeout", "60s"]).expect("deleting claims");
    until("both volumes are released", PATIENCE, || {
        let volumes = installation.list("pv");
        volumes.len() == 2 && volumes.iter().all(|volume| volume["status"]["phase"] == "Released")
    });
    installation.kubectl(&["delete", "pv", "--all", "--timeout", "60s"]).expect("deleting volumes");
    assert!(disk.exists() && by_hand.join("disk.img").exists(), "data that was to be kept went");
}
