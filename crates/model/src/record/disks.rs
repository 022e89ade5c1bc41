//! Disks: the device that the guest sees, over the volume that fills it.

use std::collections::{BTreeMap, BTreeSet};

use api::kubevirt::v1::{Devices, Disk as SpecDisk, VirtualMachineInstance, Volume};
use wire::machine::{
    Address, BlockSize, Disk, DiskBus, DiskCache, DiskDevice, DiskFormat, DiskIo, DiskLayer, ErrorPolicy,
};

use super::places::{Bus, UNITS};
use super::slots::{Slots, Stand};
use super::{NodeFacts, Places, RecordError, VolumeFacts};

/// Ports of the board's SATA controller and of the three that are added when those are taken.
const SATA_PORTS: u32 = 24;

pub(super) fn disks(
    vmi: &VirtualMachineInstance,
    facts: &NodeFacts,
    places: Option<&Places>,
    slots: &mut Slots,
) -> Result<Vec<Disk>, RecordError> {
    let mut units = Units::new(places, &vmi.spec.domain.devices);
    let mut disks = Vec::with_capacity(vmi.spec.domain.devices.disks.len());
    for (index, spec) in vmi.spec.domain.devices.disks.iter().enumerate() {
        let path = format!("spec.domain.devices.disks[{index}]");
        let volume = vmi.spec.volumes.iter().find(|volume| volume.name == spec.name);
        if volume.is_none() && spec.cdrom.is_none() {
            return Err(RecordError::field(
                format!("{path}.name"),
                spec.name.as_str(),
                "no volume has this name; add one to spec.volumes",
            ));
        }
        disks.push(disk(spec, volume, &path, facts, slots, &mut units)?);
    }
    let by_kernel = vmi.spec.domain.firmware.as_ref().is_some_and(|firmware| firmware.kernel_boot.is_some());
    boot_from_first(vmi, by_kernel, &mut disks);
    Ok(disks)
}

/// Units of the buses that several disks share.
struct Units {
    kept: BTreeMap<(Bus, String), u32>,
    taken: BTreeSet<(Bus, u32)>,
    /// How disks stand that are devices of their own.
    stand: Stand,
}

impl Units {
    /// Starts with the units that the machine had before for disks that are still there: there are few.
    fn new(places: Option<&Places>, devices: &Devices) -> Self {
        let stays = |disk: &str| devices.disks.iter().any(|spec| spec.name == disk);
        let kept = places.map(|places| places.units.clone()).unwrap_or_default();
        let kept: BTreeMap<_, _> = kept.into_iter().filter(|((_, disk), _)| stays(disk)).collect();
        let taken = kept.iter().map(|((bus, _), unit)| (*bus, *unit)).collect();
        let stand = Stand::of_virtio(devices.use_virtio_transitional == Some(true));
        Self { kept, taken, stand }
    }

    /// Returns the unit of a disk: the one it had, else the one after the last, else the lowest free one. Guests name disks
    /// by the order of their units.
    fn take(&mut self, bus: Bus, name: &str) -> Address {
        let kept = self.kept.get(&(bus, name.to_owned())).copied();
        let free = || {
            let last = self.taken.range((bus, 0)..=(bus, u32::MAX)).last().map_or(0, |(_, unit)| unit + 1);
            let limit = if bus == Bus::Sata { SATA_PORTS } else { UNITS };
            let mut units = (last..limit).chain(0..=u32::MAX);
            units.find(|unit| !self.taken.contains(&(bus, *unit))).unwrap_or(0)
        };
        let unit = kept.unwrap_or_else(free);
        self.taken.insert((bus, unit));
        Address::Unit { unit }
    }
}

fn disk(
    spec: &SpecDisk,
    volume: Option<&Volume>,
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
    let address = match (Bus::of(bus), chosen) {
        (Some(shared), _) => units.take(shared, &spec.name),
        (None, Some(address)) if !address.is_empty() => Address::Pci { address: address.to_owned() },
        (None, _) => slots.take(&format!("disk/{}", spec.name), units.stand)?,
    };
    if bus == DiskBus::Sata && matches!(address, Address::Unit { unit } if unit >= SATA_PORTS) {
        return Err(RecordError::field(
            format!("{path}.bus"),
            "sata",
            format!(
                "the machine's SATA controllers have {SATA_PORTS} ports; put this disk on the bus virtio or scsi"
            ),
        ));
    }
    let known = facts.volumes.get(&spec.name);
    let read_only = read_only || volume.is_some_and(only_read);
    if read_only && device == DiskDevice::Disk && bus == DiskBus::Sata {
        return Err(RecordError::field(
            format!("{path}.disk.bus"),
            "sata",
            "a disk that is only read needs another bus; write virtio or scsi, or make it a cdrom",
        ));
    }
    // An open tray holds nothing, whatever lies beside it.
    let open = spec.cdrom.as_ref().is_some_and(|cdrom| cdrom.tray.as_deref() == Some("open"));
    let medium = volume.filter(|_| !open);
    let io = io(spec, path)?;
    Ok(Disk {
        name: spec.name.clone(),
        device,
        bus,
        address,
        chain: medium.map_or_else(Vec::new, |volume| {
            chain(&spec.name, volume, known.map(|known| known.chain.as_slice()))
        }),
        read_only,
        serial: serial(spec, bus, path)?,
        boot_index: spec.boot_order.and_then(|order| u32::try_from(order).ok()),
        cache: cache(spec, volume, io, known.is_some_and(|known| known.direct_io), path)?,
        error_policy: match spec.error_policy.as_deref() {
            None | Some("" | "stop") => ErrorPolicy::Stop,
            Some("report") => ErrorPolicy::Report,
            Some("ignore") => ErrorPolicy::Ignore,
            Some("enospace") => ErrorPolicy::Enospace,
            Some(other) => {
                return Err(RecordError::field(
                    format!("{path}.errorPolicy"),
                    other,
                    "write one of stop, report, ignore, enospace",
                ));
            }
        },
        io,
        block_size: block_size(spec, bus, known.and_then(|known| known.block_size), path)?,
        io_threads: Vec::new(),
        queues: 0,
        shareable: shareable(spec, volume, known, path)?,
    })
}

