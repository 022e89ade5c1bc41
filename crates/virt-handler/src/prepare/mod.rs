//! What a machine needs from its node, opened and ready to hand over.

mod boot;
mod cloud_config;
mod direct;
mod disks;
mod hosted;
mod images;
mod layer;
mod networks;
mod state;
mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::kubevirt::v1::{VirtualMachineInstance, Volume};
use api::names::annotation;
use launcher_channel::Descriptors;
use model::cloudinit::CloudInitError;
use model::config_volumes::ConfigDiskError;
use model::record::{NodeFacts, Places, RecordError, machine_record};
use network::binding::PendingRules;
use plan::Notice;
use plan::handler::Moving;
use wire::machine::MachineRecord;

use crate::gather::Gathered;
use crate::installation::Defaults;
use crate::{Config, room};

pub(crate) use networks::nics;

/// A machine, ready to start.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) record: MachineRecord,
    pub(crate) descriptors: Descriptors,
    /// Rules that come into force while the machine starts.
    pub(crate) rules: Option<PendingRules>,
    pub(crate) pod_ips: Vec<String>,
    pub(crate) volume_sizes: BTreeMap<String, u64>,
    /// What the status shows of the claims that disks are in, by volume.
    pub(crate) claims: BTreeMap<String, serde_json::Value>,
    /// Whether the machine could move to another node.
    pub(crate) moving: Moving,
    /// What people should know.
    pub(crate) notices: Vec<Notice>,
}

/// Why a machine cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("volume {volume}: {problem}")]
    Volume { volume: String, problem: String },
    #[error(
        "volume {volume}: containerDisk.image {image}: {source}; push the mended image under another tag, which this one is \
         not asked for again"
    )]
    Image { volume: String, image: String, source: disk::probe::Error },
    #[error("volume {volume}: {problem}")]
    Create { volume: String, problem: String },
    /// The instances `by`, of its own namespace, have what the volume names.
    #[error("volume {volume}: {problem}{}", owners(by))]
    Busy { volume: String, problem: String, by: Vec<String> },
    #[error("cannot open {path}: {source}")]
    Open { path: PathBuf, source: std::io::Error },
    #[error("{field} is {value:?}: {problem}")]
    Boot { field: &'static str, value: String, problem: String },
    #[error(
        "spec.domain.cpu.model is {model:?}, which this node's hypervisor does not have; write one that \
         `qemu-system-x86_64 -cpu help` lists, or leave it out"
    )]
    Model { model: String },
    #[error(
        "UEFI firmware ({template}) is not on this node; install it (Debian: ovmf), the start is tried again"
    )]
    Firmware { template: PathBuf },
    #[error(transparent)]
    CloudInit(#[from] CloudInitError),
    #[error(transparent)]
    ConfigDisk(#[from] ConfigDiskError),
    #[error(transparent)]
    Seed(#[from] disk::seed::Error),
    #[error("the machine's network: {0}")]
    Network(#[from] network::Error),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Says who has what is in use, where that is known.
fn owners(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" (in use by {})", names.join(", ")) }
}

impl Error {
    /// Says in a user's words why a disk of `size` bytes could not be made.
    fn create(volume: &Volume, path: &Path, size: u64, error: &disk::create::Error) -> Self {
        use std::io::ErrorKind;
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
        let problem = match cause.map(std::io::Error::kind) {
            Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => match room::at(path) {
                Ok(room) => format!("its disk has no room: {room}"),
                Err(_) => format!("no space is left for its disk {}; free some", path.display()),
            },
            Some(ErrorKind::FileTooLarge) => {
                format!(
                    "its disk of {size} bytes is larger than a file on this node can be; ask for a smaller one"
                )
            }
            _ => format!("{error}: {}", cause.map(ToString::to_string).unwrap_or_default()),
        };
        Self::Create { volume: volume.name.clone(), problem }
    }

    /// One word for the condition.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Volume { .. } | Self::Image { .. } | Self::Open { .. } => "VolumeUnusable",
            Self::Busy { .. } => "VolumeInUse",
            Self::Create { .. } => "DiskCreationFailed",
            Self::Boot { .. } => "KernelUnusable",
            Self::CloudInit(_) | Self::ConfigDisk(_) | Self::Seed(_) => "SeedFailed",
            Self::Network(_) => "NetworkFailed",
            Self::Firmware { .. } => "NotInstalled",
            Self::Model { .. } | Self::Record(_) => "MachineImpossible",
        }
    }
}

/// Returns where the devices of the machine's last instance stood. A text that cannot be read is one more new machine.
fn places(instance: &VirtualMachineInstance) -> Option<Places> {
    Places::parse(instance.metadata.annotations.as_ref()?.get(annotation::PLACES)?)
}

/// Makes a machine ready. Blocks for some milliseconds; may be repeated.
pub(crate) fn machine(
    config: &Config,
    defaults: Defaults,
    instance: &VirtualMachineInstance,
    gathered: &Gathered,
    pod: &Path,
    pid: i32,
    previous: Option<&MachineRecord>,
) -> Result<Prepared, Error> {
    let (small_volumes, installation) = (defaults.small_volumes, config.installation.as_path());
    let means = disks::Means { gathered, pod, small_volumes, installation };
    let disks = disks::disks(instance, means)?;
    let nics = nics(instance, pid, &config.helper)?;
    let facts = NodeFacts {
        architecture: config.hypervisor.architecture,
        accelerator: config.hypervisor.accelerator,
        machine_aliases: config.hypervisor.machine_aliases.clone(),
        cpu_features: config.hypervisor.cpu_features.clone(),
        smbios: defaults.smbios,
        balloon_period_seconds: defaults.balloon_period_seconds,
        volumes: disks.facts,
        nics: nics.facts,
        log_serial_console: defaults.log_serial_console,
        places: places(instance),
    };
    let record = machine_record(instance, &facts, previous)?;
    let models = &config.hypervisor.cpu_models;
    if !["host", "max"].contains(&record.cpu.model.as_str()) && !models.contains(&record.cpu.model) {
        return Err(Error::Model { model: record.cpu.model });
    }
    let mut descriptors = disks.descriptors;
    direct::apply(&record, &descriptors)?;
    descriptors.extend(nics.descriptors);
    descriptors.extend(boot::descriptors(instance, pod)?);
    descriptors.extend(tables::descriptors(instance, &gathered.objects, pod)?);
    descriptors.extend(state::descriptors(instance, pod, &config.hypervisor.firmware_variables)?);
    Ok(Prepared {
        record,
        descriptors,
        rules: nics.rules,
        pod_ips: nics.pod_ips,
        volume_sizes: disks.sizes,
        claims: disks.claims,
        moving: Moving::of(instance, &gathered.claims),
        notices: disks.notices,
    })
}
