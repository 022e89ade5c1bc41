//! Places on the PCI bus.
//!
//! Every virtio device stands behind a root port of its own; the port's slot on bus 0 is what the record keeps.
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
//! A new machine takes slots in this order, so that guests find their first interface where they find it with
//! other managers (the first bus, `enp1s0`): interfaces, agent channel, disks, balloon, random numbers, spare
//! ports. A machine that ran before keeps every slot it had; what is new takes the lowest free one.

use std::collections::{BTreeMap, BTreeSet};

use wire::machine::{Address, MachineRecord};

/// First slot for root ports.
pub const FIRST: u8 = 2;
/// Last slot for root ports.
pub const LAST: u8 = 28;
/// Slot of the graphics adapter.
pub const GRAPHICS: u8 = 1;
/// Root ports that a new machine keeps free for devices added while it runs.
pub const SPARE: usize = 4;

/// No slot is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

/// Slots taken and free.
#[derive(Debug)]
pub(super) struct Slots {
    kept: BTreeMap<String, u8>,
    taken: BTreeSet<u8>,
    /// Spare ports of the previous record: taken last, since the machine was started with them.
    spare: BTreeSet<u8>,
}

impl Slots {
    /// Starts with the places that a previous record holds.
    pub(super) fn new(previous: Option<&MachineRecord>) -> Self {
        let kept = previous.map(occupied).unwrap_or_default();
        let taken = kept.values().copied().collect();
        let spare =
            previous.map(|record| record.spare_root_ports.iter().copied().collect()).unwrap_or_default();
        Self { kept, taken, spare }
    }

    /// Returns the slot of a device: the one it had, else the lowest free one.
    pub(super) fn take(&mut self, device: &str) -> Result<Address, Exhausted> {
        if let Some(slot) = self.kept.get(device) {
            return Ok(Address::RootPort { slot: *slot });
        }
        let slot = self
            .spare
            .iter()
            .copied()
            .chain(FIRST..=LAST)
            .find(|slot| !self.taken.contains(slot))
            .ok_or(Exhausted)?;
        self.taken.insert(slot);
        Ok(Address::RootPort { slot })
    }

    /// Forgets the places of devices that are gone; call once every device has its place.
    pub(super) fn release(&mut self, used: &BTreeSet<u8>) {
        self.taken.retain(|slot| used.contains(slot));
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
    out
}
