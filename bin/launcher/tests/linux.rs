//! A real Linux guest under the real shim, launcher and QEMU, emulated.
//!
//! The guest is the repository's own (`make guest` builds it into `guest/out`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up should fail")]

mod pod;

use std::fs::File;
use std::path::Path;

use launcher_channel::Descriptors;
use pod::{Pod, tiny, until_phase};
use serde_json::json;
use tokio_stream::StreamExt;
use wire::launcher::v1::machine_state::Phase;
use wire::machine::MachineRecord;

fn guest(name: &str) -> std::os::fd::OwnedFd {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/out").join(name);
    File::open(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make guest`", path.display())).into()
}

/// A machine with the devices that a default virtual machine has, but for its network.
fn machine() -> (MachineRecord, Descriptors) {
    let mut record = serde_json::to_value(tiny()).unwrap();
    let changes = json!({
        "machineType": "q35",
        "cpu": {"model": "max", "sockets": 1, "cores": 2, "threads": 1, "maxSockets": 2},
        "memory": {"size": 192u64 << 20, "max": 192u64 << 20},
        "boot": {
            "firmware": {"type": "bios"},
            "kernel": {"kernel": "boot/kernel", "initrd": "boot/initrd", "cmdline": "console=ttyS0 panic=-1"}
        },
        "agent": {"address": {"type": "rootPort", "slot": 2}},
        "rng": {"address": {"type": "rootPort", "slot": 3}},
        "balloon": {"address": {"type": "rootPort", "slot": 4}, "statsPeriodSeconds": 0},
        "spareRootPorts": [5, 6, 7, 8],
        "gracePeriodSeconds": 60
    });
    record.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let descriptors =
        vec![("boot/kernel".to_owned(), guest("vmlinuz")), ("boot/initrd".to_owned(), guest("initrd.gz"))];
    (serde_json::from_value(record).unwrap(), descriptors)
}

#[tokio::test]
async fn a_linux_guest_boots_tells_of_itself_and_shuts_down() {
    let mut pod = Pod::start();
    let client = pod.connect(1).await;
    let (record, descriptors) = machine();
    let state = client.start(&record, descriptors).await.unwrap();
    assert_eq!(state.phase(), Phase::Running, "{state:?}");

    let mut states = client.watch().await.unwrap();
    let guest_speaks = async {
        while let Some(state) = states.next().await {
            if let (true, Some(os)) = (state.agent_connected, state.guest_os) {
                return os;
            }
        }
        panic!("the stream ended before the guest's agent answered");
    };
    let os = tokio::time::timeout(std::time::Duration::from_secs(180), guest_speaks).await;
    let Ok(os) = os else { panic!("no guest agent: {}", pod.read("serial0.log")) };
    assert!(!os.kernel_release.is_empty() && os.machine == "x86_64", "{os:?}");
    assert!(pod.read("serial0.log").contains("Linux version"), "the console was drained from the first line");

    client.shutdown(120).await.unwrap();
    let (state, _) = until_phase(&mut states, Phase::ShutOff).await;
    assert_eq!(state.reason, "GuestShutdown");
    assert!(pod.ended().await.success());
}
