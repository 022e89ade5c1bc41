//! A disk that does a handful of writes a second below everything that an installation keeps: all takes longer, and
//! nothing is given up. For `make soak`.

use std::time::Duration;

use e2e::{BLANK, blank, container_disk, machine};
use kit::{Installation, Options, SlowDisk, until};

const PATIENCE: Duration = Duration::from_secs(240);
/// A synchronised write takes about a second then.
const WRITES: u32 = 8;

#[test]
#[ignore = "slow: make soak"]
fn on_a_slow_disk_machines_come_and_go_all_the_same() {
    if !SlowDisk::is_possible() {
        eprintln!(
            "skipped: only root can slow a disk down, and only where cgroup v1 has the controller blkio"
        );
        return;
    }
    let installation = Installation::start(Options { images: false, slow: 900, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    let control_plane = installation.pid();
    let slow = installation.slow_disk();
    slow.limit(WRITES);
    for round in 0..2 {
        installation.apply(&machine("patient", &container_disk(BLANK)));
        until(&format!("round {round}: the machine runs"), PATIENCE, || phase(&installation) == "Running");
        assert_eq!(installation.list("pods").len(), 1, "round {round}: one Pod, started once");
        installation.kubectl(&["delete", "vm", "patient", "--wait=false"]).expect("deleting it");
        until(&format!("round {round}: it is gone"), PATIENCE, || {
            ["vm", "vmi", "pods"].iter().all(|kind| installation.list(kind).is_empty())
        });
    }
    let node = installation.list("nodes").remove(0);
    let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let is_ready = conditions.iter().any(|entry| entry["type"] == "Ready" && entry["status"] == "True");
    assert!(is_ready, "the node kept its word: {conditions:?}");
    assert!(installation.list("events").iter().all(|event| event["reason"] != "NodeNotReady"));
    assert_eq!(installation.pid(), control_plane, "nobody started anew");
    slow.limit(0);
}

fn phase(installation: &Installation) -> String {
    let instance = installation.get("vmi", "default", "patient").unwrap_or_default();
    instance["status"]["phase"].as_str().unwrap_or_default().to_owned()
}
