//! What an instance type decides. A machine that says the same itself is told where.

use api::instancetype::v1beta1::VirtualMachineInstancetypeSpec;
use api::kubevirt::v1::{DomainSpec, VirtualMachineInstanceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::Path;

use super::topology::Topology;
use crate::amount;

/// Collects conflicts, and sets what has none.
struct Decider<'a> {
    at: &'a Path,
    conflicts: Vec<Path>,
}

impl Decider<'_> {
    fn conflict(&mut self, field: &str) {
        self.conflicts.push(self.at.child(field));
    }

    /// Sets `own` to what the instance type has; both having one is a conflict.
    fn set<T: Clone>(&mut self, field: &str, own: &mut Option<T>, decided: Option<&T>) {
        let Some(decided) = decided else { return };
        if own.is_some() {
            self.conflict(field);
        } else {
            *own = Some(decided.clone());
        }
    }

    /// As `set`, for lists.
    fn fill<T: Clone>(&mut self, field: &str, own: &mut Vec<T>, decided: &[T]) {
        if decided.is_empty() {
        } else if own.is_empty() {
            *own = decided.to_vec();
        } else {
            self.conflict(field);
        }
    }
}

pub(super) fn apply(
    at: &Path,
    instancetype: &VirtualMachineInstancetypeSpec,
    topology: Topology,
    metadata: &mut ObjectMeta,
    spec: &mut VirtualMachineInstanceSpec,
) -> Vec<Path> {
    let mut decider = Decider { at, conflicts: Vec::new() };
    if !instancetype.node_selector.is_empty() {
        if spec.node_selector.is_empty() {
            spec.node_selector.clone_from(&instancetype.node_selector);
        } else {
            decider.conflict("nodeSelector");
        }
    }
    decider.set("schedulerName", &mut spec.scheduler_name, given(instancetype.scheduler_name.as_ref()));
    let domain = &mut spec.domain;
    processors(&mut decider, instancetype, topology, domain);
    memory(&mut decider, instancetype, domain);
    let policy = given(instancetype.io_threads_policy.as_ref());
    decider.set("domain.ioThreadsPolicy", &mut domain.io_threads_policy, policy);
    decider.set("domain.ioThreads", &mut domain.io_threads, instancetype.io_threads.as_ref());
    let security = instancetype.launch_security.as_ref();
    decider.set("domain.launchSecurity", &mut domain.launch_security, security);
    decider.fill("domain.devices.gpus", &mut domain.devices.gpus, &instancetype.gpus);
    decider.fill("domain.devices.hostDevices", &mut domain.devices.host_devices, &instancetype.host_devices);
    let mut conflicts = decider.conflicts;
    conflicts.extend(annotations(instancetype, metadata));
    conflicts
}

fn given(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.is_empty())
}

fn processors(
    decider: &mut Decider<'_>,
    instancetype: &VirtualMachineInstancetypeSpec,
    topology: Topology,
    domain: &mut DomainSpec,
) {
    let before = decider.conflicts.len();
    for (name, list) in [("requests", &domain.resources.requests), ("limits", &domain.resources.limits)] {
        if list.contains_key("cpu") {
            decider.conflict(&format!("domain.resources.{name}.cpu"));
        }
    }
    let wanted = &instancetype.cpu;
    let cpu = domain.cpu.get_or_insert_default();
    for (name, own) in [("sockets", cpu.sockets), ("cores", cpu.cores), ("threads", cpu.threads)] {
        if own.is_some_and(|count| count > 0) {
            decider.conflict(&format!("domain.cpu.{name}"));
        }
    }
    decider.set("domain.cpu.model", &mut cpu.model, given(wanted.model.as_ref()));
    // The path of this one is spelled as in the instance type: clients know it so.
    let dedicated = wanted.dedicated_cpu_placement.as_ref();
    decider.set("domain.cpu.dedicatedCPUPlacement", &mut cpu.dedicated_cpu_placement, dedicated);
    decider.set("domain.cpu.numa", &mut cpu.numa, wanted.numa.as_ref());
    let isolate = wanted.isolate_emulator_thread.as_ref();
    decider.set("domain.cpu.isolateEmulatorThread", &mut cpu.isolate_emulator_thread, isolate);
    decider.set("domain.cpu.realtime", &mut cpu.realtime, wanted.realtime.as_ref());
    decider.set("domain.cpu.maxSockets", &mut cpu.max_sockets, wanted.max_sockets.as_ref());
    if decider.conflicts.len() == before {
        cpu.sockets = Some(topology.sockets);
        cpu.cores = Some(topology.cores);
        cpu.threads = Some(topology.threads);
    }
}

fn memory(decider: &mut Decider<'_>, instancetype: &VirtualMachineInstancetypeSpec, domain: &mut DomainSpec) {
    let wanted = &instancetype.memory;
    let before = decider.conflicts.len();
    let memory = domain.memory.get_or_insert_default();
    decider.set("domain.memory.guest", &mut memory.guest, Some(&wanted.guest));
    decider.set("domain.memory.hugepages", &mut memory.hugepages, wanted.hugepages.as_ref());
    decider.set("domain.memory.maxGuest", &mut memory.max_guest, wanted.max_guest.as_ref());
    for (name, list) in [("requests", &domain.resources.requests), ("limits", &domain.resources.limits)] {
        if list.contains_key("memory") {
            decider.conflict(&format!("domain.resources.{name}.memory"));
        }
    }
    if decider.conflicts.len() > before {
        return;
    }
    let percent = wanted.overcommit_percent.unwrap_or_default();
    if let Some(guest) = amount::bytes(&wanted.guest).filter(|_| percent > 0) {
        domain.resources.requests.insert("memory".to_owned(), share(guest, percent));
    }
}

/// Returns what is left of an amount after `percent` of it, computed in single precision: clients compare the figure
/// with that of the reference.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "single precision is the point, and the result is between 0 and the amount"
)]
fn share(guest: u64, percent: i32) -> api::quantity::Quantity {
    let left = guest as f32 * (1.0 - percent as f32 / 100.0);
    amount::from_bytes(left.max(0.0) as u64)
}

fn annotations(instancetype: &VirtualMachineInstancetypeSpec, metadata: &mut ObjectMeta) -> Vec<Path> {
    if instancetype.annotations.is_empty() {
        return Vec::new();
    }
    let own = metadata.annotations.get_or_insert_default();
    let mut conflicts = Vec::new();
    for (name, value) in &instancetype.annotations {
        if own.get(name).is_some_and(|known| known != value) {
            conflicts.push(Path::new("annotations").child(name));
        } else {
            own.insert(name.clone(), value.clone());
        }
    }
    conflicts
}
