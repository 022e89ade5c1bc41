//! Disks: the device that the guest sees, over the volume that fills it.

use std::collections::BTreeSet;

use api::kubevirt::v1::{Disk as SpecDisk, VirtualMachineInstance, Volume};
use wire::machine::{
    Address, Disk, DiskBus, DiskCache, DiskDevice, DiskFormat, DiskLayer, ErrorPolicy, MachineRecord,
};

use super::slots::Slots;
use super::{NodeFacts, RecordError};

pub(super) fn disks(
    vmi: &VirtualMachineInstance,
    facts: &NodeFacts,
    previous: Option<&MachineRecord>,
    slots: &mut Slots,
) -> Result<Vec<Disk>, RecordError> {
    let mut units = Units::new(previous);
    let mut disks = Vec::with_capacity(vmi.spec.domain.devices.disks.len());
    for (index, spec) in vmi.spec.domain.devices.disks.iter().enumerate() {
        let path = format!("spec.domain.devices.disks[{index}]");
        let Some(volume) = vmi.spec.volumes.iter().find(|volume| volume.name == spec.name) else {
            return Err(RecordError::field(
                format!("{path}.name"),
                spec.name.as_str(),
                "no volume has this name; add one to spec.volumes",
            ));
        };
        disks.push(disk(spec, volume, &path, facts, slots, &mut units)?);
    }
    let by_kernel = vmi.spec.domain.firmware.as_ref().is_some_and(|firmware| firmware.kernel_boot.is_some());
    boot_from_first(vmi, by_kernel, &mut disks);
    Ok(disks)
}

/// Units of the buses that several disks share.
struct Units {
    kept: Vec<(DiskBus, String, u32)>,
    taken: BTreeSet<(u8, u32)>,
}

impl Units {
    /// Starts with the units that a previous record holds.
    fn new(previous: Option<&MachineRecord>) -> Self {
        let mut units = Self { kept: Vec::new(), taken: BTreeSet::new() };
        for disk in previous.map(|record| record.disks.as_slice()).unwrap_or_default() {
            if let Address::Unit { unit } = disk.address {
                units.kept.push((disk.bus, disk.name.clone(), unit));
                units.taken.insert((disk.bus as u8, unit));
            }
        }
        units
    }

    /// Returns the unit of a disk: the one it had, else the lowest free one.
    fn take(&mut self, bus: DiskBus, name: &str) -> Address {
        let kept = self.kept.iter().find(|(had_bus, had_name, _)| *had_bus == bus && had_name == name);
        let unit = kept.map_or_else(
            || (0..=u32::MAX).find(|unit| !self.taken.contains(&(bus as u8, *unit))).unwrap_or(0),
            |(_, _, unit)| *unit,
        );
        self.taken.insert((bus as u8, unit));
        Address::Unit { unit }
    }
}

