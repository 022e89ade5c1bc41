//! The machine that an instance becomes: golden records, and what holds for every machine.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up should fail")]

#[path = "record/edits.rs"]
mod edits;
#[path = "record/every.rs"]
mod every;

use std::collections::BTreeMap;

use api::kubevirt::v1::VirtualMachineInstance;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use model::config::ClusterConfig;
use model::defaults::{self, Fresh};
use model::record::{NicFacts, NodeFacts, Places, SmbiosFacts, VolumeFacts, machine_record, slots};
use serde_json::{Value, json};
use wire::machine::{Accelerator, Address, Architecture, DiskFormat};

fn facts() -> NodeFacts {
    NodeFacts {
        architecture: Architecture::Amd64,
        accelerator: Accelerator::Tcg,
        machine_aliases: BTreeMap::from([("q35".to_owned(), "pc-q35-10.0".to_owned())]),
        cpu_features: None,
        smbios: SmbiosFacts::default(),
        balloon_period_seconds: 10,
        volumes: BTreeMap::from([(
            "root".to_owned(),
            VolumeFacts {
                chain: vec![DiskFormat::Qcow2, DiskFormat::Qcow2],
                direct_io: false,
                block_size: Some(4096),
            },
        )]),
        nics: BTreeMap::from([("default".to_owned(), NicFacts { lease: None, mtu: 1480 })]),
        log_serial_console: true,
        places: None,
    }
}

/// Returns an instance as admission leaves it.
fn instance(spec: Value) -> VirtualMachineInstance {
    let mut vmi: VirtualMachineInstance = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "3f1c2d4e-0000-4000-8000-000000000001"},
        "spec": spec,
    }))
    .unwrap();
    let fresh = Fresh {
        uuid: "9c1f0a52-0000-4000-8000-000000000002".to_owned(),
        serial: String::new(),
        now: Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH),
    };
    defaults::vmi(&mut vmi, &ClusterConfig::default(), &fresh);
    vmi
}

fn usual() -> Value {
    json!({
        "domain": {
            "cpu": {"cores": 2},
            "memory": {"guest": "512Mi"},
            "devices": {
                "rng": {},
                "disks": [
                    {"name": "root", "disk": {"bus": "virtio"}},
                    {"name": "seed", "disk": {"bus": "virtio"}},
                    {"name": "tools", "cdrom": {}},
                ],
                "interfaces": [{"name": "default", "masquerade": {}}],
            },
        },
        "networks": [{"name": "default", "pod": {}}],
        "volumes": [
            {"name": "root", "containerDisk": {"image": "example.test/guest:1"}},
            {"name": "seed", "cloudInitNoCloud": {"userData": "#cloud-config\n"}},
            {"name": "tools", "containerDisk": {"image": "example.test/tools:1"}},
        ],
    })
}

#[test]
fn a_usual_machine() {
    let record = machine_record(&instance(usual()), &facts(), None).unwrap();
    insta::assert_yaml_snapshot!("usual", record);
}

#[test]
fn a_machine_with_a_kernel_of_its_own_and_nothing_else() {
    let vmi = instance(json!({
        "domain": {
            "memory": {"guest": "128Mi"},
            "firmware": {"kernelBoot": {
                "kernelArgs": "console=ttyS0",
                "container": {"image": "example.test/kernel:1", "kernelPath": "/boot/vmlinuz", "initrdPath": "/boot/initrd"},
            }},
            "devices": {
                "autoattachGraphicsDevice": false, "autoattachMemBalloon": false,
                "autoattachPodInterface": false, "disableHotplug": true,
            },
        },
        "startStrategy": "Paused", "terminationGracePeriodSeconds": 0,
    }));
    insta::assert_yaml_snapshot!("kernel", machine_record(&vmi, &facts(), None).unwrap());
}

#[test]
fn a_machine_with_uefi_and_identity() {
    let vmi = instance(json!({
        "domain": {
            "memory": {"guest": "2Gi"},
            "cpu": {"model": "Skylake-Client", "sockets": 2, "maxSockets": 4,
                    "features": [{"name": "pcid"}, {"name": "apic", "policy": "disable"}]},
            "firmware": {"uuid": "5d307ca9-b3ef-428c-8861-06e72d69f223", "serial": "s-1",
                         "bootloader": {"efi": {"secureBoot": false}}},
            "chassis": {"asset": "a-1"},
            "clock": {"utc": {"offsetSeconds": -10}},
            "devices": {
                "disks": [{"name": "root", "disk": {"bus": "scsi"}, "serial": "D1", "bootOrder": 2, "cache": "none"}],
                "interfaces": [{"name": "default", "masquerade": {}, "macAddress": "02-00-00-00-00-0A",
                                "model": "e1000e", "state": "down", "bootOrder": 1}],
            },
        },
        "networks": [{"name": "default", "pod": {}}],
        "volumes": [{"name": "root", "emptyDisk": {"capacity": "1Gi"}}],
    }));
    insta::assert_yaml_snapshot!("uefi", machine_record(&vmi, &facts(), None).unwrap());
}