/// SCSI's page for it holds 36 characters (QEMU refuses more); the other buses show what fits.
fn serial(spec: &SpecDisk, bus: DiskBus, path: &str) -> Result<Option<String>, RecordError> {
    const MOST: usize = 36;
    match spec.serial.as_deref().filter(|serial| !serial.is_empty()) {
        Some(serial) if bus == DiskBus::Scsi && serial.len() > MOST => Err(RecordError::field(
            format!("{path}.serial"),
            serial,
            format!("on the scsi bus write at most {MOST} characters"),
        )),
        serial => Ok(serial.map(str::to_owned)),
    }
}

fn io(spec: &SpecDisk, path: &str) -> Result<Option<DiskIo>, RecordError> {
    Ok(match spec.io.as_deref() {
        None | Some("" | "default") => None,
        Some("native") => Some(DiskIo::Native),
        Some("threads") => Some(DiskIo::Threads),
        Some(other) => {
            return Err(RecordError::field(format!("{path}.io"), other, "write native or threads"));
        }
    })
}

/// Smallest block that a disk has.
const SMALLEST_BLOCK: u32 = 512;

/// `found` is what the volume's file system works with.
fn block_size(
    spec: &SpecDisk,
    bus: DiskBus,
    found: Option<u32>,
    path: &str,
) -> Result<Option<BlockSize>, RecordError> {
    let matching = spec.block_size.as_ref().and_then(|size| size.match_volume.as_ref());
    if matching.is_some_and(|matching| matching.enabled != Some(false)) {
        let Some(size) = found else { return Ok(None) };
        // A disk on the bus SATA has this logical size and no other.
        let logical = if bus == DiskBus::Sata { SMALLEST_BLOCK } else { size };
        return Ok(Some(BlockSize { logical, physical: size, discard_granularity: None }));
    }
    let Some(custom) = spec.block_size.as_ref().and_then(|size| size.custom.as_ref()) else {
        return Ok(None);
    };
    let size = |field: &str, value: u64| {
        u32::try_from(value).ok().filter(|size| size.is_power_of_two()).ok_or_else(|| {
            RecordError::field(
                format!("{path}.blockSize.custom.{field}"),
                value.to_string(),
                "write a power of two from 512 to 2097152",
            )
        })
    };
    let smallest = custom.logical.unwrap_or(512);
    let logical = size("logical", smallest)?;
    Ok(Some(BlockSize {
        logical,
        physical: size("physical", custom.physical.unwrap_or(smallest))?,
        discard_granularity: match custom.discard_granularity {
            None | Some(0) => None,
            Some(granularity) => Some(u32::try_from(granularity).map_err(|_| {
                RecordError::field(
                    format!("{path}.blockSize.custom.discardGranularity"),
                    granularity.to_string(),
                    "write a multiple of the logical size below 4 GiB",
                )
            })?),
        },
    }))
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

/// The kernel's asynchronous interface works past the page cache only.
fn cache(
    spec: &SpecDisk,
    volume: Option<&Volume>,
    io: Option<DiskIo>,
    direct_io: bool,
    path: &str,
) -> Result<DiskCache, RecordError> {
    let native = io == Some(DiskIo::Native);
    Ok(match spec.cache.as_deref() {
        None | Some("" | "none") if native => DiskCache::None,
        Some(other) if native => {
            return Err(RecordError::field(
                format!("{path}.cache"),
                other,
                "io: native works with cache: none only; write that, or io: threads",
            ));
        }
        Some("none") => DiskCache::None,
        Some("writethrough") => DiskCache::Writethrough,
        Some("writeback") => DiskCache::Writeback,
        None | Some("") => volume.map_or(DiskCache::Writeback, |volume| default_cache(volume, direct_io)),
        Some(other) => {
            return Err(RecordError::field(
                format!("{path}.cache"),
                other,
                "write one of none, writethrough, writeback",
            ));
        }
    })
}

/// What several machines write to is one file that each of them sees at once, so nothing may lie between.
fn shareable(
    spec: &SpecDisk,
    volume: Option<&Volume>,
    known: Option<&VolumeFacts>,
    path: &str,
) -> Result<bool, RecordError> {
    if spec.shareable != Some(true) {
        return Ok(false);
    }
    if let Some(cache) = spec.cache.as_deref().filter(|cache| !["", "none"].contains(cache)) {
        let reason = "a disk that several machines write to goes past the page cache; write none";
        return Err(RecordError::field(format!("{path}.cache"), cache, reason));
    }
    let own = volume.is_some_and(|volume| !outlives(volume));
    if own || known.is_some_and(|known| known.chain.iter().any(|format| *format != DiskFormat::Raw)) {
        return Err(RecordError::field(
            format!("{path}.shareable"),
            "true",
            "only a raw disk in a claim or of the host can be shared; use a persistentVolumeClaim",
        ));
    }
    Ok(true)
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

/// Returns whether the volume itself cannot be written.
fn only_read(volume: &Volume) -> bool {
    volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.read_only == Some(true))
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