fn disk(
    spec: &SpecDisk,
    volume: &Volume,
    path: &str,
    facts: &NodeFacts,
    slots: &mut Slots,
    units: &mut Units,
) -> Result<Disk, RecordError> {
    let (device, bus, read_only, chosen) = if let Some(cdrom) = &spec.cdrom {
        (DiskDevice::Cdrom, cdrom.bus.as_deref(), cdrom.readonly.unwrap_or(true), None)
    } else if let Some(lun) = &spec.lun {
        (DiskDevice::Lun, lun.bus.as_deref(), lun.readonly.unwrap_or(false), None)
    } else if let Some(disk) = &spec.disk {
        (DiskDevice::Disk, disk.bus.as_deref(), disk.readonly.unwrap_or(false), disk.pci_address.as_deref())
    } else {
        (DiskDevice::Disk, None, false, None)
    };
    let bus = match bus {
        Some("virtio") => DiskBus::Virtio,
        Some("scsi") => DiskBus::Scsi,
        None | Some("" | "sata") => DiskBus::Sata,
        Some("usb") => DiskBus::Usb,
        Some(other) => {
            return Err(RecordError::field(
                format!("{path}.bus"),
                other,
                "write one of virtio, scsi, sata, usb",
            ));
        }
    };
    let address = match (bus, chosen) {
        (DiskBus::Virtio, Some(address)) if !address.is_empty() => {
            Address::Pci { address: address.to_owned() }
        }
        (DiskBus::Virtio, _) => slots.take(&format!("disk/{}", spec.name))?,
        (DiskBus::Scsi | DiskBus::Sata | DiskBus::Usb, _) => units.take(bus, &spec.name),
    };
    let known = facts.volumes.get(&spec.name);
    Ok(Disk {
        name: spec.name.clone(),
        device,
        bus,
        address,
        chain: chain(&spec.name, volume, known.map(|known| known.chain.as_slice())),
        read_only,
        serial: spec.serial.clone().filter(|serial| !serial.is_empty()),
        boot_index: spec.boot_order.and_then(|order| u32::try_from(order).ok()),
        cache: cache(spec, volume, known.is_some_and(|known| known.direct_io), path)?,
        error_policy: match spec.error_policy.as_deref() {
            None | Some("" | "stop") => ErrorPolicy::Stop,
            Some("report") => ErrorPolicy::Report,
            Some("ignore") => ErrorPolicy::Ignore,
            Some(other) => {
                return Err(RecordError::field(
                    format!("{path}.errorPolicy"),
                    other,
                    "write one of stop, report, ignore",
                ));
            }
        },
    })
}

fn chain(name: &str, volume: &Volume, known: Option<&[DiskFormat]>) -> Vec<DiskLayer> {
    let usual: &[DiskFormat] = if volume.container_disk.is_some() || volume.ephemeral.is_some() {
        &[DiskFormat::Qcow2, DiskFormat::Raw]
    } else {
        &[DiskFormat::Raw]
    };
    known
        .filter(|chain| !chain.is_empty())
        .unwrap_or(usual)
        .iter()
        .enumerate()
        .map(|(layer, format)| DiskLayer { descriptor: format!("disk/{name}/{layer}"), format: *format })
        .collect()
}

fn cache(spec: &SpecDisk, volume: &Volume, direct_io: bool, path: &str) -> Result<DiskCache, RecordError> {
    Ok(match spec.cache.as_deref() {
        Some("none") => DiskCache::None,
        Some("writethrough") => DiskCache::Writethrough,
        Some("writeback") => DiskCache::Writeback,
        None | Some("") => default_cache(volume, direct_io),
        Some(other) => {
            return Err(RecordError::field(
                format!("{path}.cache"),
                other,
                "write one of none, writethrough, writeback",
            ));
        }
    })
}

/// What does not outlive the machine need not reach the disk at once.
fn default_cache(volume: &Volume, direct_io: bool) -> DiskCache {
    match (outlives(volume), direct_io) {
        (false, _) => DiskCache::Writeback,
        (true, true) => DiskCache::None,
        (true, false) => DiskCache::Writethrough,
    }
}

/// Returns whether what the guest writes is kept when the instance is gone.
fn outlives(volume: &Volume) -> bool {
    volume.persistent_volume_claim.is_some() || volume.data_volume.is_some() || volume.host_disk.is_some()
}

/// Without a boot order the machine starts from its first hard disk, else from its first drive.
fn boot_from_first(vmi: &VirtualMachineInstance, by_kernel: bool, disks: &mut [Disk]) {
    let ordered = disks.iter().any(|disk| disk.boot_index.is_some())
        || vmi.spec.domain.devices.interfaces.iter().any(|interface| interface.boot_order.is_some());
    if ordered || by_kernel {
        return;
    }
    let first = disks.iter().position(|disk| disk.device != DiskDevice::Cdrom).unwrap_or(0);
    if let Some(disk) = disks.get_mut(first) {
        disk.boot_index = Some(1);
    }
}
