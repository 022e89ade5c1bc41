//! The neutral machine that an instance becomes.
//!
//! [`machine_record`] is a function of the instance, of what the node's agent knows, and of the record that the
//! machine had before. Given a previous record, every device keeps its slot and every interface its hardware
//! address, whatever order the specification lists them in; given the places of the machine's last instance, slots,
//! units and machine type are kept.

mod boot;
mod devices;
mod disks;
mod facts;
mod features;
mod nics;
mod places;
mod processor;
pub mod slots;
mod threads;

use std::collections::BTreeSet;

use api::kubevirt::v1::VirtualMachineInstance;
use uuid::Uuid;
use wire::machine::{AgentChannel, Balloon, MachineRecord, Memory, RECORD_VERSION, Rng};

pub use boot::{INITRD, KERNEL, TPM, VARIABLES, acpi_tables};
pub use facts::{NicFacts, NodeFacts, SmbiosFacts, VolumeFacts};

pub use nics::mac;
pub use places::Places;
use slots::{NoSlot, Slots, Stand};

use crate::amount;

/// Name space of machine UUIDs that derive from the machine's name; part of the API's contract.
const MACHINE_NAMES: Uuid = Uuid::from_u128(0x6a1a_24a1_4061_4607_8bf4_a396_3d0c_5895);
/// Seconds between the power button and the end, where the instance does not say.
pub const DEFAULT_GRACE_PERIOD_SECONDS: u64 = 30;

/// Why an instance cannot become a machine on this node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A field holds what this node cannot make.
    #[error("{field} is {value:?}: {reason}")]
    Field {
        /// Path of the field.
        field: String,
        /// What it holds.
        value: String,
        /// Why not, and what would do.
        reason: String,
    },
    /// More devices than the bus has places.
    #[error(
        "the machine has more devices than the {places} places of its PCI bus: remove a disk or an interface, or put disks on the scsi bus"
    )]
    TooManyDevices {
        /// Number of places.
        places: u8,
    },
}

impl RecordError {
    pub(crate) fn field(
        field: impl Into<String>,
        value: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self::Field { field: field.into(), value: value.into(), reason: reason.into() }
    }
}

impl From<NoSlot> for RecordError {
    fn from(reason: NoSlot) -> Self {
        match reason {
            NoSlot::Exhausted => Self::TooManyDevices { places: slots::LAST - slots::FIRST + 1 },
            NoSlot::Chosen { field, address, device } => Self::field(
                field,
                address,
                format!("{device} has held this place since the machine first ran; write another"),
            ),
        }
    }
}

/// Makes the machine of an instance.
///
/// `previous` is the record that the same instance was started with before, if there is one. The instance is expected to
/// have passed admission: defaults are filled in.
pub fn machine_record(
    vmi: &VirtualMachineInstance,
    facts: &NodeFacts,
    previous: Option<&MachineRecord>,
) -> Result<MachineRecord, RecordError> {
    let spec = &vmi.spec;
    let domain = &spec.domain;
    let specified = &domain.devices;
    let uid = vmi.metadata.uid.clone().unwrap_or_default();
    let name = vmi.metadata.name.clone().unwrap_or_default();
    let namespace = vmi.metadata.namespace.clone().unwrap_or_default();

    let boot = boot::boot(domain)?;
    let graphics = devices::graphics(domain, &boot)?;
    let places = previous.map(Places::of).or_else(|| facts.places.clone());
    let places = places.as_ref();
    let mut slots = Slots::new(places);
    slots::reserve_chosen(domain, graphics.is_some(), &mut slots)?;
    let nics = nics::nics(vmi, facts, previous, &mut slots)?;
    let agent = AgentChannel { address: slots.take("agent", Stand::Bus)? };
    let mut disks = disks::disks(vmi, facts, places, &mut slots)?;
    let io_threads = threads::assign(domain, &mut disks)?;
    let balloon = if specified.autoattach_mem_balloon.unwrap_or(true) {
        let address = slots.take("balloon", Stand::Bus)?;
        Some(Balloon { address, stats_period_seconds: facts.balloon_period_seconds })
    } else {
        None
    };
    let rng = match &specified.rng {
        Some(_) => Some(Rng { address: slots.take("rng", Stand::Bus)? }),
        None => None,
    };
    let inputs = devices::inputs(&domain.devices, &mut slots)?;
    let sound = devices::sound(&domain.devices, &mut slots)?;
    let watchdog = devices::watchdog(&domain.devices, &mut slots)?;
    let panic_devices = devices::panic_devices(&domain.devices, facts.accelerator, &mut slots)?;

    let mut record = MachineRecord {
        version: RECORD_VERSION,
        uid,
        name: format!("{namespace}_{name}"),
        architecture: processor::architecture(spec, facts)?,
        machine_type: machine_type(vmi, facts, places)?,
        accelerator: facts.accelerator,
        cpu: processor::cpu(domain, facts)?,
        memory: memory(vmi)?,
        boot,
        smbios: boot::smbios(domain, &facts.smbios, &machine_uuid(vmi)),
        clock: features::clock(domain)?,
        disks,
        nics,
        serial: specified.autoattach_serial_console.unwrap_or(true),
        serial_unlogged: !specified.log_serial_console.unwrap_or(facts.log_serial_console),
        virtio_transitional: specified.use_virtio_transitional == Some(true),
        rng,
        balloon,
        agent: Some(agent),
        graphics,
        features: features::features(domain),
        inputs,
        sound,
        watchdog,
        tpm: devices::tpm(domain),
        panic_devices,
        io_threads,
        reboot_ends: domain.reboot_policy.as_deref() == Some("Terminate"),
        spare_root_ports: Vec::new(),
        start_paused: spec.start_strategy.as_deref() == Some("Paused"),
        grace_period_seconds: spec
            .termination_grace_period_seconds
            .map_or(DEFAULT_GRACE_PERIOD_SECONDS, |seconds| u64::try_from(seconds).unwrap_or(0)),
    };
    let used: BTreeSet<u8> = slots::occupied(&record).into_values().collect();
    slots.release(&used);
    record.spare_root_ports = slots.spare_ports(places.is_some(), specified.disable_hotplug != Some(true));
    Ok(record)
}

