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
//! | 2 to 28 | root ports from below, devices on the bus itself from above |
//! | 29, 30 | controllers that the backend adds for shared buses (USB, SCSI) |
//! | 31 | LPC bridge, AHCI, SMBus |
//!
//! An address that the user chose for a device takes its slot before anything else.
//!
//! Firmware numbers the buses behind root ports in the order of their slots, and guests name interfaces and disks in that
//! order. So what a machine has once been started with holds its numbers only if no root port ever goes or comes below
//! another: ports fill the slots from below, devices on the bus itself from above; a port whose device left stays as a
//! spare one, and a new device takes a port above all that are in use, while there is one.
//!
//! A new machine takes slots in this order, so that guests find their first interface where they find it with
//! other managers (the first bus, `enp1s0`): interfaces, agent channel, disks, balloon, random numbers,
//! pointers, sound, watchdog, panic devices, spare ports. A machine that ran before keeps every slot it had.

use std::collections::{BTreeMap, BTreeSet};

use api::kubevirt::v1::DomainSpec;
use wire::machine::{Address, InputBus, MachineRecord, Nic, NicModel, PanicDevice};

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

/// How a device stands in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// Behind a root port, which has the slot.
    Port,
    /// In the slot itself.
    Bus,
}

impl Stand {
    /// How a virtio device stands that can be unplugged; one that also speaks the old interface needs I/O ports, which
    /// root ports do not pass on.
    pub(super) fn of_virtio(transitional: bool) -> Self {
        if transitional { Self::Bus } else { Self::Port }
    }

    /// How an interface stands.
    pub(super) fn of_nic(model: NicModel, transitional: bool) -> Self {
        match model {
            NicModel::Virtio => Self::of_virtio(transitional),
            NicModel::E1000e | NicModel::Igb => Self::Port,
            NicModel::E1000 | NicModel::Rtl8139 | NicModel::Pcnet | NicModel::Ne2kPci => Self::Bus,
        }
    }
}

/// Slots taken and free.
#[derive(Debug)]
pub(super) struct Slots {
    kept: BTreeMap<String, u8>,
    taken: BTreeSet<u8>,
    /// Slots with root ports, whether something is behind them or not.
    ports: BTreeSet<u8>,
    /// Slots that the user chose, with the path of the field and the address in it.
    chosen: BTreeMap<u8, (String, String)>,
}

impl Slots {
    /// Starts with the places that the machine had before.
    pub(super) fn new(places: Option<&Places>) -> Self {
        let kept = places.map(|places| places.slots.clone()).unwrap_or_default();
        let taken = kept.values().copied().collect();
        let ports = places.map(|places| &places.ports | &places.spare).unwrap_or_default();
        Self { kept, taken, ports, chosen: BTreeMap::new() }
    }

    /// Returns the slot of a device: the one it had, else a free one.
    pub(super) fn take(&mut self, device: &str, stand: Stand) -> Result<Address, NoSlot> {
        // A device that stands otherwise than before, such as an interface of another model, is a new one.
        let suits = |slot: &&u8| self.ports.contains(slot) == (stand == Stand::Port);
        if let Some(slot) = self.kept.get(device).filter(suits) {
            if let Some((field, address)) = self.chosen.get(slot) {
                let (field, address) = (field.clone(), address.clone());
                return Err(NoSlot::Chosen { field, address, device: device.to_owned() });
            }
            return Ok(Address::RootPort { slot: *slot });
        }
        let slot = match stand {
            Stand::Port => self.free_port(),
            Stand::Bus => self.free_slot(),
        };
        let slot = slot.ok_or(NoSlot::Exhausted)?;
        self.taken.insert(slot);
        if stand == Stand::Port {
            self.ports.insert(slot);
        } else {
            self.ports.remove(&slot);
        }
        Ok(Address::RootPort { slot })
    }

