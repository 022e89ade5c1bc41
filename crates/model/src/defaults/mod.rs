//! What admission adds to a machine or an instance that leaves something open.
//!
//! [`vm`] fills in little: a `VirtualMachine` keeps what its author wrote, so that its instances follow the
//! installation's configuration. [`vmi`] fills in everything that an instance is started from.

mod devices;
mod hyperv;
mod network;
mod timers;
mod vm;
mod vmi;

use api::kubevirt::v1::VirtualMachineInstanceSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

pub use vm::{preferred, vm};
pub use vmi::{expanded, status_memory, vmi};

use api::names::annotation;

use crate::config::ClusterConfig;

/// What a new object needs and cannot be computed: made by the caller.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// UUID for the machine's firmware.
    pub uuid: String,
    /// Serial number for the machine's firmware.
    pub serial: String,
    /// The time.
    pub now: Time,
}

/// Adds what an instance has by default and preferences reach: disks of volumes, and the Pod's network.
pub(crate) fn implied(spec: &mut VirtualMachineInstanceSpec, config: &ClusterConfig) {
    devices::implicit_disks(spec);
    network::fill(spec, config);
}

/// Marks the layout of the PCI bus that the machine will keep.
fn mark_pci_topology(metadata: &mut ObjectMeta, machine_type: &str) {
    if machine_type.contains("q35") || machine_type.starts_with("virt") {
        metadata
            .annotations
            .get_or_insert_default()
            .entry(annotation::PCI_TOPOLOGY_VERSION.to_owned())
            .or_insert_with(|| annotation::PCI_TOPOLOGY_V3.to_owned());
    }
}

fn machine_type(spec: &VirtualMachineInstanceSpec) -> &str {
    spec.domain.machine.as_ref().and_then(|machine| machine.type_.as_deref()).unwrap_or_default()
}

fn is_empty(text: Option<&str>) -> bool {
    text.is_none_or(str::is_empty)
}

/// Drops `false` where the reference leaves it out, so that an object reads the same from both.
fn omit_false(value: &mut Option<bool>) {
    if *value == Some(false) {
        *value = None;
    }
}

/// Writes empty values as the reference does: most are left out, one is spelled out.
fn omit_zeros(spec: &mut VirtualMachineInstanceSpec) {
    for volume in &mut spec.volumes {
        if let Some(claim) = &mut volume.persistent_volume_claim {
            omit_false(&mut claim.hotpluggable);
            omit_false(&mut claim.read_only);
        }
        if let Some(volume) = &mut volume.data_volume {
            omit_false(&mut volume.hotpluggable);
        }
        if let Some(disk) = &mut volume.host_disk {
            disk.capacity.get_or_insert_default();
        }
    }
    for toleration in &mut spec.tolerations {
        toleration.key = toleration.key.take().filter(|key| !key.is_empty());
    }
    let domain = &mut spec.domain;
    omit_false(&mut domain.resources.overcommit_guest_overhead);
    if let Some(cpu) = &mut domain.cpu {
        omit_false(&mut cpu.dedicated_cpu_placement);
        omit_false(&mut cpu.isolate_emulator_thread);
    }
    omit_false(&mut domain.devices.disable_hotplug);
    for disk in &mut domain.devices.disks {
        if let Some(disk) = &mut disk.disk {
            omit_false(&mut disk.readonly);
        }
        if let Some(lun) = &mut disk.lun {
            omit_false(&mut lun.readonly);
            omit_false(&mut lun.reservation);
        }
    }
    for network in &mut spec.networks {
        if let Some(multus) = &mut network.multus {
            omit_false(&mut multus.default);
        }
    }
}
