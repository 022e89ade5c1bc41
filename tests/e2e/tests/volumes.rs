//! Every kind of volume, read by a real guest; claims that outlive machines; and what nobody may reach.

#![allow(clippy::panic, clippy::format_collect, reason = "helpers of tests")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::machine;
use kit::{Installation, Options, User, until, until_none, until_some};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of the claims of these tests.
const SIZE: u64 = 64 << 20;

/// What the guest runs at each start: it says what it finds on each disk, told apart by its serial number, and leaves a
/// mark on those that can be written.
const LOOK: &str = r#"#!/bin/sh
exec > /dev/console 2>&1
modprobe -a isofs nls_cp437 nls_utf8 2>/dev/null
mkdir -p /m
for path in /sys/block/vd*; do
    name=$(cat $path/serial); device=/dev/${path##*/}
    case $name in
    o-*)
        mount -t iso9660 -o ro $device /m
        (cd /m && find . -type f | sort | while read -r file; do echo "vol $name $file=$(cat $file)"; done)
        umount /m ;;
    w-*)
        echo "vol $name size=$(($(cat $path/size) * 512)) was=$(head -c 8 $device | tr -d '\0')"
        printf 'written!' | dd of=$device conv=notrunc,fsync 2>/dev/null ;;
    esac
done
for label in mine cfgdata unattendCD config-2; do echo "label $label=$(findfs LABEL=$label)"; done
echo "looked"
"#;

/// A machine with every kind of volume; `data` is the source of the one that changes.
fn everything(name: &str, data: &str, host: &Path) -> String {
    let volumes = [
        ("seed", "cloudInitConfigDrive: {secretRef: {name: script}, networkData: '{}'}"),
        ("o-map", "configMap: {name: settings, volumeLabel: mine}"),
        ("o-secret", "secret: {secretName: keys}"),
        ("o-account", "serviceAccount: {serviceAccountName: robot}"),
        ("o-fields", "downwardAPI: {fields: [{path: inner/labels, fieldRef: {fieldPath: metadata.labels}}]}"),
        ("o-answers", "sysprep: {configMap: {name: answers}}"),
        ("o-none", "configMap: {name: missing, optional: true}"),
        ("w-empty", "emptyDisk: {capacity: 32Mi}"),
        ("w-data", data),
        ("w-host", &format!("hostDisk: {{path: '{}', type: DiskOrCreate, capacity: 16Mi}}", host.display())),
    ];
    let disks: String = volumes
        .iter()
        .map(|(name, _)| format!("            - {{name: {name}, serial: {name}, disk: {{bus: virtio}}}}\n"))
        .collect();
    let sources: String = volumes
        .iter()
        .map(|(name, source)| format!("        - name: {name}\n          {source}\n"))
        .collect();
    format!(
        "apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {{name: {name}}}
spec:
  runStrategy: Always
  template:
    metadata: {{labels: {{color: blue}}}}
    spec:
      terminationGracePeriodSeconds: 0
      domain:
        memory: {{guest: 192Mi}}
        firmware:
          kernelBoot:
            container:
              image: ironclad.local/guest-kernel:0.1.0
              kernelPath: /boot/vmlinuz
              initrdPath: /boot/initrd.gz
            kernelArgs: console=ttyS0 quiet
        devices:
          autoattachGraphicsDevice: false
          rng: {{}}
          disks:
{disks}          interfaces: [{{name: default, masquerade: {{}}}}]
      networks: [{{name: default, pod: {{}}}}]
      volumes:
{sources}---
"
    )
}

