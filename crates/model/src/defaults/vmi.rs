//! What admission adds to a `VirtualMachineInstance`.

use api::kubevirt::v1::{
    CPUTopology, DomainSpec, MemoryStatus, VirtualMachineInstance,
    VirtualMachineInstancePhaseTransitionTimestamp, VirtualMachineInstanceSpec,
};
use api::names::{finalizer, phase};

use super::{Fresh, devices, hyperv, network, timers};
use crate::amount;
use crate::config::ClusterConfig;
use crate::resources;

/// User that runs hypervisors.
const HYPERVISOR_USER: u64 = 107;
/// Smallest guest whose memory may grow while it runs.
const MIN_HOTPLUG_GUEST: u64 = 1 << 30;
/// Guest memory grows in blocks of this size.
const HOTPLUG_BLOCK: u64 = 2 << 20;

/// Fills in a new instance.
pub fn vmi(vmi: &mut VirtualMachineInstance, config: &ClusterConfig, fresh: &Fresh) {
    let spec = &mut vmi.spec;
    if super::is_empty(spec.architecture.as_deref()) {
        spec.architecture = Some(config.default_architecture.clone());
    }
    let architecture = config.architecture(spec.architecture.as_deref()).to_owned();
    let machine = spec.domain.machine.get_or_insert_default();
    if super::is_empty(machine.type_.as_deref()) {
        machine.type_ = Some(config.machine_type(&architecture).to_owned());
    }
    let firmware = spec.domain.firmware.get_or_insert_default();
    if super::is_empty(firmware.uuid.as_deref()) {
        firmware.uuid = Some(fresh.uuid.clone());
    }
    requests(&mut spec.domain, config);
    guest_memory(&mut spec.domain);
    topology(&mut spec.domain);
    processor_model(&mut spec.domain, config, &architecture);
    network::fill(spec, config);
    devices::fill(spec, &architecture);
    features(&mut spec.domain, &architecture);
    if architecture == "arm64" {
        let firmware = spec.domain.firmware.get_or_insert_default();
        let loader = firmware.bootloader.get_or_insert_default();
        if loader.bios.is_none() && loader.efi.is_none() {
            let efi = loader.efi.get_or_insert_default();
            efi.secure_boot = Some(false);
        }
    }
    timers::fill(&mut spec.domain);
    timers::probes(spec);
    if super::is_empty(spec.eviction_strategy.as_deref()) {
        spec.eviction_strategy = Some(config.eviction_strategy.clone());
    }
    if config.live_update && architecture != "arm64" {
        hotplug_bounds(&mut spec.domain, config);
    }
    super::omit_zeros(spec);

    let machine = super::machine_type(&vmi.spec).to_owned();
    super::mark_pci_topology(&mut vmi.metadata, &machine);
    let finalizers = vmi.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|own| own == finalizer::INSTANCE) {
        finalizers.push(finalizer::INSTANCE.to_owned());
    }
    first_status(vmi, fresh);
}

/// Fills in what a machine shows once it is expanded: what its instance would ask for, but nothing that is chosen anew
/// for each instance.
pub fn expanded(spec: &mut VirtualMachineInstanceSpec, config: &ClusterConfig) {
    requests(&mut spec.domain, config);
    devices::pull_policies(spec);
    if super::is_empty(spec.eviction_strategy.as_deref()) {
        spec.eviction_strategy = Some(config.eviction_strategy.clone());
    }
}

/// Returns the memory of an instance as its status tells it before the machine runs.
pub fn status_memory(domain: &DomainSpec) -> Option<MemoryStatus> {
    let guest = domain.memory.as_ref().and_then(|memory| memory.guest.clone())?;
    Some(MemoryStatus {
        guest_at_boot: Some(guest.clone()),
        guest_current: Some(guest.clone()),
        guest_requested: Some(guest),
        ..MemoryStatus::default()
    })
}

/// A new instance is pending, whatever else its creator says of it.
fn first_status(vmi: &mut VirtualMachineInstance, fresh: &Fresh) {
    let domain = &vmi.spec.domain;
    let status = vmi.status.get_or_insert_default();
    status.phase = Some(phase::PENDING.to_owned());
    status.phase_transition_timestamps = vec![VirtualMachineInstancePhaseTransitionTimestamp {
        phase: Some(phase::PENDING.to_owned()),
        phase_transition_timestamp: Some(fresh.now.clone()),
    }];
    status.runtime_user = Some(HYPERVISOR_USER);
    status.memory = status_memory(domain);
    status.current_cpu_topology = domain.cpu.as_ref().map(|cpu| CPUTopology {
        cores: cpu.cores,
        sockets: cpu.sockets,
        threads: cpu.threads,
    });
}

