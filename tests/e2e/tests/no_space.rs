//! File systems that are full: what is said, that nothing flips to and fro, and that it mends itself.

use std::time::Duration;

use e2e::{BLANK, blank, container_disk, example, machine};
use kit::{Installation, Options, until, until_some};

const PATIENCE: Duration = Duration::from_secs(120);
/// Where disks, and where images of this installation are.
const NODES: &str = "nodes";
const IMAGES: &str = "images";

fn needs_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can mount a small file system");
    }
    is_root
}

fn runs(installation: &Installation, name: &str) -> bool {
    installation.get("vmi", "default", name).is_some_and(|instance| instance["status"]["phase"] == "Running")
}

/// The machine of the example with a disk that is larger than the node's file system, which its guest fills.
fn greedy() -> String {
    let manifest = example("hello.yaml");
    let disk =
        "          disks:\n            - name: scratch\n              disk:\n                bus: virtio\n";
    let volume = "      volumes:\n        - name: scratch\n          emptyDisk: {capacity: 256Mi}\n";
    let fill = "dd if=/dev/zero of=/dev/vda bs=1M count=200 2> /dev/null; echo all written > /dev/console";
    manifest
        .replace("          disks:\n", disk)
        .replace("      volumes:\n", volume)
        .replace(r#"echo "GREETING" > /dev/console"#, fill)
}

#[test]
fn a_guest_that_fills_its_node_waits_and_goes_on() {
    if !needs_root() {
        return;
    }
    let small = &[(NODES, 128)];
    let installation = Installation::start(Options { small, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    let mount = installation.disk(NODES).path().display().to_string();
    installation.apply(&greedy());
    let told = until_some("the instance says that its disk has no room", PATIENCE, || {
        installation.condition("vmi", "hello", "Paused")
    });
    for part in [mount.as_str(), " left and 16 MiB are needed", "free some there", "goes on by itself"] {
        assert!(told.contains(part), "{told}");
    }
    until("the machine says the same in one word, and at length", PATIENCE, || {
        installation
            .get("vm", "default", "hello")
            .is_some_and(|vm| vm["status"]["printableStatus"] == "Paused")
            && installation.condition("vm", "hello", "Paused").as_ref() == Some(&told)
    });
    let events = until_some("an event says it, too", PATIENCE, || {
        Some(installation.events("hello", "IOerror")).filter(|events| !events.is_empty())
    });
    assert_eq!(events, [told]);

    // A second machine is not started into the same misery.
    installation.apply(&machine("late", &container_disk(BLANK)));
    let late = until_some("the second machine says that there is no room", PATIENCE, || {
        installation.condition("vm", "late", "Synchronized")
    });
    for part in [mount.as_str(), "16 MiB are needed", "free some there"] {
        assert!(late.contains(part), "{late}");
    }

    // It stands still, without another word.
    let paused = || {
        let instance = installation.get("vmi", "default", "hello").expect("it is there");
        let conditions = instance["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|condition| condition["type"] == "Paused")
    };
    let before = paused();
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(paused(), before);
    assert_eq!(installation.events("hello", "IOerror").len(), 1);
    assert!(installation.events("hello", "Resumed").is_empty());

    installation.disk(NODES).resize(512);
    until("the guest has written all", PATIENCE, || {
        installation.console("default", "hello").contains("all written")
    });
    until("the instance is not paused any more", PATIENCE, || {
        installation.condition("vmi", "hello", "Paused").is_none() && runs(&installation, "hello")
    });
    until("an event says so", PATIENCE, || !installation.events("hello", "Resumed").is_empty());
    until("the second machine runs", PATIENCE, || runs(&installation, "late"));
}

#[test]
fn an_image_without_room_is_named_and_unpacked_later() {
    if !needs_root() {
        return;
    }
    // The store keeps 256 MiB free.
    let small = &[(IMAGES, 300)];
    let installation = Installation::start(Options { images: false, small, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    let free_is_kept = 256;
    installation.disk(IMAGES).fill(free_is_kept / 2);
    installation.apply(&machine("vm", &container_disk(BLANK)));
    let told = until_some("the machine says that its image has no room", PATIENCE, || {
        installation.condition("vm", "vm", "Synchronized")
    });
    let mount = installation.disk(IMAGES).path().display().to_string();
    for part in [BLANK, &mount, "no space left", "make room"] {
        assert!(told.contains(part), "{told}");
    }
    let instance = installation.get("vmi", "default", "vm").expect("it is there");
    let conditions = instance["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let stuck = conditions.iter().find(|condition| condition["type"] == "Synchronized");
    let words = ["ErrImagePull", "ImagePullBackOff"].map(Some);
    let reason = stuck.expect("the condition")["reason"].as_str();
    assert!(words.contains(&reason), "{reason:?}");
    until("the machine says so in one word", PATIENCE, || {
        let machine = installation.get("vm", "default", "vm").expect("it is there");
        words.contains(&machine["status"]["printableStatus"].as_str())
    });
    installation.disk(IMAGES).clear();
    until("the machine runs", PATIENCE, || runs(&installation, "vm"));
}
