//! Network interfaces over open taps.

use hypervisor::PlanError;
use serde_json::json;
use wire::machine::{Nic, NicModel};

use super::builder::Builder;
use super::pci::{self, Kind};
use super::virtio::Virtio;

pub(super) fn add(builder: &mut Builder<'_>, nics: &[Nic], speaks: Virtio) -> Result<(), PlanError> {
    for nic in nics {
        let label = format!("interface {}", nic.name);
        let host = format!("net-{}", nic.name);
        let number = builder.descriptor(&label, &nic.tap)?;
        builder.json("-netdev", json!({"type": "tap", "id": host, "fd": number.to_string()}));
        let place = pci::place(&label, &nic.address, kind(nic.model, speaks))?;
        let virtio = nic.model == NicModel::Virtio;
        pci::device(
            builder,
            &driver(nic.model, speaks),
            place,
            json!({
                "id": format!("nic-{}", nic.name),
                "netdev": host,
                "mac": nic.mac,
                "host_mtu": (virtio && nic.mtu > 0).then_some(nic.mtu),
                "bootindex": nic.boot_index,
                "acpi-index": nic.acpi_index,
                // The boot ROM is for interfaces that are booted from; the others save its memory and time.
                "romfile": if nic.boot_index.is_none() { json!("") } else { json!(null) },
            }),
        );
    }
    Ok(())
}

/// Which kind of PCI device a model is.
pub(super) fn kind(model: NicModel, speaks: Virtio) -> Kind {
    match model {
        NicModel::Virtio => speaks.kind(Kind::Express),
        NicModel::E1000e | NicModel::Igb => Kind::Express,
        NicModel::E1000 | NicModel::Rtl8139 | NicModel::Pcnet | NicModel::Ne2kPci => Kind::Conventional,
    }
}

fn driver(model: NicModel, speaks: Virtio) -> String {
    let fixed = match model {
        NicModel::Virtio => return speaks.driver("virtio-net-pci"),
        NicModel::E1000 => "e1000",
        NicModel::E1000e => "e1000e",
        NicModel::Igb => "igb",
        NicModel::Rtl8139 => "rtl8139",
        NicModel::Pcnet => "pcnet",
        NicModel::Ne2kPci => "ne2k_pci",
    };
    fixed.to_owned()
}
