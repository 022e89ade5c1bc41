//! Disks: the block graph of each, spelt out layer by layer, and the device on top.

use hypervisor::{Access, PlanError};
use serde_json::{Map, Value, json};
use wire::machine::{
    Address, Disk, DiskBus, DiskCache, DiskDevice, DiskFormat, DiskIo, DiskLayer, ErrorPolicy,
};

use super::builder::{Builder, contradiction};
use super::controllers::{SATA_UNITS, SCSI_BUS, USB_BUS, sata_bus};
use super::pci::{self, Kind};
use super::threads;
use super::virtio::Virtio;

pub(super) fn add(builder: &mut Builder<'_>, disks: &[Disk], speaks: Virtio) -> Result<(), PlanError> {
    for (place, disk) in disks.iter().enumerate() {
        let label = format!("disk {}", disk.name);
        let node = match (disk.chain.is_empty(), disk.device) {
            // A drive without a medium.
            (true, DiskDevice::Cdrom) => None,
            (true, _) => return Err(contradiction(label, "it has no image")),
            (false, _) => graph(builder, place, disk, &label)?,
        };
        device(builder, disk, &label, node.as_deref(), speaks)?;
    }
    Ok(())
}

/// Adds the nodes of a disk's chain and returns the top one.
fn graph(
    builder: &mut Builder<'_>,
    place: usize,
    disk: &Disk,
    label: &str,
) -> Result<Option<String>, PlanError> {
    let aio = disk.io.map(|io| match io {
        DiskIo::Native => "native",
        DiskIo::Threads => "threads",
    });
    let mut below: Option<String> = None;
    for (layer, DiskLayer { descriptor, format }) in disk.chain.iter().enumerate().rev() {
        let node = format!("d{place}-{layer}");
        let carrier = format!("{node}-file");
        let read_only = layer > 0 || disk.read_only || disk.device == DiskDevice::Cdrom;
        let (file, access) = builder.image(label, descriptor)?;
        if access == Access::Read && !read_only {
            return Err(contradiction(label, format!("{descriptor} is written and open for reading only")));
        }
        let cache = json!({"direct": disk.cache == DiskCache::None, "no-flush": false});
        builder.json(
            "-blockdev",
            json!({
                "driver": "file",
                "node-name": carrier,
                "filename": file,
                "read-only": access == Access::Read,
                "auto-read-only": false,
                "discard": "unmap",
                "cache": cache,
                "aio": aio,
            }),
        );
        let mut fields = Map::new();
        let driver = match format {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
        };
        fields.insert("driver".to_owned(), driver.into());
        fields.insert("node-name".to_owned(), node.clone().into());
        fields.insert("file".to_owned(), carrier.into());
        fields.insert("read-only".to_owned(), read_only.into());
        fields.insert("discard".to_owned(), "unmap".into());
        fields.insert("cache".to_owned(), cache);
        match (format, below.take()) {
            // Spelt out even where there is none: the image's own header must never name a file to open.
            (DiskFormat::Qcow2, below) => {
                fields.insert("backing".to_owned(), below.map_or(Value::Null, Value::from));
            }
            (DiskFormat::Raw, Some(_)) => {
                return Err(contradiction(label, "only the last image of a chain can be raw"));
            }
            (DiskFormat::Raw, None) => {}
        }
        builder.option("-blockdev", Value::Object(fields).to_string());
        below = Some(node);
    }
    Ok(below)
}

fn device(
    builder: &mut Builder<'_>,
    disk: &Disk,
    label: &str,
    node: Option<&str>,
    speaks: Virtio,
) -> Result<(), PlanError> {
    let cdrom = disk.device == DiskDevice::Cdrom;
    let (driver, place) = match disk.bus {
        DiskBus::Virtio if cdrom => {
            return Err(contradiction(label, "an optical drive needs the bus sata, scsi or usb"));
        }
        DiskBus::Virtio => ("virtio-blk-pci", pci::place(label, &disk.address, speaks.kind(Kind::Express))?),
        DiskBus::Sata => {
            let bus = sata_bus(unit(label, disk, SATA_UNITS)?);
            (if cdrom { "ide-cd" } else { "ide-hd" }, on(&bus))
        }
        DiskBus::Scsi => {
            let target = unit(label, disk, 256)?;
            let mut place = on(SCSI_BUS);
            place.insert("scsi-id".to_owned(), target.into());
            (if cdrom { "scsi-cd" } else { "scsi-hd" }, place)
        }
        DiskBus::Usb if cdrom => {
            // USB's mass storage carries SCSI; only spelt out like this can it be an optical drive.
            let bridge = format!("usb-{}", disk.name);
            let carrier = format!("{bridge}.0");
            builder.json("-device", json!({"driver": "usb-bot", "id": bridge, "bus": USB_BUS}));
            ("scsi-cd", on(&carrier))
        }
        DiskBus::Usb => ("usb-storage", on(USB_BUS)),
    };
    // A read that is ignored would hand the guest garbage, and needs no space.
    let (on_write, on_read) = match disk.error_policy {
        ErrorPolicy::Stop => ("stop", "stop"),
        ErrorPolicy::Report => ("report", "report"),
        ErrorPolicy::Ignore => ("ignore", "report"),
        ErrorPolicy::Enospace => ("enospc", "report"),
    };
    let written = !cdrom && node.is_some();
    let cached = if disk.cache == DiskCache::Writethrough { "off" } else { "on" };
    let virtio = disk.bus == DiskBus::Virtio;
    let mut place = place;
    if let Some((property, threads)) = threads::property(&disk.io_threads).filter(|_| virtio) {
        place.insert(property.to_owned(), threads);
    }
    let driver = if virtio { speaks.driver(driver) } else { driver.to_owned() };
    pci::device(
        builder,
        &driver,
        place,
        json!({
            "id": format!("disk-{}", disk.name),
            "drive": node,
            "serial": disk.serial,
            "bootindex": disk.boot_index,
            "write-cache": written.then_some(cached),
            "werror": written.then_some(on_write),
            "rerror": node.map(|_| on_read),
            "logical_block_size": disk.block_size.map(|size| size.logical),
            "physical_block_size": disk.block_size.map(|size| size.physical),
            "discard_granularity": disk.block_size.and_then(|size| size.discard_granularity),
            "share-rw": disk.shareable.then_some(true),
            "num-queues": (virtio && disk.queues > 0).then_some(disk.queues),
        }),
    );
    Ok(())
}

fn on(bus: &str) -> Map<String, Value> {
    let mut place = Map::new();
    place.insert("bus".to_owned(), bus.into());
    place
}

fn unit(label: &str, disk: &Disk, limit: u32) -> Result<u32, PlanError> {
    match disk.address {
        Address::Unit { unit } if unit < limit => Ok(unit),
        Address::Unit { unit } => {
            Err(contradiction(label, format!("unit {unit} is beyond the controller's {limit} units")))
        }
        _ => Err(contradiction(label, "a disk of a shared controller needs a unit number")),
    }
}