/// A processor limit without a request asks for that much, as Kubernetes has it; the memory request stays open.
fn requests(domain: &mut DomainSpec, config: &ClusterConfig) {
    let dedicated = domain.cpu.as_ref().is_some_and(|cpu| cpu.dedicated_cpu_placement == Some(true));
    let resources = &mut domain.resources;
    if resources.requests.contains_key("cpu") {
        return;
    }
    if let Some(limit) = resources.limits.get("cpu") {
        resources.requests.insert("cpu".to_owned(), limit.clone());
    } else if let Some(request) = config.cpu_request.as_ref().filter(|_| !dedicated) {
        resources.requests.insert("cpu".to_owned(), request.clone());
    }
}

fn guest_memory(domain: &mut DomainSpec) {
    if domain.memory.as_ref().is_some_and(|memory| memory.guest.is_some()) {
        return;
    }
    let resources = &domain.resources;
    let page = domain.memory.as_ref().and_then(|memory| memory.hugepages.as_ref());
    let guest = resources
        .requests
        .get("memory")
        .or_else(|| resources.limits.get("memory"))
        .cloned()
        .or_else(|| page.and_then(|page| page.page_size.as_deref()).map(Into::into));
    if let Some(guest) = guest {
        domain.memory.get_or_insert_default().guest = Some(guest);
    }
}

fn topology(domain: &mut DomainSpec) {
    let computed = resources::topology(domain);
    let cpu = domain.cpu.get_or_insert_default();
    let open = [cpu.sockets, cpu.cores, cpu.threads].iter().all(|part| part.is_none_or(|part| part == 0));
    if open {
        cpu.sockets = Some(computed.sockets);
        cpu.cores = Some(computed.cores);
        cpu.threads = Some(computed.threads);
    }
}

fn processor_model(domain: &mut DomainSpec, config: &ClusterConfig, architecture: &str) {
    let cpu = domain.cpu.get_or_insert_default();
    if super::is_empty(cpu.model.as_deref()) {
        let usual = if architecture == "arm64" { "host-passthrough" } else { "host-model" };
        cpu.model = Some(config.cpu_model.clone().unwrap_or_else(|| usual.to_owned()));
    }
}

fn features(domain: &mut DomainSpec, architecture: &str) {
    let features = domain.features.get_or_insert_default();
    if features.acpi.enabled.is_none() {
        features.acpi.enabled = Some(architecture != "s390x");
    }
    for state in [&mut features.smm, &mut features.pvspinlock].into_iter().flatten() {
        state.enabled.get_or_insert(true);
    }
    if let Some(apic) = &mut features.apic {
        apic.enabled.get_or_insert(true);
    }
    if let Some(hyperv) = &mut features.hyperv {
        let needs_vmx = hyperv::fill(hyperv);
        if needs_vmx {
            hyperv::require_vmx(domain);
        }
    }
}

fn hotplug_bounds(domain: &mut DomainSpec, config: &ClusterConfig) {
    if let Some(cpu) = &mut domain.cpu
        && cpu.max_sockets.is_none_or(|sockets| sockets == 0)
        && let Some(sockets) = cpu.sockets.filter(|sockets| *sockets > 0)
    {
        let per_socket = cpu.cores.unwrap_or(1).max(1).saturating_mul(cpu.threads.unwrap_or(1).max(1));
        cpu.max_sockets = Some(config.max_sockets(sockets, per_socket));
    }
    let fixed = domain.cpu.as_ref().is_some_and(|cpu| {
        cpu.realtime.is_some()
            || cpu.numa.as_ref().is_some_and(|numa| numa.guest_mapping_passthrough.is_some())
    }) || domain.launch_security.is_some();
    let Some(memory) = domain.memory.as_mut().filter(|memory| memory.max_guest.is_none()) else {
        return;
    };
    let Some(guest) = memory.guest.as_ref().and_then(amount::bytes) else {
        return;
    };
    if fixed || guest < MIN_HOTPLUG_GUEST || !guest.is_multiple_of(HOTPLUG_BLOCK) {
        return;
    }
    let most = config.max_guest(guest);
    if most > guest {
        memory.max_guest = Some(amount::from_bytes(most));
    }
}
