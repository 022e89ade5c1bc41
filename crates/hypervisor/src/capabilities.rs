//! What a backend can do, to ask instead of guess.

use wire::machine::{
    Accelerator, Address, Architecture, DiskBus, DiskDevice, Firmware, MachineRecord, NicModel,
};

/// What a backend can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Instruction sets of guests.
    pub architectures: Vec<Architecture>,
    /// What may execute them.
    pub accelerators: Vec<Accelerator>,
    /// Controllers for disks.
    pub disk_buses: Vec<DiskBus>,
    /// Device kinds of disks.
    pub disk_devices: Vec<DiskDevice>,
    /// Models of network interfaces.
    pub nic_models: Vec<NicModel>,
    /// SeaBIOS or its like.
    pub bios: bool,
    /// UEFI.
    pub uefi: bool,
    /// UEFI with Secure Boot enforced.
    pub secure_boot: bool,
    /// A kernel loaded directly.
    pub kernel_boot: bool,
    /// Graphics and VNC.
    pub graphics: bool,
    /// Processor sockets added while the guest runs.
    pub cpu_hotplug: bool,
    /// Memory added while the guest runs.
    pub memory_hotplug: bool,
    /// Huge pages behind guest memory.
    pub hugepages: bool,
    /// Devices at PCI addresses that the user chose.
    pub explicit_addresses: bool,
    /// Pointers.
    pub inputs: bool,
    /// Sound cards.
    pub sound: bool,
    /// Watchdogs.
    pub watchdog: bool,
    /// Trusted platform modules.
    pub tpm: bool,
    /// Devices by which a guest tells that it has panicked.
    pub panic_devices: bool,
    /// Threads that serve disks beside the main one.
    pub io_threads: bool,
    /// A clock that follows a time zone.
    pub timezones: bool,
    /// ACPI tables of the user's.
    pub acpi_tables: bool,
    /// Virtio devices for guests that know the interface of before virtio 1.0 only.
    pub virtio_transitional: bool,
    /// Disks that several machines write to.
    pub shareable_disks: bool,
}

/// One thing that a record asks for and a backend cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not supported by the {backend} backend")]
pub struct Unsupported {
    /// What was asked for, naming the device.
    pub what: String,
    /// Name of the backend.
    pub backend: &'static str,
}

impl Capabilities {
    /// Returns everything in `record` that a backend with these capabilities cannot do.
    pub fn missing(&self, backend: &'static str, record: &MachineRecord) -> Vec<Unsupported> {
        let mut missing = Vec::new();
        let mut need = |able: bool, what: String| {
            if !able {
                missing.push(Unsupported { what, backend });
            }
        };
        need(
            self.architectures.contains(&record.architecture),
            format!("architecture {:?}", record.architecture),
        );
        need(
            self.accelerators.contains(&record.accelerator),
            format!("accelerator {:?}", record.accelerator),
        );
        match record.boot.firmware {
            Firmware::Bios => need(self.bios, "BIOS firmware".to_owned()),
            Firmware::Uefi { secure_boot, .. } => {
                need(self.uefi, "UEFI firmware".to_owned());
                need(self.secure_boot || !secure_boot, "Secure Boot".to_owned());
            }
        }
        need(self.kernel_boot || record.boot.kernel.is_none(), "direct kernel boot".to_owned());
        need(self.graphics || record.graphics.is_none(), "graphics".to_owned());
        need(self.cpu_hotplug || record.cpu.max_sockets == record.cpu.sockets, "CPU hot-plug".to_owned());
        need(self.memory_hotplug || record.memory.max == record.memory.size, "memory hot-plug".to_owned());
        need(self.hugepages || record.memory.hugepage_size.is_none(), "memory on huge pages".to_owned());
        need(self.inputs || record.inputs.is_empty(), "input devices".to_owned());
        need(self.sound || record.sound.is_none(), "sound".to_owned());
        need(self.watchdog || record.watchdog.is_none(), "a watchdog".to_owned());
        need(self.tpm || record.tpm.is_none(), "a TPM".to_owned());
        need(self.panic_devices || record.panic_devices.is_empty(), "panic devices".to_owned());
        need(self.io_threads || record.io_threads == 0, "I/O threads".to_owned());
        need(self.timezones || record.clock.timezone.is_none(), "a clock in local time".to_owned());
        need(self.acpi_tables || record.boot.acpi_tables.is_empty(), "ACPI tables".to_owned());
        need(
            self.virtio_transitional || !record.virtio_transitional,
            "virtio's interface of before 1.0".to_owned(),
        );
        for disk in &record.disks {
            need(self.shareable_disks || !disk.shareable, format!("disk {}: sharing", disk.name));
            need(self.disk_buses.contains(&disk.bus), format!("disk {}: bus {:?}", disk.name, disk.bus));
            need(
                self.disk_devices.contains(&disk.device),
                format!("disk {}: device {:?}", disk.name, disk.device),
            );
            need(
                self.explicit_addresses || !explicit(&disk.address),
                format!("disk {}: a chosen PCI address", disk.name),
            );
        }
        for nic in &record.nics {
            need(
                self.nic_models.contains(&nic.model),
                format!("interface {}: model {:?}", nic.name, nic.model),
            );
            need(
                self.explicit_addresses || !explicit(&nic.address),
                format!("interface {}: a chosen PCI address", nic.name),
            );
        }
        missing
    }
}

fn explicit(address: &Address) -> bool {
    matches!(address, Address::Pci { .. })
}