fn claim(name: &str) -> String {
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

#[test]
fn a_guest_reads_every_kind_of_volume_and_its_claim_outlives_it() {
    let installation = Installation::start(Options::default());
    allow_host_disks(&installation);
    installation.apply(&claim("data"));
    for words in [
        vec!["secret", "generic", "script", "--from-literal", &format!("userdata={LOOK}")],
        vec!["configmap", "settings", "--from-literal", "application.conf=level 3"],
        vec!["secret", "generic", "keys", "--from-literal", "password=swordfish"],
        vec!["serviceaccount", "robot"],
        vec!["configmap", "answers", "--from-literal", "Autounattend.xml=<unattend/>"],
    ] {
        let words: Vec<&str> = ["create"].into_iter().chain(words).collect();
        installation.kubectl(&words).expect("creating what volumes are made of");
    }
    let host = installation.data_dir().with_file_name("shared").join("host.img");
    installation.apply(&everything("all", "persistentVolumeClaim: {claimName: data}", &host));

    let console = looked(&installation, "all", 1);
    for line in [
        "vol o-map ./application.conf=level 3",
        "vol o-secret ./password=swordfish",
        "vol o-account ./namespace=default",
        "vol o-account ./ca.crt=-----BEGIN CERTIFICATE-----",
        "color=\"blue\"",
        "vol o-answers ./Autounattend.xml=<unattend/>",
        "vol w-empty size=33554432 was=\r",
        &format!("vol w-data size={SIZE} was=\r"),
        "vol w-host size=16777216 was=\r",
        "label mine=/dev/vd",
        "label cfgdata=/dev/vd",
        "label unattendCD=/dev/vd",
        "label config-2=/dev/vd",
    ] {
        assert!(console.contains(line), "no {line:?} in:\n{console}");
    }
    assert!(!console.contains("vol o-none"), "{console}");
    token_works(&installation, &console);
    status_shows_the_claim(&installation);

    // The agent is replaced, then the machine.
    installation.kill();
    installation.up();
    installation
        .kubectl(&["delete", "vmi", "all", "--wait", "--timeout", "60s"])
        .expect("ending the instance");
    let console = looked(&installation, "all", 1);
    assert!(console.contains("vol w-data size=67108864 was=written!"), "the claim lost its data:\n{console}");
    assert!(console.contains("vol w-host size=16777216 was=written!"), "{console}");
    assert!(console.contains("vol w-empty size=33554432 was=\r"), "{console}");

    // A layer over the claim: the guest sees and writes, the claim stays.
    installation.kubectl(&["delete", "vm", "all", "--wait", "--timeout", "60s"]).expect("deleting");
    let disk = disk_of(&installation, "data");
    std::fs::write(&disk, [b"original".to_vec(), vec![0; (1 << 20) - 8]].concat()).expect("root may write");
    let layered = "ephemeral: {persistentVolumeClaim: {claimName: data}}";
    installation.apply(&everything("layered", layered, &host));
    let console = looked(&installation, "layered", 1);
    assert!(console.contains("vol w-data size=1048576 was=original"), "{console}");
    let kept = std::fs::read(&disk).expect("root may read");
    assert_eq!(&kept[..8], b"original", "the layer's writes went through");
}

/// Waits until the guest has looked at its disks, and returns its console.
fn looked(installation: &Installation, name: &str, times: usize) -> String {
    until_some(&format!("the guest of {name} looks at its disks"), PATIENCE, || {
        let console = installation.console("default", name);
        (console.matches("looked\r").count() >= times).then_some(console)
    })
}

fn token_works(installation: &Installation, console: &str) {
    let line = console.lines().find_map(|line| line.trim().strip_prefix("vol o-account ./token="));
    let token = line.unwrap_or_else(|| panic!("no token in:\n{console}"));
    let kubeconfig = std::fs::read_to_string(installation.data_dir().join("kubeconfig")).expect("kubeconfig");
    let server = kubeconfig.split_whitespace().find(|word| word.starts_with("https://")).expect("a server");
    let whoami = installation.kubectl(&[
        "--kubeconfig",
        "/dev/null",
        "--server",
        server,
        "--insecure-skip-tls-verify",
        "--token",
        token,
        "auth",
        "whoami",
        "-o",
        "jsonpath={.status.userInfo.username}",
    ]);
    assert_eq!(whoami.expect("kubectl auth whoami"), "system:serviceaccount:default:robot");
}

fn status_shows_the_claim(installation: &Installation) {
    let instance = installation.get("vmi", "default", "all").expect("the instance");
    let volumes = instance["status"]["volumeStatus"].as_array().cloned().unwrap_or_default();
    let data = volumes.iter().find(|volume| volume["name"] == "w-data").expect("its status");
    let info = &data["persistentVolumeClaimInfo"];
    assert_eq!(
        (&info["claimName"], &info["capacity"]["storage"]),
        (&"data".into(), &"64Mi".into()),
        "{data}"
    );
    assert_eq!(data["size"], Value::from(SIZE), "{data}");
}

fn allow_host_disks(installation: &Installation) {
    let gates = r#"{"spec":{"configuration":{"developerConfiguration":{"featureGates":["HostDisk"]}}}}"#;
    // The object that configures the installation comes a moment after the API.
    until("the gate is opened", PATIENCE, || {
        let patch = ["patch", "kubevirt", "kubevirt", "-n", "kubevirt", "--type", "merge", "-p", gates];
        installation.kubectl(&patch).success
    });
    let tried = machine("tried", "hostDisk: {path: /tried, type: Disk}");
    until("the gate is open", PATIENCE, || {
        installation.kubectl_with(&["apply", "--dry-run=server", "-f", "-"], Some(&tried)).success
    });
}

/// Where the disk in a bound claim is.
fn disk_of(installation: &Installation, claim: &str) -> PathBuf {
    let claim = installation.get("pvc", "default", claim).expect("the claim");
    let volume = claim["spec"]["volumeName"].as_str().expect("a bound claim");
    let volume = installation.get("pv", "", volume).expect("its volume");
    Path::new(volume["spec"]["local"]["path"].as_str().expect("a local volume")).join("disk.img")
}

fn phase(installation: &Installation, kind: &str, name: &str) -> String {
    let object = installation.get(kind, "default", name);
    object.and_then(|object| object["status"]["phase"].as_str().map(str::to_owned)).unwrap_or_default()
}

fn claimed(name: &str, claim: &str) -> String {
    machine(name, &format!("persistentVolumeClaim: {{claimName: {claim}}}"))
}

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
    assert_eq!((metadata.len(), metadata.mode() & 0o777), (SIZE, 0o600));
    assert!(metadata.blocks() * 512 < SIZE / 2, "the disk is sparse");

    // A second machine on the same claim is told who is in its way, and starts when that is gone.
    installation.apply(&claimed("second", "data"));
    let told = until_some("the second machine is refused", PATIENCE, || {
        installation.condition("vmi", "second", "Synchronized")
    });
    assert!(told.contains("another machine uses it"), "{told}");
    installation.kubectl(&["delete", "vm", "first", "--wait", "--timeout", "60s"]).expect("deleting");
    until("the second runs", PATIENCE, || phase(&installation, "vmi", "second") == "Running");

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

#[test]
fn nobody_reaches_what_is_not_his() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    let folder = installation.data_dir().with_file_name("host");
    std::fs::create_dir(&folder).expect("a directory");
    let at = |name: &str| folder.join(name);
    std::fs::write(at("private.img"), vec![0; 1 << 20]).expect("a file of root's");
    std::fs::set_permissions(at("private.img"), std::fs::Permissions::from_mode(0o600)).expect("closing it");
    std::fs::write(at("twice.img"), "x").expect("a file");
    std::fs::hard_link(at("twice.img"), at("also.img")).expect("its second name");
    symlink("/etc/passwd", at("link.img")).expect("a link");
    symlink(&folder, folder.with_file_name("door")).expect("a link to a directory");
    let host_disk = |name: &str, path: &Path, kind: &str| {
        let capacity = if kind == "DiskOrCreate" { ", capacity: 1Mi" } else { "" };
        machine(name, &format!("hostDisk: {{path: '{}', type: {kind}{capacity}}}", path.display()))
    };
    let closed =
        installation.kubectl_with(&["apply", "-f", "-"], Some(&host_disk("closed", &at("x"), "Disk")));
    assert!(!closed.success && closed.stderr.contains("HostDisk"), "{}", closed.stderr);
    allow_host_disks(&installation);
    installation.apply(&claim("data"));
    installation.apply(&claimed("honest", "data"));
    until("the claim has its disk", PATIENCE, || phase(&installation, "vmi", "honest") == "Running");
    installation.kubectl(&["delete", "vm", "honest", "--wait", "--timeout", "60s"]).expect("deleting");
    let disk = disk_of(&installation, "data");
    std::fs::remove_file(&disk).expect("root may remove");
    symlink("/etc/passwd", &disk).expect("root may link");

    let mut cases = vec![
        ("link", host_disk("link", &at("link.img"), "Disk"), "symbolic link"),
        (
            "door",
            host_disk("door", &folder.with_file_name("door").join("new.img"), "DiskOrCreate"),
            "symbolic link",
        ),
        (
            "up",
            host_disk("up", &at("../host/new.img"), "DiskOrCreate"),
            "symbolic link or out of its directory",
        ),
        ("twice", host_disk("twice", &at("twice.img"), "Disk"), "hard links"),
        ("folder", host_disk("folder", &folder, "Disk"), "no regular file"),
        ("device", host_disk("device", Path::new("/dev/null"), "Disk"), "no regular file"),
        ("absent", host_disk("absent", &at("absent.img"), "Disk"), "No such file"),
        ("swapped", claimed("swapped", "data"), "symbolic link"),
    ];
    if rustix::process::geteuid().is_root() {
        cases.push(("private", host_disk("private", &at("private.img"), "Disk"), "chown 107"));
    }
    installation.apply(&cases.iter().map(|(_, manifest, _)| manifest.as_str()).collect::<String>());
    for (name, _, sentence) in &cases {
        let told = until_some(&format!("{name} is refused"), PATIENCE, || {
            installation.condition("vmi", name, "Synchronized")
        });
        assert!(told.contains("volume d") && told.contains(sentence), "{name}: {told}");
    }
    assert!(!at("new.img").exists());
}
