//! What holds for every machine, whatever its devices.

use std::collections::{BTreeMap, BTreeSet};

use api::kubevirt::v1::VirtualMachineInstance;
use model::record::{machine_record, slots};
use proptest::prelude::*;
use serde_json::json;
use wire::machine::{Address, MachineRecord};

use super::{facts, instance};

/// Some disks and interfaces by number, each on a bus.
fn devices() -> impl Strategy<Value = (BTreeMap<u8, usize>, BTreeSet<u8>)> {
    (proptest::collection::btree_map(0u8..20, 0usize..4, 0..7), proptest::collection::btree_set(0u8..8, 0..4))
}

fn build(disks: &[(u8, usize)], nics: &[u8]) -> VirtualMachineInstance {
    const BUSES: [&str; 4] = ["virtio", "sata", "scsi", "usb"];
    let names: Vec<String> = disks.iter().map(|(number, _)| format!("d{number}")).collect();
    instance(json!({
        "domain": {
            "memory": {"guest": "64Mi"},
            "devices": {
                "autoattachPodInterface": false,
                "disks": disks.iter().zip(&names)
                    .map(|((_, bus), name)| json!({"name": name, "disk": {"bus": BUSES[*bus]}})).collect::<Vec<_>>(),
                "interfaces": nics.iter()
                    .map(|number| json!({"name": format!("n{number}"), "masquerade": {}})).collect::<Vec<_>>(),
            },
        },
        "volumes": names.iter().map(|name| json!({"name": name, "emptyDisk": {"capacity": "1Mi"}})).collect::<Vec<_>>(),
    }))
}

/// Every place that a device stands at, with its bus.
fn places(record: &MachineRecord) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> =
        slots::occupied(record).into_iter().map(|(name, slot)| (name, format!("slot {slot}"))).collect();
    for disk in &record.disks {
        if let Address::Unit { unit } = disk.address {
            out.push((format!("disk/{}", disk.name), format!("{:?} {unit}", disk.bus)));
        }
    }
    out.extend(record.spare_root_ports.iter().map(|slot| (format!("spare {slot}"), format!("slot {slot}"))));
    out
}

proptest! {
    #[test]
    fn no_two_devices_share_a_place((disks, nics) in devices()) {
        let disks: Vec<_> = disks.into_iter().collect();
        let nics: Vec<_> = nics.into_iter().collect();
        let record = machine_record(&build(&disks, &nics), &facts(), None).unwrap();
        let places = places(&record);
        let distinct: BTreeSet<_> = places.iter().map(|(_, place)| place).collect();
        prop_assert_eq!(distinct.len(), places.len(), "{:?}", places);
    }

    #[test]
    fn what_stays_keeps_its_place(
        (disks, nics) in devices(), (later_disks, later_nics) in devices(), reverse in any::<bool>(),
    ) {
        let (before_disks, before_nics): (Vec<_>, Vec<_>) =
            (disks.iter().map(|(n, b)| (*n, *b)).collect(), nics.iter().copied().collect());
        let first = machine_record(&build(&before_disks, &before_nics), &facts(), None).unwrap();
        // A disk that stays keeps its bus; others come and go, and the order may change.
        let mut after: Vec<(u8, usize)> =
            later_disks.iter().map(|(n, b)| (*n, disks.get(n).copied().unwrap_or(*b))).collect();
        let mut after_nics: Vec<u8> = later_nics.iter().copied().collect();
        if reverse {
            after.reverse();
            after_nics.reverse();
        }
        let second = machine_record(&build(&after, &after_nics), &facts(), Some(&first)).unwrap();
        let then: BTreeMap<_, _> = places(&first).into_iter().filter(|(name, _)| !name.starts_with("spare")).collect();
        let now: BTreeMap<_, _> = places(&second).into_iter().filter(|(name, _)| !name.starts_with("spare")).collect();
        for (name, place) in &now {
            if let Some(old) = then.get(name) {
                prop_assert_eq!(place, old, "{}", name);
            }
        }
        let all = places(&second);
        let distinct: BTreeSet<_> = all.iter().map(|(_, place)| place).collect();
        prop_assert_eq!(distinct.len(), all.len(), "{:?}", all);
        for nic in &second.nics {
            if let Some(old) = first.nics.iter().find(|old| old.name == nic.name) {
                prop_assert_eq!(&nic.mac, &old.mac);
            }
        }
    }
}
