//! Rules of disks.

use std::collections::BTreeMap;

use api::kubevirt::v1::{CustomBlockSize, Disk, VirtualMachineInstanceSpec};
use machinery::field::{Path, Problem};
use machinery::names;

use super::{Errors, Scope};
use crate::record::acpi_tables;

const MAX_SERIAL: usize = 256;
const MIN_BLOCK: u64 = 512;
const MAX_BLOCK: u64 = 2 << 20;

pub(super) fn check(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let disks = &spec.domain.devices.disks;
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, disk) in disks.iter().enumerate() {
        let at = scope.at("domain.devices.disks").index(index);
        if let Some(first) = seen.insert(&disk.name, index) {
            errors.invalid(
                at.child("name"),
                disk.name.as_str(),
                format!("disks[{first}] has the same name; disks need names of their own"),
            );
        }
        // Clients know this field by the path below, list and item both spelled out.
        let listed = scope.at("domain.devices.disks.domain.devices.disks").index(index);
        if let Some(problem) = names::dns_label(&disk.name).into_iter().next() {
            errors.invalid(listed.child("name"), disk.name.as_str(), problem);
        }
        target(scope, spec, disk, index, &at, errors);
        if disk.dedicated_io_thread == Some(true)
            && let Some(bus) = bus(disk).filter(|bus| *bus != "virtio")
        {
            errors.add(Problem::NotSupported, listed, bus, "an I/O thread of its own needs the bus virtio");
        }
        options(disk, &at, errors);
    }
    every_volume_is_used(scope, spec, errors);
    boot_order(scope, spec, errors);
}

fn bus(disk: &Disk) -> Option<&str> {
    let bus = match (&disk.disk, &disk.cdrom, &disk.lun) {
        (Some(disk), _, _) => disk.bus.as_deref(),
        (_, Some(cdrom), _) => cdrom.bus.as_deref(),
        (_, _, Some(lun)) => lun.bus.as_deref(),
        _ => None,
    };
    bus.filter(|bus| !bus.is_empty())
}

fn target(
    scope: &Scope<'_>,
    spec: &VirtualMachineInstanceSpec,
    disk: &Disk,
    index: usize,
    at: &Path,
    errors: &mut Errors,
) {
    let targets = [disk.disk.is_some(), disk.cdrom.is_some(), disk.lun.is_some()];
    if targets.into_iter().filter(|set| *set).count() > 1 {
        errors.invalid(
            at.clone(),
            disk.name.as_str(),
            "a disk is one of disk, cdrom, lun; remove the others",
        );
        return;
    }
    let kind = match (&disk.cdrom, &disk.lun) {
        (Some(_), _) => "cdrom",
        (_, Some(_)) => "lun",
        _ => "disk",
    };
    if let Some(bus) = bus(disk) {
        let path = at.child(kind).child("bus");
        match (bus, kind) {
            ("ide", _) => errors.invalid(path, bus, "write one of virtio, sata, scsi, usb"),
            ("virtio", "cdrom") => errors.invalid(path, bus, "a cdrom stands on the bus sata or scsi"),
            ("virtio" | "sata" | "scsi" | "usb", _) => {}
            (other, _) => errors.invalid(path, other, "write one of virtio, sata, scsi, usb"),
        }
        let read_only = disk.disk.as_ref().is_some_and(|disk| disk.readonly == Some(true));
        if bus == "sata" && read_only {
            errors.invalid(
                at.child("disk").child("bus"),
                bus,
                "a read-only disk needs another bus than sata",
            );
        }
    }
    if let Some(target) = &disk.disk
        && let Some(address) = target.pci_address.as_deref().filter(|address| !address.is_empty())
    {
        let path =
            scope.at("domain.devices.disks.domain.devices.disks.disk").index(index).child("pciAddress");
        if target.bus.as_deref() != Some("virtio") {
            errors.invalid(path, address, "a PCI address needs the bus virtio");
        } else if !is_pci_address(address) {
            errors.invalid(path, address, "write DOMAIN:BUS:SLOT.FUNCTION, for example 0000:04:10.0");
        }
    }
    let volume = spec.volumes.iter().find(|volume| volume.name == disk.name);
    match volume {
        None if disk.cdrom.is_some() => {
            if !scope.config.gate("DeclarativeHotplugVolumes") {
                errors.invalid(
                    at.child("name"),
                    disk.name.as_str(),
                    "no volume has this name, and an empty drive needs the feature gate DeclarativeHotplugVolumes",
                );
            }
        }
        None => {
            errors.invalid(
                at.child("name"),
                disk.name.as_str(),
                "no volume has this name; add it to volumes",
            );
        }
        Some(volume) => {
            if disk.lun.is_some() && volume.persistent_volume_claim.is_none() && volume.data_volume.is_none()
            {
                errors.invalid(at.child("lun"), disk.name.as_str(), "a lun needs a claim or a DataVolume");
            }
        }
    }
    let reserved = disk.lun.as_ref().is_some_and(|lun| lun.reservation == Some(true));
    if reserved && !scope.config.gate("PersistentReservation") {
        errors.gate(at.child("lun").child("reservation"), true, "PersistentReservation");
    }
}