/// A machine with most of the devices that there are.
fn every_kind() -> Value {
    json!({
        "domain": {
            "memory": {"guest": "512Mi"},
            "cpu": {"cores": 2, "features": [{"name": "hle", "policy": "optional"}, {"name": "aes", "policy": "forbid"},
                                             {"name": "sse4_2"}, {"name": "vmx", "policy": "force"}]},
            "chassis": {"manufacturer": "m", "version": "v", "serial": "s", "asset": "a", "sku": "k"},
            "firmware": {"bootloader": {"bios": {"useSerial": true}}},
            "clock": {"timezone": "Asia/Tokyo", "timer": {
                "hpet": {"present": false}, "pit": {"tickPolicy": "delay"}, "kvm": {}, "hyperv": {},
                "rtc": {"tickPolicy": "catchup", "track": "guest"},
            }},
            "features": {
                "smm": {"enabled": false}, "kvm": {"hidden": true}, "pvspinlock": {}, "apic": {"endOfInterrupt": true},
                "hyperv": {"synictimer": {"direct": {}}, "spinlocks": {}, "vendorid": {"vendorid": "x"},
                           "tlbflush": {"extended": {}}, "relaxed": {"enabled": false}},
            },
            "ioThreadsPolicy": "auto", "rebootPolicy": "Terminate",
            "devices": {
                "blockMultiQueue": true, "rng": {}, "video": {"type": "cirrus"},
                "inputs": [{"name": "usb", "type": "tablet"}, {"name": "virtio", "type": "tablet", "bus": "virtio"}],
                "sound": {"name": "sound", "model": "ac97"}, "tpm": {},
                "watchdog": {"name": "dog", "i6300esb": {"action": "shutdown"}},
                "panicDevices": [{}, {"model": "pvpanic"}],
                "disks": [
                    {"name": "root", "disk": {"bus": "virtio"}, "io": "native"},
                    {"name": "own", "disk": {"bus": "virtio", "pciAddress": "0000:00:0a.0"}, "dedicatedIOThread": true,
                     "errorPolicy": "enospace",
                     "blockSize": {"custom": {"logical": 4096, "physical": 8192, "discardGranularity": 65536}}},
                    {"name": "open", "cdrom": {"bus": "scsi", "tray": "open"}},
                    {"name": "empty", "cdrom": {}},
                ],
                "interfaces": [{"name": "default", "masquerade": {}, "model": "igb", "acpiIndex": 7}],
            },
        },
        "networks": [{"name": "default", "pod": {}}],
        "volumes": [
            {"name": "root", "containerDisk": {"image": "example.test/guest:1"}},
            {"name": "own", "emptyDisk": {"capacity": "1Gi"}},
            {"name": "open", "containerDisk": {"image": "example.test/tools:1"}},
        ],
    })
}

fn emulating() -> NodeFacts {
    NodeFacts { cpu_features: Some(["aes", "sse4.2", "sse4-2"].map(str::to_owned).into()), ..facts() }
}

#[test]
fn a_machine_with_many_devices() {
    let mut spec = every_kind();
    spec["domain"]["cpu"]["features"][1]["policy"] = json!("disable");
    insta::assert_yaml_snapshot!("devices", machine_record(&instance(spec), &emulating(), None).unwrap());
}

