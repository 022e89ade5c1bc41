//! Places on the PCI bus.
//!
//! A virtio device that may be unplugged stands behind a root port of its own, the others on the bus itself; the slot on
//! bus 0 is what the record keeps either way.
//! Slots of bus 0 on `q35`:
//!
//! | slot | holds |
//! |---|---|
//! | 0 | host bridge |
//! | 1 | graphics adapter, directly on the bus |
//! | 2 to 28 | root ports |
//! | 29, 30 | controllers that the backend adds for shared buses (USB, SCSI) |
//! | 31 | LPC bridge, AHCI, SMBus |
//!
//! Devices of conventional PCI (sound, watchdog) stand in their slot directly. An address that the user chose for a
//! device takes its slot before anything else.
//!
//! A new machine takes slots in this order, so that guests find their first interface where they find it with
//! other managers (the first bus, `enp1s0`): interfaces, agent channel, disks, balloon, random numbers,
//! pointers, sound, watchdog, panic devices, spare ports. A machine that ran before keeps every slot it had; what is new takes the lowest free one.

use std::collections::{BTreeMap, BTreeSet};

use api::kubevirt::v1::DomainSpec;
use wire::machine::{Address, InputBus, MachineRecord, PanicDevice};

use super::{Places, RecordError};

/// First slot for root ports.
pub const FIRST: u8 = 2;
/// Last slot for root ports.
pub const LAST: u8 = 28;
/// Slot of the graphics adapter.
pub const GRAPHICS: u8 = 1;
/// Root ports that a new machine keeps free for devices added while it runs.
pub const SPARE: usize = 4;

/// Why a device has no slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoSlot {
    /// None is left.
    Exhausted,
    /// The one that the device has held since its machine first ran was chosen for another.
    Chosen {
        /// Path of the field that chose it.
        field: String,
        /// What it holds.
        address: String,
        /// The device.
        device: String,
    },
}

/// Slots taken and free.
#[derive(Debug)]
pub(super) struct Slots {
    kept: BTreeMap<String, u8>,
    taken: BTreeSet<u8>,
    /// Spare ports of the previous record: taken last, since the machine was started with them.
    spare: BTreeSet<u8>,
    /// Slots that the user chose, with the path of the field and the address in it.
    chosen: BTreeMap<u8, (String, String)>,
}

impl Slots {
    /// Starts with the places that the machine had before.
    pub(super) fn new(places: Option<&Places>) -> Self {
        let kept = places.map(|places| places.slots.clone()).unwrap_or_default();
        let taken = kept.values().copied().collect();
        let spare = places.map(|places| places.spare.clone()).unwrap_or_default();
        Self { kept, taken, spare, chosen: BTreeMap::new() }
    }

    /// Returns the slot of a device: the one it had, else the lowest free one.
    pub(super) fn take(&mut self, device: &str) -> Result<Address, NoSlot> {
        if let Some(slot) = self.kept.get(device) {
            if let Some((field, address)) = self.chosen.get(slot) {
                let (field, address) = (field.clone(), address.clone());
                return Err(NoSlot::Chosen { field, address, device: device.to_owned() });
            }
            return Ok(Address::RootPort { slot: *slot });
        }
        let slot = self
            .spare
            .iter()
            .copied()
            .chain(FIRST..=LAST)
            .find(|slot| !self.taken.contains(slot))
            .ok_or(NoSlot::Exhausted)?;
        self.taken.insert(slot);
        Ok(Address::RootPort { slot })
    }

    /// Forgets the places of devices that are gone; call once every device has its place.
    pub(super) fn release(&mut self, used: &BTreeSet<u8>) {
        self.taken.retain(|slot| used.contains(slot) || self.chosen.contains_key(slot));
    }

    /// Returns the spare ports: those of the previous record that are still free and those of devices that
    /// left, else [`SPARE`] new ones.
    pub(super) fn spare_ports(&self, previous: bool, wanted: bool) -> Vec<u8> {
        let free = |slot: &u8| !self.taken.contains(slot);
        if previous {
            let freed = self.kept.values().copied().filter(free);
            let ports: BTreeSet<u8> = self.spare.iter().copied().filter(free).chain(freed).collect();
            ports.into_iter().collect()
        } else if wanted {
            (FIRST..=LAST).filter(free).take(SPARE).collect()
        } else {
            Vec::new()
        }
    }
}

/// Sets aside the slots that a specification chooses for its disks and interfaces.
pub(super) fn reserve_chosen(
    domain: &DomainSpec,
    graphics: bool,
    slots: &mut Slots,
) -> Result<(), RecordError> {
    let disks = domain.devices.disks.iter().enumerate().filter_map(|(index, disk)| {
        let address = disk.disk.as_ref()?.pci_address.as_deref()?;
        Some((format!("spec.domain.devices.disks[{index}].disk.pciAddress"), address))
    });
    let interfaces = domain.devices.interfaces.iter().enumerate().filter_map(|(index, interface)| {
        let address = interface.pci_address.as_deref()?;
        Some((format!("spec.domain.devices.interfaces[{index}].pciAddress"), address))
    });
    for (field, address) in disks.chain(interfaces).filter(|(_, address)| !address.is_empty()) {
        let Some(slot) = slot_of(address) else {
            let reason = format!(
                "machines have one PCI bus for chosen addresses; write 0000:00:SS.0 with SS from 01 to {LAST:02x}"
            );
            return Err(RecordError::field(field, address, reason));
        };
        if graphics && slot == GRAPHICS {
            return Err(RecordError::field(
                field,
                address,
                "the graphics adapter has this place; write another",
            ));
        }
        if let Some((other, _)) = slots.chosen.get(&slot) {
            let reason = format!("{other} chooses this place too; write another");
            return Err(RecordError::field(field, address, reason));
        }
        slots.taken.insert(slot);
        slots.chosen.insert(slot, (field, address.to_owned()));
    }
    Ok(())
}

/// Returns the slot of an address `0000:00:SS.0` that a user may choose.
fn slot_of(address: &str) -> Option<u8> {
    let slot = address.strip_prefix("0000:00:")?.strip_suffix(".0")?;
    u8::from_str_radix(slot, 16).ok().filter(|slot| (1..=LAST).contains(slot))
}

/// Returns the slot of every device behind a root port, by a name that is unique in the record.
pub fn occupied(record: &MachineRecord) -> BTreeMap<String, u8> {
    let mut out = BTreeMap::new();
    let mut note = |name: String, address: &Address| {
        if let Address::RootPort { slot } = address {
            out.insert(name, *slot);
        }
    };
    for nic in &record.nics {
        note(format!("nic/{}", nic.name), &nic.address);
    }
    for disk in &record.disks {
        note(format!("disk/{}", disk.name), &disk.address);
    }
    if let Some(agent) = &record.agent {
        note("agent".to_owned(), &agent.address);
    }
    if let Some(balloon) = &record.balloon {
        note("balloon".to_owned(), &balloon.address);
    }
    if let Some(rng) = &record.rng {
        note("rng".to_owned(), &rng.address);
    }
    for input in &record.inputs {
        if let InputBus::Virtio { address } = &input.bus {
            note(format!("input/{}", input.name), address);
        }
    }
    if let Some(sound) = &record.sound {
        note("sound".to_owned(), &sound.address);
    }
    if let Some(watchdog) = &record.watchdog {
        note("watchdog".to_owned(), &watchdog.address);
    }
    for (index, device) in record.panic_devices.iter().enumerate() {
        if let PanicDevice::Pvpanic { address } = device {
            note(format!("panic/{index}"), address);
        }
    }
    out
}
