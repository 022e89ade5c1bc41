//! One machine per device area.

use std::collections::BTreeMap;

use hypervisor::Access;
use serde_json::{Value, json};
use wire::machine::MachineRecord;

/// A record and the names of the descriptors that it needs.
pub(crate) type Machine = (MachineRecord, &'static [&'static str]);

/// Descriptors by name; `:ro` marks one that is open for reading only.
pub(crate) fn open_for(names: &[&str]) -> BTreeMap<String, Access> {
    let access = |name: &&str| match name.strip_suffix(":ro") {
        Some(name) => (name.to_owned(), Access::Read),
        None => ((*name).to_owned(), Access::ReadWrite),
    };
    names.iter().map(access).collect()
}

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

pub(crate) fn with(fields: Value) -> MachineRecord {
    let mut record = small();
    record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(record).unwrap()
}

pub(crate) fn disk(name: &str, device: &str, bus: &str, address: Value, chain: Value) -> Value {
    json!({
        "name": name, "device": device, "bus": bus, "address": address, "chain": chain,
        "cache": "none", "errorPolicy": "stop"
    })
}

pub(crate) fn the_smallest_machine() -> Machine {
    (with(json!({})), &[])
}

pub(crate) fn kernel_boot_with_everything_a_demo_has() -> Machine {
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
                    "statsPeriodSeconds": 10},
        "agent": {"address": {"type": "rootPort", "slot": 6}},
        "spareRootPorts": [8, 9]
    }));
    (
        record,
        &[
            "boot/kernel",
            "boot/initrd",
            "disk/rootdisk/0",
            "disk/rootdisk/1:ro",
            "disk/rootdisk/2:ro",
            "disk/seed/0",
            "nic/default/tap",
        ],
    )
}

pub(crate) fn uefi_with_variables_of_its_own() -> Machine {
    (with(json!({"boot": {"firmware": {"type": "uefi", "secureBoot": false, "persistent": false}}})), &[])
}

pub(crate) fn secure_boot_with_persistent_variables() -> Machine {
    let record =
        with(json!({"boot": {"firmware": {"type": "uefi", "secureBoot": true, "persistent": true}}}));
    (record, &["firmware/vars"])
}

pub(crate) fn disks_on_every_bus() -> Machine {
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
        disk("seventh", "disk", "sata", json!({"type": "unit", "unit": 6}), json!([{"descriptor": "f", "format": "raw"}])),
        disk("stick", "disk", "usb", json!({"type": "unit", "unit": 0}), json!([{"descriptor": "d", "format": "raw"}])),
        read_only,
    ]}));
    (record, &["a", "b", "c", "d", "f", "e:ro"])
}

pub(crate) fn processors_memory_identity_clock_and_graphics() -> Machine {
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
    (record, &[])
}

pub(crate) fn network_models() -> Machine {
    let nics: Vec<Value> = ["virtio", "e1000", "e1000e", "rtl8139", "pcnet", "ne2kpci", "igb"]
        .iter()
        .enumerate()
        .map(|(place, model)| {
            json!({
                "name": format!("n{place}"), "model": model,
                "address": {"type": "rootPort", "slot": place + 1},
                "mac": format!("02:00:00:00:00:0{place}"), "mtu": 0, "tap": format!("tap{place}"), "linkUp": true,
                "bootIndex": if place == 0 { json!(1) } else { json!(null) },
                "acpiIndex": if place == 2 { json!(7) } else { json!(null) }
            })
        })
        .collect();
    (with(json!({"nics": nics})), &["tap0", "tap1", "tap2", "tap3", "tap4", "tap5", "tap6"])
}

pub(crate) fn small_devices() -> Machine {
    let root = |slot: u8| json!({"type": "rootPort", "slot": slot});
    let record = with(json!({
        "serial": true,
        "boot": {"firmware": {"type": "bios"}, "firmwareOnSerial": true},
        "smbios": {
            "uuid": "8d1f6f3c-3b43-4f0b-9d55-5d2a4f9d5f01", "manufacturer": "KubeVirt", "assetTag": "t-1",
            "chassisManufacturer": "Sheet, Metal", "chassisVersion": "2", "chassisSerial": "c-1", "chassisSku": "k-1"
        },
        "graphics": {"adapter": "virtio-vga", "address": {"type": "pci", "address": "0000:00:01.0"}},
        "inputs": [{"name": "a", "bus": "usb"}, {"name": "b", "bus": "virtio", "address": root(2)}],
        "sound": {"model": "ich9", "address": root(3)},
        "watchdog": {"action": "poweroff", "address": root(4)},
        "tpm": {},
        "panicDevices": [{"model": "isa"}, {"model": "pvpanic", "address": root(5)}],
        "rebootEnds": true
    }));
    (record, &[])
}