#[test]
fn a_new_device_moves_no_other() {
    let first = machine_record(&instance(usual()), &facts(), None).unwrap();
    let mut spec = usual();
    let added = &mut spec["domain"]["devices"];
    added["sound"] = json!({"name": "sound"});
    added["watchdog"] = json!({"name": "dog", "i6300esb": {}});
    added["inputs"] = json!([{"name": "pen", "type": "tablet", "bus": "virtio"}]);
    added["panicDevices"] = json!([{"model": "pvpanic"}]);
    added["disks"].as_array_mut().unwrap().insert(0, json!({"name": "new", "disk": {"bus": "virtio"}}));
    spec["volumes"].as_array_mut().unwrap().push(json!({"name": "new", "emptyDisk": {"capacity": "1Gi"}}));
    let second = machine_record(&instance(spec.clone()), &facts(), Some(&first)).unwrap();
    let (before, after) = (slots::occupied(&first), slots::occupied(&second));
    for (device, slot) in &before {
        assert_eq!(after.get(device), Some(slot), "{device} has moved");
    }
    assert_eq!(after.len(), before.len() + 5);
    // And a restart without them leaves the rest where it was, and them where they were when they come back.
    let third = machine_record(&instance(spec), &facts(), Some(&second)).unwrap();
    assert_eq!(third, second);
}

#[test]
fn the_next_instance_finds_its_devices_where_they_were() {
    let mut spec = usual();
    let disk = |name: &str| json!({"name": name, "disk": {"bus": "sata"}});
    spec["domain"]["devices"]["disks"].as_array_mut().unwrap().extend([disk("one"), disk("two")]);
    for name in ["one", "two"] {
        let volume = json!({"name": name, "emptyDisk": {"capacity": "1Gi"}});
        spec["volumes"].as_array_mut().unwrap().push(volume);
    }
    let first = machine_record(&instance(spec.clone()), &facts(), None).unwrap();
    let text = Places::of(&first).to_text();
    insta::assert_snapshot!("places", text);

    // What stood first goes, something else comes, and the alias has moved on.
    let gone = spec["domain"]["devices"]["disks"].as_array_mut().unwrap().remove(0);
    spec["domain"]["devices"]["disks"].as_array_mut().unwrap().retain(|disk| disk["name"] != "one");
    spec["domain"]["devices"]["sound"] = json!({"name": "sound"});
    let mut next = instance(spec);
    next.metadata.uid = Some("another".to_owned());
    let mut later = NodeFacts { places: Places::parse(&text), ..facts() };
    later.machine_aliases.insert("q35".to_owned(), "pc-q35-11.0".to_owned());
    let second = machine_record(&next, &later, None).unwrap();
    assert_eq!(second.machine_type, first.machine_type);
    let (before, after) = (slots::occupied(&first), slots::occupied(&second));
    let left = format!("disk/{}", gone["name"].as_str().unwrap());
    for (device, slot) in before.iter().filter(|(device, _)| **device != left) {
        assert_eq!(after.get(device), Some(slot), "{device} has moved");
    }
    let unit = |record: &wire::machine::MachineRecord| {
        record.disks.iter().find(|disk| disk.name == "two").map(|disk| disk.address.clone())
    };
    assert_eq!(unit(&second), unit(&first));
    // A type that the specification names itself is what it gets.
    next.spec.domain.machine = serde_json::from_value(json!({"type": "pc-q35-9.2"})).unwrap();
    assert_eq!(machine_record(&next, &later, None).unwrap().machine_type, "pc-q35-9.2");
}

#[test]
fn a_chosen_place_is_free_or_the_field_is_named() {
    let with = |address: &str| {
        let mut spec = usual();
        spec["domain"]["devices"]["disks"][1]["disk"]["pciAddress"] = json!(address);
        spec
    };
    // The lowest slot is what the interface would have taken.
    let record = machine_record(&instance(with("0000:00:02.0")), &facts(), None).unwrap();
    assert_eq!(record.disks[1].address, Address::Pci { address: "0000:00:02.0".to_owned() });
    assert!(!slots::occupied(&record).values().any(|slot| *slot == 2), "{:?}", slots::occupied(&record));
    let before = machine_record(&instance(usual()), &facts(), None).unwrap();
    for (address, previous, words) in [
        ("0000:04:10.0", None, "write 0000:00:SS.0"),
        ("0000:00:1f.0", None, "write 0000:00:SS.0"),
        ("0000:00:01.0", None, "graphics adapter"),
        ("0000:00:02.0", Some(&before), "nic/default has held this place"),
    ] {
        let error = machine_record(&instance(with(address)), &facts(), previous).unwrap_err().to_string();
        assert!(error.contains("disks[1].disk.pciAddress") && error.contains(words), "{error}");
    }
}

