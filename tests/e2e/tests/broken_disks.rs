//! Disks that cannot be used: each is named with its cause and a remedy, and starts once it is mended.

use std::time::Duration;

use e2e::{BLANK, blank, container_disk, machine};
use kit::{Installation, Options, until, until_some};

const PATIENCE: Duration = Duration::from_secs(120);

/// The first bytes of a qcow2 image of 1 MiB (QEMU, docs/interop/qcow2.txt), with a change.
fn qcow2(change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    header[23] = 16;
    header[24..32].copy_from_slice(&(1u64 << 20).to_be_bytes());
    header[103] = 104;
    change(&mut header);
    header
}

#[test]
fn what_is_wrong_with_a_disk_is_said_at_the_instance() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    let backing = qcow2(|header| header[15] = 104);
    let corrupt = qcow2(|header| header[40..44].fill(0xff));
    let corrupt = {
        let mut bytes = corrupt;
        bytes[39] = 1;
        bytes
    };
    installation.load("test.local/backing:1", &[("disk/disk.img", &backing)]);
    installation.load("test.local/corrupt:1", &[("disk/disk.img", &corrupt)]);
    let locked = qcow2(|header| header[35] = 2);
    let absurd = qcow2(|header| header[24] = 0x7f);
    let elsewhere = qcow2(|header| header[79] = 4);
    let text = b"# Disk DescriptorFile\nversion=1\nRW 2048 FLAT \"/etc/passwd\" 0\n";
    installation.load("test.local/locked:1", &[("disk/disk.img", &locked)]);
    installation.load("test.local/absurd:1", &[("disk/disk.img", &absurd)]);
    installation.load("test.local/elsewhere:1", &[("disk/disk.img", &elsewhere)]);
    installation.load("test.local/text:1", &[("disk/disk.vmdk", text)]);
    installation.load("test.local/empty:1", &[("disk/disk.img", b"")]);
    installation.load("test.local/none:1", &[("etc/motd", b"no disk here")]);
    installation.load("test.local/two:1", &[("disk/a.img", &blank()), ("disk/b.img", &blank())]);
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    let cases = [
        ("backing", container_disk("test.local/backing:1"), "flatten it with `qemu-img convert`"),
        ("corrupt", container_disk("test.local/corrupt:1"), "broken qcow2 header"),
        ("locked", container_disk("test.local/locked:1"), "the disk image is encrypted"),
        ("absurd", container_disk("test.local/absurd:1"), "a disk has at most 64 TiB"),
        ("elsewhere", container_disk("test.local/elsewhere:1"), "refers to an external data file"),
        ("text", container_disk("test.local/text:1"), "the disk image is in VMDK format"),
        ("empty", container_disk("test.local/empty:1"), "the disk image is empty"),
        ("none", container_disk("test.local/none:1"), "put one qcow2 or raw file into its folder /disk"),
        ("two", container_disk("test.local/two:1"), "name one by containerDisk.path"),
        (
            "path",
            format!("containerDisk: {{image: '{BLANK}', path: /disk/x.img}}"),
            "/disk/x.img is not in the image",
        ),
        ("huge", "emptyDisk: {capacity: 900P}".to_owned(), "ask for a smaller one"),
        (
            "secret",
            "cloudInitNoCloud: {secretRef: {name: seed}}".to_owned(),
            "the Secret seed does not exist",
        ),
    ];
    installation.apply(&cases.iter().map(|(name, volume, _)| machine(name, volume)).collect::<String>());
    for (name, _, sentence) in &cases {
        let told = until_some(&format!("the instance {name} says what is wrong"), PATIENCE, || {
            installation.condition("vmi", name, "Synchronized")
        });
        assert!(told.contains("volume d") && told.contains(sentence), "{name}: {told}");
        until(&format!("the machine {name} says the same"), PATIENCE, || {
            installation.condition("vm", name, "Synchronized").as_ref() == Some(&told)
        });
        until(&format!("an event about {name} says the same"), PATIENCE, || {
            installation.events(name, "SyncFailed") == [told.clone()]
        });
    }
    // The cause is gone: the machine starts without anybody's asking.
    installation
        .kubectl(&["create", "secret", "generic", "seed", "--from-literal", "userdata=x"])
        .expect("a secret");
    until("the machine with the secret runs", PATIENCE, || {
        installation
            .get("vmi", "default", "secret")
            .is_some_and(|instance| instance["status"]["phase"] == "Running")
    });
    until("nothing is said of the Secret any more", PATIENCE, || {
        installation.condition("vmi", "secret", "Synchronized").is_none()
    });
    installation
        .kubectl(&["delete", "vm", "--all", "--wait", "--timeout", "120s"])
        .expect("deleting all machines");
    until("their Pods are gone", PATIENCE, || installation.list("pods").is_empty());
}

#[test]
fn a_guest_that_never_boots_is_told_of() {
    let installation = Installation::start(Options { images: false, boot_patience: 5, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    installation.apply(&machine("blank", &container_disk(BLANK)));
    let told = until_some("the instance says that its guest shows no sign of life", PATIENCE, || {
        installation.condition("vmi", "blank", "Booting")
    });
    assert!(told.contains("without a sign of life"), "{told}");
    until("an event says the same", PATIENCE, || {
        installation.events("blank", "NoBootProgress") == [told.clone()]
    });
    until("the machine says the same", PATIENCE, || {
        installation.condition("vm", "blank", "Booting").as_ref() == Some(&told)
    });
}
