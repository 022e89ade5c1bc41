//! The neutral machine: what a hypervisor is asked to run, resolved down to the last address.
//!
//! `model` makes a record from a `VirtualMachineInstance`; it is kept for the machine's life, so that a
//! restart, a migration or a newer release of the software starts the very same machine again. It names no
//! files: everything that is opened outside the Pod (disks, taps, firmware variables) is named by a
//! [`DescriptorName`] and travels beside the record as an open descriptor.

use serde::{Deserialize, Serialize};

/// Version of [`MachineRecord`] that this release writes.
pub const RECORD_VERSION: u32 = 1;

/// Names one descriptor that travels beside the record, for example `disk/rootdisk/0` (layer 0, the top, of
/// the chain of disk `rootdisk`), `nic/default/tap`, `nic/default/dhcp`, `boot/kernel`, `boot/initrd`,
/// `firmware/vars`.
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
    /// Hot-pluggable root ports that nothing occupies yet: their PCI slots.
    #[serde(default)]
    pub spare_root_ports: Vec<u8>,
    /// Start with processors stopped (`startStrategy: Paused`).
    #[serde(default)]
    pub start_paused: bool,
    /// Seconds between the ACPI power button and the kill.
    pub grace_period_seconds: u64,
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
    /// A kernel loaded directly, past the firmware's own boot order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelBoot>,
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
}

/// Real-time clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clock {
    /// Seconds between UTC and what the guest's clock shows at start.
    pub offset_seconds: i64,
}

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
    /// Images from the one that is written (first) down to the base.
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
}

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Nic {
    /// Name in the specification; stable and unique.
    pub name: String,
    /// Device model that the guest sees.
    pub model: NicModel,
    /// Place on the PCI bus.
    pub address: Address,
    /// Hardware address, lower case with colons.
    pub mac: String,
    /// Maximum transmission unit offered to the guest; 0 leaves it alone.
    pub mtu: u16,
    /// Open tap device.
    pub tap: DescriptorName,
    /// Lease that the launcher hands out on this interface, and the bound socket it answers on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dhcp: Option<Dhcp>,
    /// Place in the boot order, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_index: Option<u32>,
    /// Link state at start.
    pub link_up: bool,
}

/// Device model of a network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NicModel {
    /// virtio-net.
    Virtio,
    /// Intel 82540EM.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// Realtek RTL8139.
    Rtl8139,
    /// AMD PCnet.
    Pcnet,
    /// NE2000 on PCI.
    Ne2kPci,
}

/// What the DHCP responder of one interface hands out. It serves exactly one client, by MAC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dhcp {
    /// UDP socket bound to port 67 on the guest-facing bridge, inside the Pod's network namespace.
    pub socket: DescriptorName,
    /// Address for the guest.
    pub address: std::net::Ipv4Addr,
    /// Prefix length of the guest's network.
    pub prefix: u8,
    /// Default gateway, also the server's own identifier.
    pub gateway: std::net::Ipv4Addr,
    /// Name servers.
    #[serde(default)]
    pub dns: Vec<std::net::Ipv4Addr>,
    /// Search domains.
    #[serde(default)]
    pub search: Vec<String>,
    /// Host name for the guest.
    #[serde(default)]
    pub hostname: String,
    /// Interface MTU; 0 sends none.
    #[serde(default)]
    pub mtu: u16,
    /// Boot file name, TFTP server, NTP servers and private options, verbatim.
    #[serde(default)]
    pub extra: Vec<DhcpOption>,
}

/// One DHCP option by code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpOption {
    /// Option code (RFC 2132).
    pub code: u8,
    /// Raw value.
    pub value: Vec<u8>,
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