#[test]
fn a_node_without_a_feature_says_so() {
    for (policy, name, words) in [
        ("require", "hle", Some("do not offer the feature")),
        ("", "hle", Some("do not offer the feature")),
        ("forbid", "aes", Some("write disable to hide it")),
        ("optional", "hle", None),
        ("force", "hle", None),
        ("require", "sse4.2", None),
        ("forbid", "hle", None),
    ] {
        let mut spec = usual();
        spec["domain"]["cpu"]["features"] = json!([{"name": name, "policy": policy}]);
        let made = machine_record(&instance(spec.clone()), &emulating(), None);
        match words {
            Some(words) => assert!(made.unwrap_err().to_string().contains(words)),
            None => assert!(made.is_ok(), "{policy} {name}: {made:?}"),
        }
        // Where the hardware decides, nothing is known before.
        assert!(machine_record(&instance(spec), &facts(), None).is_ok());
    }
}

#[test]
fn what_cannot_be_made_names_its_field() {
    for (spec, words) in [
        (
            json!({"domain": {"devices": {}, "machine": {"type": "z80"}, "memory": {"guest": "64Mi"}}}),
            "spec.domain.machine.type is \"z80\"",
        ),
        (
            json!({"domain": {"devices": {"disks": [{"name": "gone"}]}, "memory": {"guest": "64Mi"}}}),
            "spec.domain.devices.disks[0].name is \"gone\"",
        ),
        (json!({"domain": {"devices": {}}}), "spec.domain.memory.guest"),
        (
            json!({"domain": {"devices": {}, "memory": {"guest": "64Mi"}, "clock": {"timezone": "../shadow"}}}),
            "spec.domain.clock.timezone is \"../shadow\"",
        ),
        (
            json!({"domain": {"devices": {}, "memory": {"guest": "64Mi"}, "ioThreadsPolicy": "supplementalPool",
                              "ioThreads": {"supplementalPoolThreadCount": 4_000_000_000_u32}}}),
            "spec.domain.ioThreads.supplementalPoolThreadCount is \"4000000000\": write at most 64",
        ),
        (
            json!({"domain": {"devices": {"panicDevices": [{"model": "hyperv"}]}, "memory": {"guest": "64Mi"}}}),
            "spec.domain.devices.panicDevices[0].model is \"hyperv\": it needs KVM",
        ),
        (
            json!({"domain": {"devices": {"disks": [{"name": "d", "disk": {"bus": "virtio"}, "io": "native", "cache": "writeback"}]},
                              "memory": {"guest": "64Mi"}},
                   "volumes": [{"name": "d", "emptyDisk": {"capacity": "1Gi"}}]}),
            "spec.domain.devices.disks[0].cache is \"writeback\": io: native works with",
        ),
    ] {
        let error = machine_record(&instance(spec), &facts(), None).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_machine_keeps_its_type_when_the_alias_moves_on() {
    let vmi = instance(usual());
    let first = machine_record(&vmi, &facts(), None).unwrap();
    let mut later = facts();
    later.machine_aliases.insert("q35".to_owned(), "pc-q35-11.0".to_owned());
    let second = machine_record(&vmi, &later, Some(&first)).unwrap();
    assert_eq!(second.machine_type, "pc-q35-10.0");
    assert_eq!(second, first);
}

#[test]
fn a_hardware_address_is_the_same_after_a_restart_and_differs_between_machines() {
    let first = machine_record(&instance(usual()), &facts(), None).unwrap();
    let mut restarted = instance(usual());
    restarted.metadata.uid = Some("another".to_owned());
    assert_eq!(machine_record(&restarted, &facts(), None).unwrap().nics[0].mac, first.nics[0].mac);
    let mut other = instance(usual());
    other.metadata.name = Some("db".to_owned());
    assert_ne!(machine_record(&other, &facts(), None).unwrap().nics[0].mac, first.nics[0].mac);
    assert!(first.nics[0].mac.starts_with("02:"));
}

#[test]
fn too_many_devices_are_refused() {
    let disks: Vec<Value> =
        (0..40).map(|i| json!({"name": format!("d{i}"), "disk": {"bus": "virtio"}})).collect();
    let volumes: Vec<Value> =
        (0..40).map(|i| json!({"name": format!("d{i}"), "emptyDisk": {"capacity": "1Mi"}})).collect();
    let vmi = instance(json!({
        "domain": {"devices": {"disks": disks}, "memory": {"guest": "64Mi"}}, "volumes": volumes,
    }));
    let error = machine_record(&vmi, &facts(), None).unwrap_err();
    assert!(error.to_string().contains("scsi"), "{error}");
}
