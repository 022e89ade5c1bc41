//! The neutral machine: what a hypervisor is asked to run, resolved down to the last address.
//!
//! `model` makes a record from a `VirtualMachineInstance`; it is kept for the machine's life, so that a
//! restart, a migration or a newer release of the software starts the very same machine again. It names no
//! files: everything that is opened outside the Pod (disks, taps, firmware variables) is named by a
//! [`DescriptorName`] and travels beside the record as an open descriptor.

mod devices;
mod disks;
mod features;
mod nics;

use serde::{Deserialize, Serialize};

pub use devices::{Input, InputBus, PanicDevice, Sound, SoundModel, Tpm, Watchdog, WatchdogAction};
pub use disks::{
    BlockSize, Disk, DiskBus, DiskCache, DiskDevice, DiskFormat, DiskIo, DiskLayer, ErrorPolicy,
};
pub use features::{Enlightenment, Features, Hyperv, MissedTicks, RtcTrack, Timers};
pub use nics::{Dhcp, DhcpOption, DhcpRoute, Ipv6Lease, Nic, NicModel};

/// Version of [`MachineRecord`] that this release writes.
pub const RECORD_VERSION: u32 = 1;

/// Names one descriptor that travels beside the record, for example `disk/rootdisk/0` (layer 0, the top, of
/// the chain of disk `rootdisk`), `nic/default/tap`, `nic/default/dhcp`, `nic/default/dhcp6`,
/// `nic/default/advertiser`, `boot/kernel`, `boot/initrd`, `firmware/vars`, `firmware/slic`,
/// `tpm/state`.
pub type DescriptorName = String;

/// One virtual machine, independent of the hypervisor that runs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineRecord {
    /// Version of this format ([`RECORD_VERSION`]).
    pub version: u32,
    /// UID of the `VirtualMachineInstance`.
    pub uid: String,
    /// Name of the machine as `NAMESPACE_NAME`.
    pub name: String,
    /// Instruction set of the guest.
    pub architecture: Architecture,
    /// Concrete machine type, for example `pc-q35-10.0`; never an alias such as `q35`.
    pub machine_type: String,
    /// What executes guest instructions.
    pub accelerator: Accelerator,
    /// Virtual processors.
    pub cpu: Cpu,
    /// Guest memory.
    pub memory: Memory,
    /// What the guest starts from.
    pub boot: Boot,
    /// Identity that the firmware shows to the guest.
    pub smbios: Smbios,
    /// Offset of the real-time clock and its adjustments.
    pub clock: Clock,
    /// Disks in the order of the specification.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// Network interfaces in the order of the specification.
    #[serde(default)]
    pub nics: Vec<Nic>,
    /// Whether a serial console is attached (`ttyS0`).
    pub serial: bool,
    /// Whether what the guest prints there is not to be written down.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub serial_unlogged: bool,
    /// Whether virtio devices also speak the interface of before virtio 1.0, for guests of that age.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub virtio_transitional: bool,
    /// Random number generator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rng: Option<Rng>,
    /// Memory balloon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balloon: Option<Balloon>,
    /// Channel to the guest agent (`org.qemu.guest_agent.0`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentChannel>,
    /// Graphics adapter and VNC server; `None` for a headless machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graphics: Option<Graphics>,
    /// Features of board and processor.
    #[serde(default, skip_serializing_if = "Features::is_default")]
    pub features: Features,
    /// Pointers for the graphical console.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// Sound card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound: Option<Sound>,
    /// Watchdog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<Watchdog>,
    /// Trusted platform module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<Tpm>,
    /// Devices by which the guest tells that it has panicked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub panic_devices: Vec<PanicDevice>,
    /// Number of threads that disks may do their work on, beside the hypervisor's main one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub io_threads: u32,
    /// Whether a guest that restarts ends its machine (`rebootPolicy: Terminate`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reboot_ends: bool,
    /// Hot-pluggable root ports that nothing occupies yet: their PCI slots.
    #[serde(default)]
    pub spare_root_ports: Vec<u8>,
    /// Start with processors stopped (`startStrategy: Paused`).
    #[serde(default)]
    pub start_paused: bool,
    /// Seconds between the ACPI power button and the kill.
    pub grace_period_seconds: u64,
}

/// Serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Instruction set of a guest, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
    /// RISC-V, 64 bits.
    Riscv64,
    /// IBM Z.
    S390x,
}

/// What executes guest instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// Linux KVM.
    Kvm,
    /// Microsoft hypervisor root partition.
    Mshv,
    /// Emulation by the hypervisor process itself.
    Tcg,
}

