//! Every kind of volume, read by a real guest; the one that is a claim outlives its machine.

#![allow(clippy::panic, clippy::format_collect, reason = "helpers of tests")]

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use e2e::claims::{CLAIM_SIZE, allow_host_disks, claim, disk_of};
use kit::{Installation, Options, until, until_some};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

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
        printf 'written!' | dd of=$device conv=notrunc,fsync 2>/dev/null
        dd if=/dev/urandom of=$device bs=1M count=8 seek=8 conv=notrunc,fsync 2>/dev/null
        blkdiscard -o 8388608 -l 8388608 $device && echo "vol $name freed" ;;
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
        &format!("vol w-data size={CLAIM_SIZE} was=\r"),
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
    // What the guest frees is the host's again.
    assert!(console.contains("vol w-data freed"), "{console}");
    let allocated = std::fs::metadata(disk_of(&installation, "data")).expect("its disk").blocks() * 512;
    assert!(allocated < 4 << 20, "{allocated} bytes are still allocated");

    // The claim grows, and its disk with the next start.
    let more = r#"{"spec": {"resources": {"requests": {"storage": "96Mi"}}}}"#;
    installation.kubectl(&["patch", "pvc", "data", "-p", more]).expect("a larger claim");
    until("the claim is larger", PATIENCE, || {
        installation
            .get("pvc", "default", "data")
            .is_some_and(|claim| claim["status"]["capacity"]["storage"] == "96Mi")
    });

    // The agent is replaced, then the machine.
    installation.kill();
    installation.up();
    installation
        .kubectl(&["delete", "vmi", "all", "--wait", "--timeout", "60s"])
        .expect("ending the instance");
    let console = looked(&installation, "all", 1);
    assert!(
        console.contains("vol w-data size=100663296 was=written!"),
        "the claim lost its data:\n{console}"
    );
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
    let data = until_some("the instance shows the claim's volume", PATIENCE, || {
        let instance = installation.get("vmi", "default", "all")?;
        let volumes = instance["status"]["volumeStatus"].as_array().cloned().unwrap_or_default();
        volumes.into_iter().find(|volume| volume["name"] == "w-data")
    });
    let info = &data["persistentVolumeClaimInfo"];
    assert_eq!(
        (&info["claimName"], &info["capacity"]["storage"]),
        (&"data".into(), &"64Mi".into()),
        "{data}"
    );
    assert_eq!(data["size"], Value::from(CLAIM_SIZE), "{data}");
}
