//! Disks: what the guest sees, and the images behind it.

use serde::{Deserialize, Serialize};

use super::{Address, DescriptorName, is_zero};

/// One disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// Name in the specification; stable and unique.
    pub name: String,
    /// Device that the guest sees.
    pub device: DiskDevice,
    /// Controller that carries it.
    pub bus: DiskBus,
    /// Place on its bus.
    pub address: Address,
    /// Images from the one that is written (first) down to the base; none for an optical drive without a medium.
    pub chain: Vec<DiskLayer>,
    /// Whether the guest may not write.
    #[serde(default)]
    pub read_only: bool,
    /// Serial number that the guest sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Place in the boot order, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_index: Option<u32>,
    /// Host page cache.
    pub cache: DiskCache,
    /// What an I/O error does.
    pub error_policy: ErrorPolicy,
    /// How reads and writes are handed to the host; `None` leaves it to the hypervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io: Option<DiskIo>,
    /// Sizes of blocks that the guest is told of; `None` for 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<BlockSize>,
    /// Numbers, from 1, of the I/O threads that serve it; none for the hypervisor's main thread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub io_threads: Vec<u32>,
    /// Number of request queues; 0 leaves it to the hypervisor.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub queues: u32,
    /// Whether other machines write to it at the same time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shareable: bool,
}

/// Sizes of a disk's blocks in bytes, each a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockSize {
    /// Smallest unit that can be addressed.
    pub logical: u32,
    /// Unit that the disk writes at once.
    pub physical: u32,
    /// Unit that can be given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discard_granularity: Option<u32>,
}

/// How reads and writes are handed to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskIo {
    /// By the kernel's asynchronous interface; needs [`DiskCache::None`].
    Native,
    /// By threads that wait.
    Threads,
}

/// Device kind of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskDevice {
    /// A hard disk.
    Disk,
    /// An optical drive.
    Cdrom,
    /// A SCSI logical unit passed through.
    Lun,
}

/// Controller that carries a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskBus {
    /// virtio-blk.
    Virtio,
    /// virtio-scsi.
    Scsi,
    /// AHCI.
    Sata,
    /// USB mass storage.
    Usb,
}

/// One image of a disk's chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskLayer {
    /// The open image.
    pub descriptor: DescriptorName,
    /// Its format.
    pub format: DiskFormat,
}

/// Image format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// Plain bytes.
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
}

/// Use of the host's page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskCache {
    /// Bypass it (`O_DIRECT`).
    None,
    /// Read through it, write through it.
    Writethrough,
    /// Write back.
    Writeback,
}

/// What an I/O error of a disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorPolicy {
    /// Pause the machine.
    Stop,
    /// Tell the guest.
    Report,
    /// Go on.
    Ignore,
    /// Pause the machine when space is short, else tell the guest.
    Enospace,
}
