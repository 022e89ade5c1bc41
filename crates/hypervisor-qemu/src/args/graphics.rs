//! Graphics adapter and VNC server.

use hypervisor::PlanError;
use serde_json::json;
use wire::machine::Graphics;

use super::builder::{Builder, escape};
use super::pci::{self, Kind};
use crate::VNC_SOCKET;

/// The one adapter that is no PCI device: firmware and system agree on a piece of memory.
const FRAMEBUFFER: &str = "ramfb";

pub(super) fn add(builder: &mut Builder<'_>, graphics: Option<&Graphics>) -> Result<(), PlanError> {
    let Some(graphics) = graphics else {
        builder.option("-display", "none");
        return Ok(());
    };
    if graphics.adapter == FRAMEBUFFER {
        builder.json("-device", json!({"driver": FRAMEBUFFER, "id": "video0"}));
    } else {
        let place = pci::place("graphics adapter", &graphics.address, kind(&graphics.adapter))?;
        pci::device(builder, &graphics.adapter, place, json!({"id": "video0"}));
    }
    let path = escape(&builder.public_socket(VNC_SOCKET));
    builder.option("-vnc", format!("unix:{path}"));
    Ok(())
}

/// Which kind of PCI device an adapter is. Those with VGA registers sit on the root complex, where firmware
/// looks for them.
pub(super) fn kind(adapter: &str) -> Kind {
    match adapter {
        "virtio-gpu-pci" => Kind::Express,
        _ => Kind::Conventional,
    }
}
