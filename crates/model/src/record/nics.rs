//! Network interfaces.

use api::kubevirt::v1::{Interface, VirtualMachineInstance};
use uuid::Uuid;
use wire::machine::{Address, MachineRecord, Nic, NicModel};

use super::slots::{Slots, Stand};
use super::{NodeFacts, RecordError};

/// Name space of hardware addresses that are derived.
const HARDWARE_ADDRESSES: Uuid = Uuid::from_u128(0x3c1f_8a4e_97d2_4b6a_8e05_51c7_0b9d_e2f4);

pub(super) fn nics(
    vmi: &VirtualMachineInstance,
    facts: &NodeFacts,
    previous: Option<&MachineRecord>,
    slots: &mut Slots,
) -> Result<Vec<Nic>, RecordError> {
    let interfaces = &vmi.spec.domain.devices.interfaces;
    let transitional = vmi.spec.domain.devices.use_virtio_transitional == Some(true);
    let mut nics = Vec::with_capacity(interfaces.len());
    for (index, interface) in interfaces.iter().enumerate() {
        if interface.state.as_deref() == Some("absent") {
            continue;
        }
        let before = previous.and_then(|record| record.nics.iter().find(|nic| nic.name == interface.name));
        let model = model(interface, index)?;
        let address = match interface.pci_address.as_deref() {
            Some(address) if !address.is_empty() => Address::Pci { address: address.to_owned() },
            _ => slots.take(&format!("nic/{}", interface.name), Stand::of_nic(model, transitional))?,
        };
        let prepared = facts.nics.get(&interface.name).cloned().unwrap_or_default();
        nics.push(Nic {
            name: interface.name.clone(),
            model,
            address,
            mac: match before {
                Some(nic) if interface.mac_address.is_none() => nic.mac.clone(),
                _ => mac(vmi, interface),
            },
            mtu: prepared.mtu,
            tap: format!("nic/{}/tap", interface.name),
            dhcp: prepared.lease,
            boot_index: interface.boot_order.and_then(|order| u32::try_from(order).ok()),
            link_up: interface.state.as_deref() != Some("down"),
            acpi_index: acpi_index(interface, index)?,
        });
    }
    Ok(nics)
}

/// Firmware has room for 16383 numbers, and 0 means none.
fn acpi_index(interface: &Interface, index: usize) -> Result<Option<u32>, RecordError> {
    const MOST: i64 = 16383;
    let Some(number) = interface.acpi_index.map(i64::from).filter(|number| *number != 0) else {
        return Ok(None);
    };
    match u32::try_from(number) {
        Ok(fits) if number <= MOST => Ok(Some(fits)),
        _ => Err(RecordError::field(
            format!("spec.domain.devices.interfaces[{index}].acpiIndex"),
            number.to_string(),
            format!("write a number from 1 to {MOST}"),
        )),
    }
}

fn model(interface: &Interface, index: usize) -> Result<NicModel, RecordError> {
    Ok(match interface.model.as_deref() {
        None | Some("" | "virtio") => NicModel::Virtio,
        Some("e1000") => NicModel::E1000,
        Some("e1000e") => NicModel::E1000e,
        Some("rtl8139") => NicModel::Rtl8139,
        Some("pcnet") => NicModel::Pcnet,
        Some("ne2k_pci") => NicModel::Ne2kPci,
        Some("igb") => NicModel::Igb,
        Some(other) => {
            return Err(RecordError::field(
                format!("spec.domain.devices.interfaces[{index}].model"),
                other,
                "write one of virtio, e1000, e1000e, igb, rtl8139, pcnet, ne2k_pci",
            ));
        }
    })
}

/// Returns the hardware address of an interface: the one given, else one that follows from who the machine is,
/// so that it is the same after every restart.
pub fn mac(vmi: &VirtualMachineInstance, interface: &Interface) -> String {
    if let Some(given) = interface.mac_address.as_deref().filter(|given| !given.is_empty()) {
        return given.to_lowercase().replace('-', ":");
    }
    let identity = format!(
        "{}/{}/{}/{}",
        vmi.metadata.namespace.as_deref().unwrap_or_default(),
        vmi.metadata.name.as_deref().unwrap_or_default(),
        super::machine_uuid(vmi),
        interface.name
    );
    let hash = Uuid::new_v5(&HARDWARE_ADDRESSES, identity.as_bytes());
    // 02: locally administered, one receiver.
    let mut address = "02".to_owned();
    for byte in &hash.as_bytes()[..5] {
        address.push_str(&format!(":{byte:02x}"));
    }
    address
}
