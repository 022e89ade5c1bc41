//! Golden command lines: one machine per device area, and what is refused.

use std::collections::BTreeSet;
use std::path::Path;

use hypervisor::{Backend, Invocation, PlanError, Preparation, Source, Surroundings};
use hypervisor_qemu::Qemu;
use serde_json::{Value, json};
use wire::machine::MachineRecord;

/// The smallest machine; tests add what they are about.
fn small() -> Value {
    json!({
        "version": 1,
        "uid": "8d1f6f3c-3b43-4f0b-9d55-5d2a4f9d5f01",
        "name": "default_small",
        "architecture": "amd64",
        "machineType": "pc-q35-10.0",
        "accelerator": "tcg",
        "cpu": {"model": "host", "sockets": 1, "cores": 1, "threads": 1, "maxSockets": 1},
        "memory": {"size": 128 << 20, "max": 128 << 20},
        "boot": {"firmware": {"type": "bios"}},
        "smbios": {"uuid": "8d1f6f3c-3b43-4f0b-9d55-5d2a4f9d5f01"},
        "clock": {"offsetSeconds": 0},
        "serial": false,
        "gracePeriodSeconds": 30
    })
}

fn with(fields: Value) -> MachineRecord {
    let mut record = small();
    record
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    serde_json::from_value(record).unwrap()
}

fn disk(name: &str, device: &str, bus: &str, address: Value, chain: Value) -> Value {
    json!({
        "name": name, "device": device, "bus": bus, "address": address, "chain": chain,
        "cache": "none", "errorPolicy": "stop"
    })
}

fn plan_with(record: &MachineRecord, descriptors: &[&str]) -> Result<Invocation, PlanError> {
    let descriptors: BTreeSet<String> = descriptors.iter().map(|name| (*name).to_owned()).collect();
    let surroundings = Surroundings {
        descriptors: &descriptors,
        run_directory: Path::new("/run/vm"),
        now: 1_700_000_000,
    };
    let backend = Qemu::default();
    let plan = backend.plan(record, &surroundings);
    assert_eq!(plan, backend.plan(record, &surroundings), "a plan is pure");
    plan
}

/// Writes an invocation as people read it: one option a line.
fn print(invocation: &Invocation) -> String {
    let mut text = String::new();
    for step in &invocation.prepare {
        match step {
            Preparation::Copy { from, to } => {
                text.push_str(&format!("copy {} {}\n", from.display(), to.display()));
            }
            Preparation::Remove { path } => text.push_str(&format!("remove {}\n", path.display())),
        }
    }
    for inherited in &invocation.descriptors {
        match &inherited.source {
            Source::Descriptor(name) => text.push_str(&format!("{} < {name}\n", inherited.number)),
            Source::Channel(name) => text.push_str(&format!("{} <> {name}\n", inherited.number)),
        }
    }
    text.push_str(&invocation.program.display().to_string());
    for argument in &invocation.args {
        let separator = if argument.starts_with('-') { "\n  " } else { " " };
        text.push_str(separator);
        text.push_str(argument);
    }
    text
}

macro_rules! golden {
    ($record:expr, $descriptors:expr) => {
        insta::assert_snapshot!(print(&plan_with(&$record, $descriptors).unwrap()))
    };
}

#[test]
fn the_smallest_machine() {
    golden!(with(json!({})), &[]);
}

#[test]
fn kernel_boot_with_everything_a_demo_has() {
    let record = with(json!({
        "serial": true,
        "boot": {
            "firmware": {"type": "bios"},
            "kernel": {"kernel": "boot/kernel", "initrd": "boot/initrd", "cmdline": "console=ttyS0 quiet"}
        },
        "disks": [
            disk("rootdisk", "disk", "virtio", json!({"type": "rootPort", "slot": 2}), json!([
                {"descriptor": "disk/rootdisk/0", "format": "qcow2"},
                {"descriptor": "disk/rootdisk/1", "format": "qcow2"},
                {"descriptor": "disk/rootdisk/2", "format": "raw"}
            ])),
            disk("seed", "disk", "virtio", json!({"type": "rootPort", "slot": 3}), json!([
                {"descriptor": "disk/seed/0", "format": "raw"}
            ])),
        ],
        "nics": [{
            "name": "default", "model": "virtio", "address": {"type": "rootPort", "slot": 1},
            "mac": "02:00:00:00:00:01", "mtu": 1480, "tap": "nic/default/tap", "linkUp": true
        }],
        "rng": {"address": {"type": "rootPort", "slot": 4}},
        "balloon": {"address": {"type": "rootPort", "slot": 5}, "statsPeriodSeconds": 10,
                    "stats_period_seconds": 10},
        "agent": {"address": {"type": "rootPort", "slot": 6}},
        "spareRootPorts": [8, 9]
    }));
    golden!(
        record,
        &[
            "boot/kernel",
            "boot/initrd",
            "disk/rootdisk/0",
            "disk/rootdisk/1",
            "disk/rootdisk/2",
            "disk/seed/0",
            "nic/default/tap",
        ]
    );
}

#[test]
fn uefi_with_variables_of_its_own() {
    golden!(
        with(json!({"boot": {"firmware": {"type": "uefi", "secureBoot": false, "persistent": false}}})),
        &[]
    );
}

#[test]
fn secure_boot_with_persistent_variables() {
    let record =
        with(json!({"boot": {"firmware": {"type": "uefi", "secureBoot": true, "persistent": true}}}));
    golden!(record, &["firmware/vars"]);
}