fn features(accelerator: &str) -> MachineRecord {
    with(json!({
        "accelerator": accelerator,
        "features": {
            "smm": false, "hidden": true, "spinLocks": false, "endOfInterrupt": true,
            "hyperv": {
                "enlightenments": ["relaxed", "vapic", "vpindex", "runtime", "synic", "stimer", "stimerDirect", "reset",
                                   "frequencies", "reenlightenment", "tlbFlush", "tlbFlushDirect", "tlbFlushExtended",
                                   "ipi", "evmcs"],
                "spinLockRetries": 8191, "vendorId": "Vendor"
            }
        },
        "clock": {
            "offsetSeconds": 0, "timezone": "Europe/Berlin",
            "timers": {"hpet": false, "pit": true, "pitTicks": "discard", "rtcTicks": "delay", "rtcTrack": "guest",
                       "kvmClock": false, "hypervClock": true}
        },
        "panicDevices": [{"model": "hyperv"}],
        "graphics": {"adapter": "ramfb", "address": {"type": "pci", "address": "0000:00:01.0"}},
        "sound": {"model": "ac97", "address": {"type": "rootPort", "slot": 3}}
    }))
}

pub(crate) fn features_that_kvm_offers() -> Machine {
    (features("kvm"), &[])
}

pub(crate) fn features_under_emulation() -> Machine {
    (features("tcg"), &[])
}

pub(crate) fn disks_with_every_setting() -> Machine {
    let root = |slot: u8| json!({"type": "rootPort", "slot": slot});
    let unit = |unit: u32| json!({"type": "unit", "unit": unit});
    let image = |name: &str| json!([{"descriptor": name, "format": "raw"}]);
    let mut native = disk("native", "disk", "virtio", root(2), image("a"));
    native["io"] = json!("native");
    native["ioThreads"] = json!([2]);
    native["queues"] = json!(4);
    let mut large = disk("large", "disk", "virtio", root(3), image("b"));
    large["blockSize"] = json!({"logical": 4096, "physical": 8192, "discardGranularity": 65536});
    large["errorPolicy"] = json!("enospace");
    large["cache"] = json!("writeback");
    large["io"] = json!("threads");
    large["ioThreads"] = json!([1]);
    let mut scsi = disk("scsi", "disk", "scsi", unit(0), image("c"));
    scsi["blockSize"] = json!({"logical": 512, "physical": 4096});
    let record = with(json!({"ioThreads": 2, "disks": [
        native,
        large,
        scsi,
        disk("empty", "cdrom", "sata", unit(0), json!([])),
        disk("usbcd", "cdrom", "usb", unit(0), image("d")),
        disk("scsicd", "cdrom", "scsi", unit(1), json!([])),
    ]}));
    (record, &["a", "b", "c", "d"])
}

pub(crate) fn what_old_guests_need_and_what_is_kept() -> Machine {
    let root = |slot: u8| json!({"type": "rootPort", "slot": slot});
    let mut shared = disk("shared", "disk", "virtio", root(3), json!([{"descriptor": "a", "format": "raw"}]));
    shared["shareable"] = json!(true);
    let scsi = disk(
        "scsi",
        "disk",
        "scsi",
        json!({"type": "unit", "unit": 0}),
        json!([{"descriptor": "b", "format": "raw"}]),
    );
    let record = with(json!({
        "boot": {"firmware": {"type": "bios"}, "acpiTables": ["firmware/slic"]},
        "virtioTransitional": true,
        "features": {"acpi": false},
        "tpm": {"persistent": true},
        "disks": [shared, scsi],
        "nics": [
            {"name": "default", "model": "virtio", "address": root(2), "mac": "02:00:00:00:00:01", "mtu": 0,
             "tap": "nic/default/tap", "linkUp": true},
            {"name": "second", "model": "e1000e", "address": root(4), "mac": "02:00:00:00:00:02", "mtu": 0,
             "tap": "nic/second/tap", "linkUp": true}
        ],
        "agent": {"address": root(5)},
        "rng": {"address": root(6)},
        "balloon": {"address": root(7), "statsPeriodSeconds": 10},
        "spareRootPorts": [8]
    }));
    (record, &["firmware/slic:ro", "tpm/state", "a", "b", "nic/default/tap", "nic/second/tap"])
}

pub(crate) fn a_pool_of_threads_for_all_disks() -> Machine {
    let mut pooled = disk(
        "d",
        "disk",
        "virtio",
        json!({"type": "rootPort", "slot": 2}),
        json!([
            {"descriptor": "a", "format": "raw"}
        ]),
    );
    pooled["ioThreads"] = json!([1, 2, 3]);
    (with(json!({"ioThreads": 3, "disks": [pooled]})), &["a"])
}
