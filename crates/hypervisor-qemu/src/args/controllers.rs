//! Controllers that several disks share.

use serde_json::json;
use wire::machine::{Address, DiskBus, MachineRecord};

use super::builder::Builder;
use super::inputs;
use super::virtio::Virtio;

/// Slots of bus 0 above those of records. The SATA controller is the chipset's own, in slot 0x1f.
const SCSI_SLOT: &str = "0x1e";
const USB_SLOT: &str = "0x1d";

/// Ports of one SATA controller.
const SATA_PORTS: u32 = 6;
/// Functions of the chipset's own slot that are free for further SATA controllers: they take no slot from anything.
const SATA_ADDRESSES: [&str; 3] = ["0x1f.4", "0x1f.5", "0x1f.6"];
/// Disks on the bus SATA.
pub(super) const SATA_UNITS: u32 = SATA_PORTS * (1 + SATA_ADDRESSES.len() as u32);

/// Ports of the USB controller.
const USB_PORTS: u32 = 15;

/// Bus of the SCSI controller.
pub(super) const SCSI_BUS: &str = "scsi0.0";
/// Bus of the USB controller.
pub(super) const USB_BUS: &str = "usb0.0";

/// Returns the bus of a SATA disk: the chipset's own controller first.
pub(super) fn sata_bus(unit: u32) -> String {
    match (unit / SATA_PORTS, unit % SATA_PORTS) {
        (0, port) => format!("ide.{port}"),
        (controller, port) => format!("sata{controller}.{port}"),
    }
}

pub(super) fn add(builder: &mut Builder<'_>, record: &MachineRecord) {
    let uses = |bus| record.disks.iter().any(|disk| disk.bus == bus);
    if uses(DiskBus::Scsi) {
        builder.json(
            "-device",
            json!({"driver": Virtio::of(record).driver("virtio-scsi-pci"), "id": "scsi0", "bus": "pcie.0", "addr": SCSI_SLOT}),
        );
    }
    for (address, name) in SATA_ADDRESSES.iter().zip(1..) {
        let first = name * SATA_PORTS;
        let ports = first..first + SATA_PORTS;
        let is_used = record.disks.iter().any(|disk| {
            disk.bus == DiskBus::Sata
                && matches!(disk.address, Address::Unit { unit } if ports.contains(&unit))
        });
        if is_used {
            let id = format!("sata{name}");
            builder
                .json("-device", json!({"driver": "ich9-ahci", "id": id, "bus": "pcie.0", "addr": address}));
        }
    }
    if uses(DiskBus::Usb) || inputs::on_usb(&record.inputs) {
        builder.json(
            "-device",
            json!({
                "driver": "qemu-xhci", "id": "usb0", "bus": "pcie.0", "addr": USB_SLOT,
                // The most that there can be; the usual four are soon taken.
                "p2": USB_PORTS, "p3": USB_PORTS,
            }),
        );
    }
}