#[test]
fn disks_on_every_bus() {
    let mut plain = disk(
        "plain",
        "disk",
        "sata",
        json!({"type": "unit", "unit": 0}),
        json!([
            {"descriptor": "a", "format": "raw"}
        ]),
    );
    plain["cache"] = json!("writethrough");
    plain["serial"] = json!("S1");
    plain["bootIndex"] = json!(2);
    let mut ignoring = disk(
        "ignoring",
        "disk",
        "scsi",
        json!({"type": "unit", "unit": 1}),
        json!([
            {"descriptor": "c", "format": "qcow2"}
        ]),
    );
    ignoring["cache"] = json!("writeback");
    ignoring["errorPolicy"] = json!("ignore");
    let mut read_only = disk(
        "ro",
        "disk",
        "virtio",
        json!({"type": "pci", "address": "0000:00:0a.1"}),
        json!([
            {"descriptor": "e", "format": "raw"}
        ]),
    );
    read_only["readOnly"] = json!(true);
    let record = with(json!({"disks": [
        plain,
        disk("cd", "cdrom", "sata", json!({"type": "unit", "unit": 1}), json!([{"descriptor": "b", "format": "raw"}])),
        ignoring,
        disk("stick", "disk", "usb", json!({"type": "unit", "unit": 0}), json!([{"descriptor": "d", "format": "raw"}])),
        read_only,
    ]}));
    golden!(record, &["a", "b", "c", "d", "e"]);
}

#[test]
fn processors_memory_identity_clock_and_graphics() {
    let record = with(json!({
        "name": "default_big,comma",
        "accelerator": "kvm",
        "cpu": {
            "model": "Skylake-Server", "sockets": 2, "cores": 4, "threads": 2, "maxSockets": 8,
            "features": [{"name": "vmx", "enabled": false}, {"name": "pdpe1gb", "enabled": true}]
        },
        "memory": {"size": 4u64 << 30, "max": 16u64 << 30, "hugepageSize": 2 << 20, "shared": true},
        "smbios": {
            "uuid": "8d1f6f3c-3b43-4f0b-9d55-5d2a4f9d5f01", "serial": "S,1", "manufacturer": "KubeVirt",
            "product": "None", "version": "1", "family": "KubeVirt", "sku": "k", "assetTag": "t-1"
        },
        "clock": {"offsetSeconds": -3600},
        "graphics": {"adapter": "VGA", "address": {"type": "rootPort", "slot": 7}}
    }));
    golden!(record, &[]);
}

#[test]
fn network_models() {
    let nics: Vec<Value> = ["virtio", "e1000", "e1000e", "rtl8139", "pcnet", "ne2kpci"]
        .iter()
        .enumerate()
        .map(|(place, model)| {
            json!({
                "name": format!("n{place}"), "model": model,
                "address": {"type": "rootPort", "slot": place + 1},
                "mac": format!("02:00:00:00:00:0{place}"), "mtu": 0, "tap": format!("tap{place}"), "linkUp": true,
                "bootIndex": if place == 0 { json!(1) } else { json!(null) }
            })
        })
        .collect();
    golden!(
        with(json!({"nics": nics})),
        &["tap0", "tap1", "tap2", "tap3", "tap4", "tap5"]
    );
}

#[test]
fn refusals_name_the_device_and_the_reason() {
    let root = |slot: u8| json!({"type": "rootPort", "slot": slot});
    let raw = json!([{"descriptor": "a", "format": "raw"}]);
    let cases = [
        (
            json!({"architecture": "arm64"}),
            "architecture Arm64 is not supported by the qemu backend",
        ),
        (
            json!({"machineType": "pc-i440fx-10.0"}),
            "machine type: pc-i440fx-10.0 is not a q35 machine",
        ),
        (
            json!({"disks": [disk("d", "disk", "virtio", root(1), json!([{"descriptor": "z", "format": "raw"}]))]}),
            "disk d needs the descriptor z",
        ),
        (
            json!({"disks": [disk("d", "lun", "scsi", json!({"type": "unit", "unit": 0}), raw.clone())]}),
            "disk d: device Lun is not supported",
        ),
        (
            json!({"disks": [disk("d", "disk", "virtio", root(1), raw.clone()),
                             disk("e", "disk", "virtio", root(1), raw.clone())]}),
            "disk e: PCI slot 1 is taken by disk d already",
        ),
        (
            json!({"disks": [disk("d", "disk", "virtio", root(31), raw.clone())]}),
            "PCI slot 31 is not one of 1 to 28",
        ),
        (
            json!({"disks": [disk("d", "disk", "virtio", root(1), json!([
                {"descriptor": "a", "format": "raw"}, {"descriptor": "a", "format": "raw"}]))]}),
            "disk d: only the last image of a chain can be raw",
        ),
        (
            json!({"disks": [disk("d", "disk", "sata", json!({"type": "unit", "unit": 6}), raw.clone())]}),
            "unit 6 is beyond",
        ),
        (
            json!({"disks": [disk("d", "cdrom", "virtio", root(1), raw.clone())]}),
            "an optical drive needs the bus sata",
        ),
        (
            json!({"disks": [disk("d", "disk", "virtio", json!({"type": "pci", "address": "0000:03:01.0"}), raw)]}),
            "PCI address 0000:03:01.0 is not of the form",
        ),
    ];
    for (fields, expected) in cases {
        let error = plan_with(&with(fields), &["a"]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
}
