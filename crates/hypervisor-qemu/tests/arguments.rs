//! Golden command lines: one machine per device area, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up should fail")]

mod records;

use std::path::Path;

use hypervisor::{Backend, Invocation, PlanError, Preparation, Source, Surroundings};
use hypervisor_qemu::Qemu;
use records::{disk, open_for, with};
use serde_json::json;
use wire::machine::MachineRecord;

fn plan_with(record: &MachineRecord, descriptors: &[&str]) -> Result<Invocation, PlanError> {
    let descriptors = open_for(descriptors);
    let surroundings = Surroundings {
        descriptors: &descriptors,
        run_directory: Path::new("/run/vm"),
        socket_directory: Path::new("/run/sockets"),
        now: 1_700_000_000,
    };
    let backend = Qemu::default();
    let plan = backend.plan(record, &surroundings);
    assert_eq!(plan, backend.plan(record, &surroundings), "a plan is pure");
    plan
}

/// Writes an invocation as people read it: one option a line.
fn print(invocation: &Invocation) -> String {
    let prepared = invocation.prepare.iter().map(|step| match step {
        Preparation::Copy { from, to } => format!("copy {} {}", from.display(), to.display()),
        Preparation::Remove { path } => format!("remove {}", path.display()),
        Preparation::Directory { path } => format!("directory {}", path.display()),
        Preparation::Need { path, .. } => format!("need {}", path.display()),
    });
    let inherited = invocation.descriptors.iter().map(|inherited| match &inherited.source {
        Source::Descriptor(name) => format!("{} < {name}", inherited.number),
        Source::Channel(name) => format!("{} <> {name}", inherited.number),
    });
    let beside = invocation.companions.iter().map(|companion| {
        let mut words = vec![companion.program.display().to_string()];
        words.extend(companion.args.iter().cloned());
        words.extend(companion.takes.iter().map(|number| format!("< {number}")));
        format!("{} <> {}", companion.number, words.join(" "))
    });
    let zone =
        invocation.env.iter().filter(|(name, _)| name == "TZ").map(|(name, zone)| format!("{name}={zone}"));
    let program = std::iter::once(invocation.program.display().to_string());
    let mut text =
        prepared.chain(inherited).chain(beside).chain(zone).chain(program).collect::<Vec<_>>().join("\n");
    for argument in &invocation.args {
        let separator = if argument.starts_with('-') { "\n  " } else { " " };
        text.push_str(separator);
        text.push_str(argument);
    }
    text
}

macro_rules! golden {
    ($($name:ident;)*) => {$(
        #[test]
        fn $name() {
            let (record, descriptors) = records::$name();
            insta::assert_snapshot!(print(&plan_with(&record, descriptors).unwrap()));
        }
    )*};
}

golden! {
    the_smallest_machine;
    kernel_boot_with_everything_a_demo_has;
    uefi_with_variables_of_its_own;
    secure_boot_with_persistent_variables;
    disks_on_every_bus;
    processors_memory_identity_clock_and_graphics;
    network_models;
    small_devices;
    features_that_kvm_offers;
    features_under_emulation;
    disks_with_every_setting;
    a_pool_of_threads_for_all_disks;
    what_old_guests_need_and_what_is_kept;
}

#[test]
fn refusals_name_the_device_and_the_reason() {
    let root = |slot: u8| json!({"type": "rootPort", "slot": slot});
    let raw = json!([{"descriptor": "a", "format": "raw"}]);
    let cases = [
        (json!({"architecture": "arm64"}), "architecture Arm64 is not supported by the qemu backend"),
        (json!({"machineType": "pc-i440fx-10.0"}), "machine type: pc-i440fx-10.0 is not a q35 machine"),
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
            json!({"disks": [disk("d", "disk", "sata", json!({"type": "unit", "unit": 24}), raw.clone())]}),
            "unit 24 is beyond",
        ),
        (
            json!({"disks": [disk("d", "cdrom", "virtio", root(1), raw.clone())]}),
            "an optical drive needs the bus sata",
        ),
        (json!({"disks": [disk("d", "disk", "virtio", root(1), json!([]))]}), "disk d: it has no image"),
        (
            json!({"disks": [disk("d", "disk", "virtio", json!({"type": "pci", "address": "0000:03:01.0"}), raw)]}),
            "PCI address 0000:03:01.0 is not of the form",
        ),
        (
            json!({"disks": [disk("d", "disk", "virtio", root(1), json!([{"descriptor": "r", "format": "raw"}]))]}),
            "disk d: r is written and open for reading only",
        ),
    ];
    for (fields, expected) in cases {
        let error = plan_with(&with(fields), &["a", "r:ro"]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
}
