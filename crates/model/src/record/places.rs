//! Where a machine's devices stand. It is what outlives an instance: with it the next one finds its devices where the last
//! one did, whatever was added or removed meanwhile.
//!
//! It travels as an annotation, from the instance to its machine and on to the next instance, so anybody who may
//! change a machine may write it. It is read with that in mind.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use wire::machine::{Address, DiskBus, MachineRecord};

use super::slots;

/// Longest text that is read. A full bus takes half of it.
const LONGEST: usize = 4096;
/// Most disks on one bus that are remembered.
pub(super) const UNITS: u32 = 256;

/// Places, and the concrete machine type that they are places of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Concrete machine type, for example `pc-q35-10.0`.
    pub(super) machine_type: String,
    /// Slots, by device.
    pub(super) slots: BTreeMap<String, u8>,
    /// Those of them in which root ports are.
    pub(super) ports: BTreeSet<u8>,
    /// Slots of root ports that were kept free.
    pub(super) spare: BTreeSet<u8>,
    /// Units of disks on buses that several share, by bus and disk.
    pub(super) units: BTreeMap<(Bus, String), u32>,
}

/// A bus with units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bus {
    Sata,
    Scsi,
    Usb,
}

impl Bus {
    const ALL: [Self; 3] = [Self::Sata, Self::Scsi, Self::Usb];

    /// Returns the bus with units that is meant; the others have none.
    pub(super) fn of(bus: DiskBus) -> Option<Self> {
        match bus {
            DiskBus::Sata => Some(Self::Sata),
            DiskBus::Scsi => Some(Self::Scsi),
            DiskBus::Usb => Some(Self::Usb),
            DiskBus::Virtio => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Sata => "sata",
            Self::Scsi => "scsi",
            Self::Usb => "usb",
        }
    }
}

impl Places {
    /// Returns the places in a record.
    pub fn of(record: &MachineRecord) -> Self {
        let units = record.disks.iter().filter_map(|disk| match (&disk.address, Bus::of(disk.bus)) {
            (Address::Unit { unit }, Some(bus)) => Some(((bus, disk.name.clone()), *unit)),
            _ => None,
        });
        Self {
            machine_type: record.machine_type.clone(),
            slots: slots::occupied(record),
            ports: slots::ports(record),
            spare: record.spare_root_ports.iter().copied().collect(),
            units: units.collect(),
        }
    }

    /// Returns the text of the annotation; equal places have equal texts.
    pub fn to_text(&self) -> String {
        let mut units = json!({});
        for ((bus, disk), unit) in &self.units {
            units[bus.word()][disk] = json!(unit);
        }
        let mut text = json!({
            "machineType": self.machine_type, "slots": self.slots, "ports": self.ports, "spare": self.spare,
        });
        if !self.units.is_empty() {
            text["units"] = units;
        }
        text.to_string()
    }

    /// Reads the text of the annotation. What no machine can have is left out; a text that is none of ours is nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let value: Value = (text.len() <= LONGEST).then(|| serde_json::from_str(text).ok())??;
        let machine_type = value["machineType"].as_str()?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if machine_type.is_empty() || !machine_type.bytes().all(is_plain) {
            return None;
        }
        let mut taken = BTreeSet::new();
        let mut free = |slot: &Value| {
            let slot = slot.as_u64().and_then(|slot| u8::try_from(slot).ok())?;
            ((slots::FIRST..=slots::LAST).contains(&slot) && taken.insert(slot)).then_some(slot)
        };
        let named = value["slots"].as_object().into_iter().flatten();
        let slots: BTreeMap<String, u8> =
            named.filter_map(|(device, slot)| Some((device.clone(), free(slot)?))).collect();
        let ports = ports(&value, &slots);
        let spare = value["spare"].as_array().into_iter().flatten().filter_map(&mut free).collect();
        let mut units = BTreeMap::new();
        for bus in Bus::ALL {
            let mut taken = BTreeSet::new();
            for (disk, unit) in value["units"][bus.word()].as_object().into_iter().flatten() {
                let unit = unit.as_u64().and_then(|unit| u32::try_from(unit).ok());
                if let Some(unit) = unit.filter(|unit| *unit < UNITS && taken.insert(*unit)) {
                    units.insert((bus, disk.clone()), unit);
                }
            }
        }
        Some(Self { machine_type: machine_type.to_owned(), slots, ports, spare, units })
    }
}

/// Reads which slots have root ports. Releases before did not write it: there disks, interfaces and pointers stood behind
/// one.
fn ports(value: &Value, slots: &BTreeMap<String, u8>) -> BTreeSet<u8> {
    let Some(list) = value["ports"].as_array() else {
        let behind =
            |device: &&String| ["disk/", "nic/", "input/"].iter().any(|kind| device.starts_with(kind));
        return slots.iter().filter(|(device, _)| behind(device)).map(|(_, slot)| *slot).collect();
    };
    let known: BTreeSet<u8> = slots.values().copied().collect();
    let listed = list.iter().filter_map(|slot| slot.as_u64().and_then(|slot| u8::try_from(slot).ok()));
    listed.filter(|slot| known.contains(slot)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_reads_back() {
        let places = Places {
            machine_type: "pc-q35-10.0".to_owned(),
            slots: [("nic/default".to_owned(), 2), ("disk/root".to_owned(), 4)].into(),
            ports: [2].into(),
            spare: [7, 8].into(),
            units: [((Bus::Scsi, "a".to_owned()), 0), ((Bus::Sata, "b".to_owned()), 3)].into(),
        };
        assert_eq!(Places::parse(&places.to_text()), Some(places));
    }

    #[test]
    fn what_no_machine_can_have_is_left_out() {
        for text in ["", "7", "{}", r#"{"machineType":""}"#, r#"{"machineType":"q35,accel=x"}"#] {
            assert_eq!(Places::parse(text), None, "{text}");
        }
        let long = format!(r#"{{"machineType":"q35","slots":{{"{}":2}}}}"#, "x".repeat(LONGEST));
        assert_eq!(Places::parse(&long), None);
        // As releases before wrote it.
        let old = r#"{"machineType":"q35","slots":{"nic/a":2,"agent":3,"disk/b":4,"rng":5}}"#;
        assert_eq!(Places::parse(old).expect("reads").ports, [2, 4].into());
        let text = r#"{"machineType":"q35","slots":{"a":2,"b":2,"c":31,"d":-1,"e":"3"},"ports":[2,9,"x"],"spare":[2,3,300],
                       "units":{"sata":{"a":0,"b":0,"c":4294967296},"virtio":{"x":1},"usb":7}}"#;
        let places = Places::parse(text).expect("reads");
        assert_eq!(places.slots, [("a".to_owned(), 2)].into());
        assert_eq!((places.spare, places.ports), ([3].into(), [2].into()));
        assert_eq!(places.units, [((Bus::Sata, "a".to_owned()), 0)].into());
    }
}
