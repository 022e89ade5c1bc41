//! Devices by which the guest's kernel tells that it has panicked. QEMU then ends the machine and says why.

use hypervisor::PlanError;
use serde_json::json;
use wire::machine::PanicDevice;

use super::builder::Builder;
use super::pci::{self, Kind};

pub(super) fn add(builder: &mut Builder<'_>, devices: &[PanicDevice]) -> Result<(), PlanError> {
    for (index, device) in devices.iter().enumerate() {
        let id = format!("panic{index}");
        match device {
            PanicDevice::Isa => builder.json("-device", json!({"driver": "pvpanic", "id": id})),
            PanicDevice::Pvpanic { address } => {
                let place = pci::place("panic device", address, Kind::Conventional)?;
                pci::device(builder, "pvpanic-pci", place, json!({"id": id}));
            }
            // A feature of the processor.
            PanicDevice::Hyperv => {}
        }
    }
    Ok(())
}
