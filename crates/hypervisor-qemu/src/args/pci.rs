//! The PCI bus: root ports from the record's slots, and where a device sits.

use std::collections::BTreeMap;

use hypervisor::PlanError;
use serde_json::{Map, Value, json};
use wire::machine::{Address, InputBus, MachineRecord, PanicDevice};

use super::builder::{Builder, contradiction};
use super::virtio::Virtio;

/// Highest slot of bus 0 that a record may use; above are our controllers and the chipset's own devices.
pub(super) const HIGHEST_SLOT: u8 = 0x1c;

/// What of bus 0 is taken, by slot.
struct Bus {
    taken: BTreeMap<u8, String>,
}

/// How a device is attached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// PCI Express: behind a root port of its own, so that it can be unplugged.
    Express,
    /// PCI Express, but part of the root complex: for virtio devices that nobody unplugs. A root port costs the
    /// firmware and the guest's kernel a bridge to set up, under emulation about 1 % of a small guest's boot each.
    Integrated,
    /// Conventional PCI: root ports do not take it; it sits on the root complex itself.
    Conventional,
}

/// Adds a root port for every slot that an Express device or nothing yet sits behind.
pub(super) fn add(builder: &mut Builder<'_>, record: &MachineRecord) -> Result<(), PlanError> {
    let mut bus = Bus { taken: BTreeMap::new() };
    let mut ports = Vec::new();
    for (device, address, kind) in devices(record) {
        let slot = match address {
            Address::RootPort { slot } => *slot,
            Address::Pci { address } => parse(&device, address)?.0,
            Address::Unit { .. } => continue,
        };
        bus.take(slot, &device)?;
        if kind == Kind::Express && matches!(address, Address::RootPort { .. }) {
            ports.push(slot);
        }
    }
    for slot in &record.spare_root_ports {
        bus.take(*slot, "spare root port")?;
        ports.push(*slot);
    }
    ports.sort_unstable();
    for slot in ports {
        builder.json(
            "-device",
            json!({
                "driver": "pcie-root-port",
                "id": format!("rp{slot}"),
                "bus": "pcie.0",
                "addr": format!("0x{slot:x}"),
                "chassis": slot,
                "port": slot,
            }),
        );
    }
    Ok(())
}

impl Bus {
    fn take(&mut self, slot: u8, device: &str) -> Result<(), PlanError> {
        if !(1..=HIGHEST_SLOT).contains(&slot) {
            return Err(contradiction(device, format!("PCI slot {slot} is not one of 1 to {HIGHEST_SLOT}")));
        }
        match self.taken.insert(slot, device.to_owned()) {
            Some(other) => Err(contradiction(device, format!("PCI slot {slot} is taken by {other} already"))),
            None => Ok(()),
        }
    }
}

/// Returns the place of a device as its `bus` and `addr` properties.
pub(super) fn place(device: &str, address: &Address, kind: Kind) -> Result<Map<String, Value>, PlanError> {
    let (bus, addr) = match address {
        Address::RootPort { slot } if kind == Kind::Express => (format!("rp{slot}"), "0x0".to_owned()),
        Address::RootPort { slot } => ("pcie.0".to_owned(), format!("0x{slot:x}")),
        Address::Pci { address } => {
            let (slot, function) = parse(device, address)?;
            ("pcie.0".to_owned(), format!("0x{slot:x}.0x{function:x}"))
        }
        Address::Unit { .. } => return Err(contradiction(device, "a PCI device has no unit number")),
    };
    let mut place = Map::new();
    place.insert("bus".to_owned(), bus.into());
    place.insert("addr".to_owned(), addr.into());
    if kind == Kind::Integrated {
        // Off a root port a virtio device would offer the interface of before version 1 as well.
        place.insert("disable-legacy".to_owned(), "on".into());
    }
    Ok(place)
}

/// Adds a device at a place, with further properties; null ones are left out.
pub(super) fn device(builder: &mut Builder<'_>, driver: &str, place: Map<String, Value>, properties: Value) {
    let mut device = Map::new();
    device.insert("driver".to_owned(), driver.into());
    if let Value::Object(properties) = properties {
        device.extend(properties);
    }
    device.extend(place);
    builder.json("-device", Value::Object(device));
}

fn devices(record: &MachineRecord) -> Vec<(String, &Address, Kind)> {
    let virtio = Virtio::of(record);
    let mut devices = Vec::new();
    for disk in &record.disks {
        devices.push((format!("disk {}", disk.name), &disk.address, virtio.kind(Kind::Express)));
    }
    for nic in &record.nics {
        devices.push((format!("interface {}", nic.name), &nic.address, super::nics::kind(nic.model, virtio)));
    }
    if let Some(agent) = &record.agent {
        devices.push(("guest agent channel".to_owned(), &agent.address, Kind::Integrated));
    }
    if let Some(rng) = &record.rng {
        devices.push(("random number generator".to_owned(), &rng.address, Kind::Integrated));
    }
    if let Some(balloon) = &record.balloon {
        devices.push(("memory balloon".to_owned(), &balloon.address, Kind::Integrated));
    }
    for input in &record.inputs {
        if let InputBus::Virtio { address } = &input.bus {
            devices.push((format!("input {}", input.name), address, Kind::Express));
        }
    }
    if let Some(sound) = &record.sound {
        devices.push(("sound card".to_owned(), &sound.address, Kind::Conventional));
    }
    if let Some(watchdog) = &record.watchdog {
        devices.push(("watchdog".to_owned(), &watchdog.address, Kind::Conventional));
    }
    for device in &record.panic_devices {
        if let PanicDevice::Pvpanic { address } = device {
            devices.push(("panic device".to_owned(), address, Kind::Conventional));
        }
    }
    if let Some(graphics) = &record.graphics {
        let kind = super::graphics::kind(&graphics.adapter);
        devices.push(("graphics adapter".to_owned(), &graphics.address, kind));
    }
    devices
}

/// Reads `DDDD:BB:SS.F`; only the root complex (domain 0, bus 0) has numbers that are known beforehand.
fn parse(device: &str, address: &str) -> Result<(u8, u8), PlanError> {
    let parts = || {
        let rest = address.strip_prefix("0000:00:")?;
        let (slot, function) = rest.split_once('.')?;
        Some((u8::from_str_radix(slot, 16).ok()?, u8::from_str_radix(function, 16).ok().filter(|f| *f < 8)?))
    };
    parts().ok_or_else(|| {
        contradiction(device, format!("PCI address {address} is not of the form 0000:00:SS.F"))
    })
}
