//! Controllers that several disks share.

use serde_json::json;
use wire::machine::{DiskBus, MachineRecord};

use super::builder::Builder;
use super::inputs;

/// Slots of bus 0 above those of records. The SATA controller is the chipset's own, in slot 0x1f.
const SCSI_SLOT: &str = "0x1e";
const USB_SLOT: &str = "0x1d";

/// Ports of the USB controller.
const USB_PORTS: u32 = 15;

/// Bus of the SCSI controller.
pub(super) const SCSI_BUS: &str = "scsi0.0";
/// Bus of the USB controller.
pub(super) const USB_BUS: &str = "usb0.0";

pub(super) fn add(builder: &mut Builder<'_>, record: &MachineRecord) {
    let uses = |bus| record.disks.iter().any(|disk| disk.bus == bus);
    if uses(DiskBus::Scsi) {
        builder.json(
            "-device",
            json!({"driver": "virtio-scsi-pci", "id": "scsi0", "bus": "pcie.0", "addr": SCSI_SLOT}),
        );
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
