//! QEMU as a backend: what it can do, and the plan of its process.

use std::path::PathBuf;

use hypervisor::{Backend, Capabilities, Invocation, PlanError, Surroundings};
use wire::machine::{Accelerator, Architecture, DiskBus, DiskDevice, MachineRecord, NicModel};

use crate::args;

/// Name of this backend.
pub(crate) const NAME: &str = "qemu";

/// Where UEFI firmware lies on this node.
#[derive(Clone, Debug)]
pub struct FirmwareFiles {
    /// Code without Secure Boot.
    pub code: PathBuf,
    /// Empty variable store for it.
    pub variables: PathBuf,
    /// Code that enforces Secure Boot; needs SMM.
    pub secure_code: PathBuf,
    /// Variable store with the usual keys enrolled.
    pub secure_variables: PathBuf,
}

impl Default for FirmwareFiles {
    /// Where Debian's `ovmf` package puts them.
    fn default() -> Self {
        let directory = PathBuf::from("/usr/share/OVMF");
        Self {
            code: directory.join("OVMF_CODE_4M.fd"),
            variables: directory.join("OVMF_VARS_4M.fd"),
            secure_code: directory.join("OVMF_CODE_4M.secboot.fd"),
            secure_variables: directory.join("OVMF_VARS_4M.ms.fd"),
        }
    }
}

/// The QEMU backend.
#[derive(Clone, Debug)]
pub struct Qemu {
    pub(crate) program: PathBuf,
    pub(crate) firmware: FirmwareFiles,
    capabilities: Capabilities,
}

impl Default for Qemu {
    /// Where Debian's packages put it.
    fn default() -> Self {
        Self::new(PathBuf::from("/usr/bin/qemu-system-x86_64"), FirmwareFiles::default())
    }
}

impl Qemu {
    /// Uses the x86 emulator at `program`.
    pub fn new(program: PathBuf, firmware: FirmwareFiles) -> Self {
        let capabilities = Capabilities {
            architectures: vec![Architecture::Amd64],
            accelerators: vec![Accelerator::Kvm, Accelerator::Tcg],
            disk_buses: vec![DiskBus::Virtio, DiskBus::Scsi, DiskBus::Sata, DiskBus::Usb],
            disk_devices: vec![DiskDevice::Disk, DiskDevice::Cdrom],
            nic_models: vec![
                NicModel::Virtio,
                NicModel::E1000,
                NicModel::E1000e,
                NicModel::Rtl8139,
                NicModel::Pcnet,
                NicModel::Ne2kPci,
                NicModel::Igb,
            ],
            bios: true,
            uefi: true,
            secure_boot: true,
            kernel_boot: true,
            graphics: true,
            cpu_hotplug: true,
            memory_hotplug: true,
            hugepages: true,
            explicit_addresses: true,
            inputs: true,
            sound: true,
            watchdog: true,
            tpm: true,
            panic_devices: true,
            io_threads: true,
            timezones: true,
            acpi_tables: true,
            virtio_transitional: true,
            shareable_disks: true,
        };
        Self { program, firmware, capabilities }
    }
}

impl Backend for Qemu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn plan(&self, record: &MachineRecord, surroundings: &Surroundings<'_>) -> Result<Invocation, PlanError> {
        let missing = self.capabilities.missing(NAME, record);
        if !missing.is_empty() {
            return Err(PlanError::Unsupported(missing));
        }
        args::invocation(self, record, surroundings)
    }
}