    /// The lowest spare port above all that are in use, else a new one above all, else any spare one.
    fn free_port(&self) -> Option<u8> {
        let used = self.ports.intersection(&self.taken).last().copied().unwrap_or(0);
        let highest = self.ports.last().copied().unwrap_or(0);
        let mut spare = self.ports.difference(&self.taken).copied();
        let above = spare.clone().find(|slot| *slot > used);
        let new = || (FIRST.max(highest + 1)..=LAST).find(|slot| !self.taken.contains(slot));
        above.or_else(new).or_else(|| spare.next())
    }

    /// The highest slot without a port, else that of the highest port if nothing is behind it: no other moves by its
    /// going.
    fn free_slot(&self) -> Option<u8> {
        let is_free = |slot: &u8| !self.taken.contains(slot);
        let mut without_port = (FIRST..=LAST).rev().filter(|slot| !self.ports.contains(slot));
        without_port.find(is_free).or_else(|| self.ports.last().copied().filter(is_free))
    }

    /// Forgets the places of devices that are gone; call once every device has its place.
    pub(super) fn release(&mut self, used: &BTreeSet<u8>) {
        self.taken.retain(|slot| used.contains(slot) || self.chosen.contains_key(slot));
    }

    /// Returns the spare ports: those that nothing is behind, and for a new machine [`SPARE`] new ones.
    pub(super) fn spare_ports(&self, previous: bool, wanted: bool) -> Vec<u8> {
        if !previous && wanted {
            let highest = self.ports.last().copied().unwrap_or(0);
            let above = FIRST.max(highest + 1)..=LAST;
            return above.filter(|slot| !self.taken.contains(slot)).take(SPARE).collect();
        }
        self.ports.difference(&self.taken).copied().collect()
    }

    /// Sets a slot aside for a device that the user chose it for.
    fn reserve(&mut self, slot: u8, field: String, address: &str) -> Result<(), RecordError> {
        if let Some((other, _)) = self.chosen.get(&slot) {
            let reason = format!("{other} chooses this place too; write another");
            return Err(RecordError::field(field, address, reason));
        }
        let is_behind_a_port = |other: &&u8| **other > slot && self.ports.contains(other);
        if self.ports.contains(&slot) && self.kept.values().any(|other| is_behind_a_port(&other)) {
            let reason = "the machine has had a root port there, without which its other devices would move; write a \
                          higher one";
            // What stands behind that very port says so itself.
            if !self.kept.values().any(|kept| *kept == slot) {
                return Err(RecordError::field(field, address, reason));
            }
        } else {
            self.ports.remove(&slot);
        }
        self.taken.insert(slot);
        self.chosen.insert(slot, (field, address.to_owned()));
        Ok(())
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
        slots.reserve(slot, field, address)?;
    }
    Ok(())
}

/// Returns the slot of an address `0000:00:SS.0` that a user may choose.
fn slot_of(address: &str) -> Option<u8> {
    let slot = address.strip_prefix("0000:00:")?.strip_suffix(".0")?;
    u8::from_str_radix(slot, 16).ok().filter(|slot| (1..=LAST).contains(slot))
}

/// Returns the slots of the root ports that something is behind.
pub fn ports(record: &MachineRecord) -> BTreeSet<u8> {
    let virtio = Stand::of_virtio(record.virtio_transitional);
    let disks = record.disks.iter().map(|disk| (&disk.address, virtio));
    let stand = |nic: &Nic| Stand::of_nic(nic.model, record.virtio_transitional);
    let nics = record.nics.iter().map(|nic| (&nic.address, stand(nic)));
    let inputs = record.inputs.iter().filter_map(|input| match &input.bus {
        InputBus::Virtio { address } => Some((address, Stand::Port)),
        InputBus::Usb => None,
    });
    let all = disks.chain(nics).chain(inputs);
    all.filter_map(|(address, stand)| match (address, stand) {
        (Address::RootPort { slot }, Stand::Port) => Some(*slot),
        _ => None,
    })
    .collect()
}

/// Returns the number of the bus behind the root port in `slot`, as firmware counts them.
pub fn bus(record: &MachineRecord, slot: u8) -> usize {
    let spare = record.spare_root_ports.iter().copied();
    1 + ports(record).into_iter().chain(spare).filter(|other| *other < slot).count()
}

/// Returns the slot of every device that was not placed by the user, by a name that is unique in the record.
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
