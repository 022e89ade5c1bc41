//! A machine that is edited again and again between its starts: what stays in its specification is found by its guest
//! where it was, by the name that it had.

use std::collections::BTreeMap;

use model::record::{NodeFacts, Places, machine_record, slots};
use proptest::prelude::*;
use serde_json::{Value, json};
use wire::machine::{Address, DiskBus, MachineRecord, NicModel};

use super::{facts, instance};

/// Which devices a specification has: disks and interfaces by number, and the small ones.
#[derive(Clone, Debug)]
struct Edit {
    disks: Vec<(u8, usize)>,
    nics: Vec<(u8, usize)>,
    small: [bool; 6],
    /// Whether the same instance starts again, or the machine's next one.
    next: bool,
}

const BUSES: [&str; 3] = ["virtio", "sata", "scsi"];
const MODELS: [&str; 3] = ["virtio", "e1000", "e1000e"];

fn edit() -> impl Strategy<Value = Edit> {
    // A number has one bus and one model, whenever it comes.
    let disks = proptest::collection::btree_set(0u8..9, 0..6).prop_map(|numbers| {
        numbers.into_iter().map(|number| (number, usize::from(number) % BUSES.len())).collect::<Vec<_>>()
    });
    let nics = proptest::collection::btree_set(0u8..6, 0..4).prop_map(|numbers| {
        numbers.into_iter().map(|number| (number, usize::from(number) % MODELS.len())).collect::<Vec<_>>()
    });
    (disks.prop_shuffle(), nics.prop_shuffle(), any::<[bool; 6]>(), any::<bool>())
        .prop_map(|(disks, nics, small, next)| Edit { disks, nics, small, next })
}

fn spec(edit: &Edit) -> Value {
    let disks: Vec<_> = edit
        .disks
        .iter()
        .map(|(number, bus)| json!({"name": format!("d{number}"), "disk": {"bus": BUSES[*bus]}}))
        .collect();
    let nics: Vec<_> = edit
        .nics
        .iter()
        .map(|(number, model)| json!({"name": format!("n{number}"), "masquerade": {}, "model": MODELS[*model]}))
        .collect();
    let volumes: Vec<_> = edit
        .disks
        .iter()
        .map(|(number, _)| json!({"name": format!("d{number}"), "emptyDisk": {"capacity": "1Mi"}}))
        .collect();
    let mut devices = json!({
        "autoattachPodInterface": false, "disks": disks, "interfaces": nics, "autoattachMemBalloon": edit.small[0],
    });
    let small = [
        ("rng", json!({})),
        ("sound", json!({"name": "sound"})),
        ("watchdog", json!({"name": "dog", "i6300esb": {}})),
        ("inputs", json!([{"name": "pen", "type": "tablet", "bus": "virtio"}])),
        ("panicDevices", json!([{"model": "pvpanic"}])),
    ];
    for ((field, value), _) in small.into_iter().zip(&edit.small[1..]).filter(|(_, wanted)| **wanted) {
        devices[field] = value;
    }
    json!({"domain": {"memory": {"guest": "64Mi"}, "devices": devices}, "volumes": volumes})
}

/// Where a guest sees each disk and interface: its PCI address or its unit, and its hardware address.
fn seen(record: &MachineRecord) -> BTreeMap<String, String> {
    let ports = slots::ports(record);
    let place = |address: &Address| match address {
        Address::RootPort { slot } if ports.contains(slot) => {
            format!("0000:{:02x}:00.0", slots::bus(record, *slot))
        }
        Address::RootPort { slot } => format!("0000:00:{slot:02x}.0"),
        Address::Pci { address } => address.clone(),
        Address::Unit { unit } => format!("unit {unit}"),
    };
    let disks = record.disks.iter().map(|disk| (format!("disk/{}", disk.name), place(&disk.address)));
    let nics = record
        .nics
        .iter()
        .map(|nic| (format!("nic/{}", nic.name), format!("{} {}", place(&nic.address), nic.mac)));
    disks.chain(nics).collect()
}

/// Disks of one bus, or interfaces behind root ports, in the order in which a guest names them.
fn in_order(record: &MachineRecord, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut all: Vec<_> = seen(record).into_iter().filter(|(name, _)| wanted(name)).collect();
    all.sort_by_key(|(_, place)| (place.len(), place.clone()));
    all.into_iter().map(|(name, _)| name).collect()
}

/// Returns the names of the disks on a bus, and of the interfaces behind root ports.
fn named_alike(record: &MachineRecord) -> Vec<Vec<String>> {
    let on = |bus: DiskBus| -> Vec<String> {
        let disks = record.disks.iter().filter(|disk| disk.bus == bus);
        disks.map(|disk| format!("disk/{}", disk.name)).collect()
    };
    let nics = record.nics.iter().filter(|nic| nic.model != NicModel::E1000);
    let nics: Vec<_> = nics.map(|nic| format!("nic/{}", nic.name)).collect();
    [on(DiskBus::Virtio), on(DiskBus::Sata), on(DiskBus::Scsi), nics]
        .into_iter()
        .map(|names| in_order(record, |name| names.iter().any(|known| known == name)))
        .collect()
}

proptest! {
    #[test]
    fn what_stays_is_seen_where_it_was_and_named_as_before(edits in proptest::collection::vec(edit(), 2..8)) {
        let mut last: Option<MachineRecord> = None;
        for edit in &edits {
            let vmi = instance(spec(edit));
            let places = last.as_ref().and_then(|last| Places::parse(&Places::of(last).to_text()));
            let known = NodeFacts { places, ..facts() };
            let record = machine_record(&vmi, &known, last.as_ref().filter(|_| !edit.next)).unwrap();
            if let Some(last) = &last {
                let (before, now) = (seen(last), seen(&record));
                for (device, place) in &now {
                    if let Some(old) = before.get(device) {
                        prop_assert_eq!(place, old, "{} of {:?}", device, edit);
                    }
                }
                // What is new comes behind what was there, so that `vda` stays `vda`.
                for (old, new) in named_alike(last).iter().zip(named_alike(&record)) {
                    let stay: Vec<_> = old.iter().filter(|name| new.contains(name)).collect();
                    prop_assert_eq!(new.iter().take(stay.len()).collect::<Vec<_>>(), stay, "{:?}", edit);
                }
            }
            last = Some(record);
        }
    }
}

#[test]
fn an_interface_of_another_model_moves_alone() {
    let edit = |model: usize| Edit {
        disks: vec![(0, 0), (3, 0)],
        nics: vec![(0, model), (2, 2)],
        small: [true; 6],
        next: true,
    };
    let first = machine_record(&instance(spec(&edit(0))), &facts(), None).unwrap();
    let known = NodeFacts { places: Some(Places::of(&first)), ..facts() };
    let second = machine_record(&instance(spec(&edit(1))), &known, None).unwrap();
    let (before, now) = (seen(&first), seen(&second));
    for device in ["disk/d0", "disk/d3", "nic/n2"] {
        assert_eq!(now[device], before[device], "{device}");
    }
    assert!(second.spare_root_ports.contains(&2), "{:?}", second.spare_root_ports);
    assert_eq!(first.nics[0].mac, second.nics[0].mac);
}