/// Returns the UUID that the firmware shows: the instance's, else one that follows from its name.
pub fn machine_uuid(vmi: &VirtualMachineInstance) -> String {
    match vmi.spec.domain.firmware.as_ref().and_then(|firmware| firmware.uuid.clone()) {
        Some(uuid) => uuid,
        None => uuid_of_name(vmi.metadata.name.as_deref().unwrap_or_default()),
    }
}

/// Returns the machine UUID that follows from a machine's name.
pub fn uuid_of_name(name: &str) -> String {
    Uuid::new_v5(&MACHINE_NAMES, name.as_bytes()).to_string()
}

/// A machine that ran before keeps its concrete type; a new one gets what the alias stands for today.
fn machine_type(
    vmi: &VirtualMachineInstance,
    facts: &NodeFacts,
    places: Option<&Places>,
) -> Result<String, RecordError> {
    let wanted =
        vmi.spec.domain.machine.as_ref().and_then(|machine| machine.type_.as_deref()).unwrap_or_default();
    let wanted = if wanted.is_empty() { default_machine_type(facts) } else { wanted };
    if let Some(concrete) = facts.machine_aliases.get(wanted) {
        let family = |concrete: &str| concrete.rsplit_once('-').map(|(family, _)| family.to_owned());
        let kept = places.map(|places| &places.machine_type);
        // Of another family are the places that the machine had before its specification named this one.
        let kept = kept.filter(|kept| family(kept) == family(concrete));
        return Ok(kept.unwrap_or(concrete).clone());
    }
    if facts.machine_aliases.values().any(|concrete| concrete == wanted) || wanted.contains('-') {
        return Ok(wanted.to_owned());
    }
    let known: Vec<&str> = facts.machine_aliases.keys().map(String::as_str).collect();
    Err(RecordError::field(
        "spec.domain.machine.type",
        wanted,
        format!("this node knows {}", known.join(", ")),
    ))
}

fn default_machine_type(facts: &NodeFacts) -> &'static str {
    match facts.architecture {
        wire::machine::Architecture::Amd64 => "q35",
        wire::machine::Architecture::Arm64 | wire::machine::Architecture::Riscv64 => "virt",
        wire::machine::Architecture::S390x => "s390-ccw-virtio",
    }
}

fn memory(vmi: &VirtualMachineInstance) -> Result<Memory, RecordError> {
    let memory = vmi.spec.domain.memory.as_ref();
    let size = crate::resources::guest_memory(&vmi.spec.domain).ok_or_else(|| {
        RecordError::field(
            "spec.domain.memory.guest",
            "",
            "the size of the guest's memory is not given; set it, for example to 1Gi",
        )
    })?;
    let max = memory.and_then(|memory| memory.max_guest.as_ref()).and_then(amount::bytes).unwrap_or(size);
    let hugepage_size = memory
        .and_then(|memory| memory.hugepages.as_ref())
        .and_then(|hugepages| hugepages.page_size.clone())
        .and_then(|size| amount::bytes(&size.as_str().into()));
    Ok(Memory { size, max: max.max(size), hugepage_size, shared: false })
}