fn options(disk: &Disk, at: &Path, errors: &mut Errors) {
    if disk.boot_order == Some(0) {
        errors.invalid(at.child("bootOrder"), 0, "the boot order starts at 1");
    }
    if let Some(serial) = &disk.serial {
        if serial.len() > MAX_SERIAL {
            errors.invalid(
                at.child("serial"),
                serial.as_str(),
                format!("a serial has at most {MAX_SERIAL} characters"),
            );
        } else if !serial.chars().all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c)) {
            errors.invalid(
                at.child("serial"),
                serial.as_str(),
                "a serial holds letters, digits, and _ . + -",
            );
        }
    }
    let one_of = |errors: &mut Errors, field: &str, value: &Option<String>, allowed: &[&str]| {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty())
            && !allowed.contains(&value)
        {
            errors.invalid(at.child(field), value, format!("write one of {}", allowed.join(", ")));
        }
    };
    one_of(errors, "cache", &disk.cache, &["none", "writethrough", "writeback"]);
    one_of(errors, "io", &disk.io, &["native", "threads"]);
    one_of(errors, "errorPolicy", &disk.error_policy, &["stop", "ignore", "report", "enospace"]);
    if let Some(size) = &disk.block_size {
        let matched = size.match_volume.as_ref().is_some_and(|state| state.enabled != Some(false));
        if size.custom.is_some() && matched {
            errors.invalid(
                at.child("blockSize"),
                (),
                "custom and matchVolume exclude each other; remove one",
            );
        } else if let Some(custom) = &size.custom {
            block_size(disk, custom, &at.child("blockSize").child("custom"), errors);
        }
    }
}

fn block_size(disk: &Disk, custom: &CustomBlockSize, at: &Path, errors: &mut Errors) {
    let sizes = [("logical", custom.logical.unwrap_or(0)), ("physical", custom.physical.unwrap_or(0))];
    for (field, size) in sizes {
        if !(MIN_BLOCK..=MAX_BLOCK).contains(&size) {
            errors.invalid(
                at.child(field),
                size,
                format!("a block has from {MIN_BLOCK} to {MAX_BLOCK} bytes"),
            );
        } else if !size.is_power_of_two() {
            errors.invalid(at.child(field), size, "a block size is a power of two");
        }
    }
    let [(_, logical), (_, physical)] = sizes;
    if !errors_below(at, errors) {
        if logical > physical {
            errors.invalid(
                at.child("logical"),
                logical,
                format!("logical blocks are no larger than physical ones ({physical})"),
            );
        }
        if bus(disk) == Some("sata") && logical != MIN_BLOCK {
            errors.invalid(at.child("logical"), logical, "the bus sata has logical blocks of 512 bytes");
        }
        if let Some(granularity) = custom.discard_granularity
            && logical > 0
            && !granularity.is_multiple_of(logical)
        {
            errors.invalid(
                at.child("discardGranularity"),
                granularity,
                format!("the granularity is a multiple of the logical block size ({logical})"),
            );
        }
    }
}

fn errors_below(at: &Path, errors: &Errors) -> bool {
    errors.0.iter().any(|error| error.path.as_str().starts_with(at.as_str()))
}

/// Returns whether text is a PCI address with domain, bus, slot and function.
pub(super) fn is_pci_address(text: &str) -> bool {
    let hex =
        |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut parts = text.split(':');
    let (Some(domain), Some(bus), Some(rest), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let Some((slot, function)) = rest.split_once('.') else {
        return false;
    };
    let slot_fits = hex(slot, 2) && u8::from_str_radix(slot, 16).is_ok_and(|slot| slot < 32);
    hex(domain, 4) && hex(bus, 2) && slot_fits && hex(function, 1) && function < "8"
}

fn every_volume_is_used(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    for (index, volume) in spec.volumes.iter().enumerate() {
        let used = spec.domain.devices.disks.iter().any(|disk| disk.name == volume.name)
            || spec.domain.devices.filesystems.iter().any(|filesystem| filesystem.name == volume.name)
            || acpi_tables(&spec.domain).any(|(_, table)| table == volume.name);
        if !used && volume.memory_dump.is_none() {
            errors.invalid(
                scope.at("domain.volumes").index(index).child("name"),
                volume.name.as_str(),
                "no disk or file system has this name; add one to domain.devices",
            );
        }
    }
}

/// Disks and interfaces share one boot order.
fn boot_order(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let devices = &spec.domain.devices;
    let mut seen: BTreeMap<u64, Path> = BTreeMap::new();
    let disks = devices.disks.iter().enumerate().map(|(index, disk)| ("disks", index, disk.boot_order));
    let interfaces =
        devices.interfaces.iter().enumerate().map(|(index, nic)| ("interfaces", index, nic.boot_order));
    for (list, index, order) in disks.chain(interfaces) {
        let Some(order) = order.filter(|order| *order > 0) else {
            continue;
        };
        let at = scope.at("domain.devices").child(list).index(index).child("bootOrder");
        if let Some(first) = seen.get(&order) {
            errors.invalid(at, order, format!("{first} has the same place in the boot order"));
        } else {
            seen.insert(order, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses() {
        for (text, valid) in [
            ("0000:04:10.0", true),
            ("zz:04", false),
            ("0000:04:20.0", false),
            ("0000:04:10.8", false),
            ("x", false),
        ] {
            assert_eq!(is_pci_address(text), valid, "{text}");
        }
    }
}