/// Virtual processors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cpu {
    /// Model name as the hypervisor knows it; `host` and `max` pass through what there is.
    pub model: String,
    /// Features switched on or off on top of the model.
    #[serde(default)]
    pub features: Vec<CpuFeature>,
    /// Sockets present at start.
    pub sockets: u32,
    /// Cores in each socket.
    pub cores: u32,
    /// Threads in each core.
    pub threads: u32,
    /// Sockets that may be present after hot-plug; at least `sockets`.
    pub max_sockets: u32,
}

impl Cpu {
    /// Returns the number of virtual processors present at start.
    pub fn count(&self) -> u32 {
        self.sockets * self.cores * self.threads
    }
}

/// One processor feature and whether the guest sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuFeature {
    /// Name as the hypervisor knows it, for example `vmx`.
    pub name: String,
    /// Whether it is on.
    pub enabled: bool,
}

/// Guest memory, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Present at start.
    pub size: u64,
    /// Upper bound after hot-plug; at least `size`.
    pub max: u64,
    /// Size of the huge pages that back it; `None` for ordinary pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hugepage_size: Option<u64>,
    /// Whether other processes may map it (vhost-user, virtiofs).
    #[serde(default)]
    pub shared: bool,
}

/// What the guest starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Boot {
    /// Firmware that runs first.
    pub firmware: Firmware,
    /// Whether a BIOS shows its messages on the serial console.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub firmware_on_serial: bool,
    /// A kernel loaded directly, past the firmware's own boot order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelBoot>,
    /// ACPI tables of the user's, beside those of the hardware; each file has the table's own header.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acpi_tables: Vec<DescriptorName>,
}

/// Firmware of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Firmware {
    /// SeaBIOS, or what the machine type brings.
    Bios,
    /// UEFI.
    #[serde(rename_all = "camelCase")]
    Uefi {
        /// Whether Secure Boot is enforced.
        secure_boot: bool,
        /// Whether the variable store outlives the machine.
        persistent: bool,
    },
}

/// A kernel loaded directly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelBoot {
    /// The kernel image.
    pub kernel: DescriptorName,
    /// The initial RAM disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<DescriptorName>,
    /// Kernel command line.
    #[serde(default)]
    pub cmdline: String,
}

/// Identity that the firmware shows to the guest (SMBIOS types 1 and 3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Smbios {
    /// System UUID.
    pub uuid: String,
    /// System serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// System manufacturer.
    pub manufacturer: String,
    /// System product.
    pub product: String,
    /// System version.
    pub version: String,
    /// System family.
    pub family: String,
    /// System SKU.
    pub sku: String,
    /// Chassis asset tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset_tag: Option<String>,
    /// Chassis manufacturer; the system's where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chassis_manufacturer: Option<String>,
    /// Chassis version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chassis_version: Option<String>,
    /// Chassis serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chassis_serial: Option<String>,
    /// Chassis SKU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chassis_sku: Option<String>,
}

/// Real-time clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clock {
    /// Seconds between UTC and what the guest's clock shows at start; without meaning where a time zone is set.
    pub offset_seconds: i64,
    /// Time zone whose local time the guest's clock shows, for example `Europe/Berlin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Timers.
    #[serde(default, skip_serializing_if = "Timers::is_default")]
    pub timers: Timers,
}

/// Place of a device on its bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Address {
    /// Behind the root port in this slot of the root complex.
    #[serde(rename_all = "camelCase")]
    RootPort {
        /// Slot of the root port on bus 0, 1 to 31.
        slot: u8,
    },
    /// An explicit address `DDDD:BB:SS.F` that the user asked for.
    #[serde(rename_all = "camelCase")]
    Pci {
        /// The address.
        address: String,
    },
    /// A unit of a controller that several devices share (AHCI port, SCSI target).
    #[serde(rename_all = "camelCase")]
    Unit {
        /// The unit, from 0.
        unit: u32,
    },
}

/// Random number generator on the PCI bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng {
    /// Place on the PCI bus.
    pub address: Address,
}

/// Memory balloon on the PCI bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Balloon {
    /// Place on the PCI bus.
    pub address: Address,
    /// Seconds between the guest's memory statistics; 0 turns them off.
    pub stats_period_seconds: u32,
}

/// Channel to the guest agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentChannel {
    /// Place of the virtio-serial controller on the PCI bus.
    pub address: Address,
}

/// Graphics adapter and VNC server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graphics {
    /// Adapter that the guest sees, for example `VGA`, `virtio-vga`.
    pub adapter: String,
    /// Place on the PCI bus.
    pub address: Address,
}
