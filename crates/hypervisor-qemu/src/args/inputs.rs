//! Pointers for the graphical console.

use hypervisor::PlanError;
use serde_json::json;
use wire::machine::{Input, InputBus};

use super::builder::Builder;
use super::controllers::USB_BUS;
use super::pci::{self, Kind};

pub(super) fn add(builder: &mut Builder<'_>, inputs: &[Input]) -> Result<(), PlanError> {
    for input in inputs {
        let id = format!("input-{}", input.name);
        match &input.bus {
            InputBus::Usb => {
                builder.json("-device", json!({"driver": "usb-tablet", "id": id, "bus": USB_BUS}));
            }
            InputBus::Virtio { address } => {
                let place = pci::place(&format!("input {}", input.name), address, Kind::Express)?;
                pci::device(builder, "virtio-tablet-pci", place, json!({"id": id}));
            }
        }
    }
    Ok(())
}

/// Whether one of them needs the USB controller.
pub(super) fn on_usb(inputs: &[Input]) -> bool {
    inputs.iter().any(|input| input.bus == InputBus::Usb)
}
