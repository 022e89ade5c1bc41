//! What an instance's Pod asks its node for.
//!
//! Memory beside the guest's own follows the reference's formula, so that placement, quotas and capacity plans
//! come out the same: page tables, supervisor, hypervisor, devices.

use std::collections::BTreeMap;

use api::kubevirt::v1::{DomainSpec, VirtualMachineInstance};
use api::quantity::Quantity;

use crate::amount;
use crate::config::ClusterConfig;

const MI: u64 = 1 << 20;
/// One page-table entry of 8 bytes for each page of 4 KiB.
const BYTES_PER_PAGE_TABLE_BYTE: u64 = 512;
/// Monitor, supervisor, logger, and the two daemons of the reference's launcher, in MiB.
const PROCESSES_MI: u64 = 25 + 100 + 25 + 40 + 30;
const PER_CPU_MI: u64 = 8;
const IO_THREAD_MI: u64 = 8;
const GRAPHICS_MI: u64 = 32;
const ARM64_FIRMWARE_MI: u64 = 128;
const VFIO_MI: u64 = 1024;
const DOWNWARD_METRICS_MI: u64 = 1;
const ONE_EXEC_PROBE_MI: u64 = 110;
const TWO_EXEC_PROBES_MI: u64 = 120;
const ENCRYPTED_MI: u64 = 256;
const TPM_MI: u64 = 53;
const GUARANTEED_MI: u64 = 100;
/// Scratch space of a launcher.
const EPHEMERAL_STORAGE: &str = "50M";

/// Sockets, cores and threads at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Sockets.
    pub sockets: u32,
    /// Cores in each socket.
    pub cores: u32,
    /// Threads in each core.
    pub threads: u32,
}

impl Topology {
    /// Returns the number of virtual processors.
    pub fn count(self) -> u32 {
        self.sockets.saturating_mul(self.cores).saturating_mul(self.threads)
    }
}

/// What a launcher Pod's compute container asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodResources {
    /// Requests by resource name.
    pub requests: BTreeMap<String, Quantity>,
    /// Limits by resource name.
    pub limits: BTreeMap<String, Quantity>,
}

/// Returns the processors of a machine: as given, else from the limit or request of `cpu`, else one.
pub fn topology(domain: &DomainSpec) -> Topology {
    let cpu = domain.cpu.as_ref();
    let given = |value: Option<u32>| value.filter(|value| *value > 0);
    let sockets = given(cpu.and_then(|cpu| cpu.sockets));
    let cores = given(cpu.and_then(|cpu| cpu.cores));
    let threads = given(cpu.and_then(|cpu| cpu.threads));
    if sockets.is_none() && cores.is_none() && threads.is_none() {
        let resources = &domain.resources;
        let asked = resources.limits.get("cpu").or_else(|| resources.requests.get("cpu"));
        let sockets = asked
            .and_then(|asked| amount::exact(asked).ok())
            .and_then(|asked| u32::try_from(asked.ceil()).ok())
            .unwrap_or(1);
        return Topology { sockets: sockets.max(1), cores: 1, threads: 1 };
    }
    Topology { sockets: sockets.unwrap_or(1), cores: cores.unwrap_or(1), threads: threads.unwrap_or(1) }
}

/// Returns the bytes of a guest's memory: as given, else from the request or limit of `memory`, else one huge
/// page.
pub fn guest_memory(domain: &DomainSpec) -> Option<u64> {
    let memory = domain.memory.as_ref();
    let resources = &domain.resources;
    memory
        .and_then(|memory| memory.guest.as_ref())
        .or_else(|| resources.requests.get("memory"))
        .or_else(|| resources.limits.get("memory"))
        .and_then(amount::bytes)
        .filter(|bytes| *bytes > 0)
        .or_else(|| {
            let page = memory?.hugepages.as_ref()?.page_size.as_deref()?;
            amount::bytes(&page.into())
        })
}

/// Returns the bytes that a machine needs beside its guest's memory.
pub fn memory_overhead(vmi: &VirtualMachineInstance, config: &ClusterConfig) -> u64 {
    let domain = &vmi.spec.domain;
    let devices = &domain.devices;
    let guest = guest_memory(domain).unwrap_or(0);
    let mut overhead = guest / BYTES_PER_PAGE_TABLE_BYTE;
    overhead += PROCESSES_MI * MI;
    overhead += u64::from(topology(domain).count()) * PER_CPU_MI * MI;
    overhead += IO_THREAD_MI * MI;
    if devices.autoattach_graphics_device != Some(false) {
        overhead += GRAPHICS_MI * MI;
    }
    if config.architecture(vmi.spec.architecture.as_deref()) == "arm64" {
        overhead += ARM64_FIRMWARE_MI * MI;
    }
    let vfio = !devices.host_devices.is_empty()
        || !devices.gpus.is_empty()
        || devices.interfaces.iter().any(|interface| interface.sriov.is_some());
    if vfio {
        overhead += VFIO_MI * MI;
    }
    if vmi.spec.volumes.iter().any(|volume| volume.downward_metrics.is_some()) {
        overhead += DOWNWARD_METRICS_MI * MI;
    }
    let probes = [&vmi.spec.readiness_probe, &vmi.spec.liveness_probe];
    overhead += match probes
        .iter()
        .filter(|probe| probe.as_ref().is_some_and(|probe| probe.exec.is_some()))
        .count()
    {
        0 => 0,
        1 => ONE_EXEC_PROBE_MI * MI,
        _ => TWO_EXEC_PROBES_MI * MI,
    };
    if domain
        .launch_security
        .as_ref()
        .is_some_and(|security| security.sev.is_some() || security.snp.is_some())
    {
        overhead += ENCRYPTED_MI * MI;
    }
    if devices.tpm.as_ref().is_some_and(|tpm| tpm.enabled != Some(false)) {
        overhead += TPM_MI * MI;
    }
    if dedicated(domain) || guaranteed(domain) {
        overhead += GUARANTEED_MI * MI;
    }
    let reserved = domain.memory.as_ref().and_then(|memory| memory.reserved_overhead.as_ref());
    overhead +=
        reserved.and_then(|reserved| reserved.added_overhead.as_ref()).and_then(amount::bytes).unwrap_or(0);
    (overhead as f64 * config.overhead_ratio) as u64
}

/// Returns what the Pod of an instance asks for.
pub fn pod(vmi: &VirtualMachineInstance, config: &ClusterConfig) -> PodResources {
    let domain = &vmi.spec.domain;
    let mut out = PodResources::default();
    cpu(domain, config, &mut out);
    memory(vmi, config, &mut out);
    out.requests.insert("ephemeral-storage".to_owned(), EPHEMERAL_STORAGE.into());
    for (name, count) in devices(vmi, config) {
        out.requests.insert(name.to_owned(), Quantity(count.to_string()));
        out.limits.insert(name.to_owned(), Quantity(count.to_string()));
    }
    let copied = |name: &&String| !matches!(name.as_str(), "cpu" | "memory");
    for name in domain.resources.requests.keys().filter(copied) {
        out.requests.insert(name.clone(), domain.resources.requests[name].clone());
    }
    for name in domain.resources.limits.keys().filter(copied) {
        out.limits.insert(name.clone(), domain.resources.limits[name].clone());
    }
    out
}

fn cpu(domain: &DomainSpec, config: &ClusterConfig, out: &mut PodResources) {
    let count = u64::from(topology(domain).count());
    if dedicated(domain) {
        let isolated = domain.cpu.as_ref().is_some_and(|cpu| cpu.isolate_emulator_thread == Some(true));
        let whole = Quantity((count + u64::from(isolated)).to_string());
        out.requests.insert("cpu".to_owned(), whole.clone());
        out.limits.insert("cpu".to_owned(), whole);
        return;
    }
    let request = match domain.resources.requests.get("cpu") {
        Some(request) => request.clone(),
        None => amount::from_milli((count * 1000).div_ceil(u64::from(config.cpu_allocation_ratio))),
    };
    out.requests.insert("cpu".to_owned(), request);
    if let Some(limit) = domain.resources.limits.get("cpu") {
        out.limits.insert("cpu".to_owned(), limit.clone());
    }
}

fn memory(vmi: &VirtualMachineInstance, config: &ClusterConfig, out: &mut PodResources) {
    let domain = &vmi.spec.domain;
    let overhead = memory_overhead(vmi, config);
    let guest = guest_memory(domain).unwrap_or(0);
    let counted = if domain.resources.overcommit_guest_overhead == Some(true) { 0 } else { overhead };
    if let Some(page) = domain
        .memory
        .as_ref()
        .and_then(|memory| memory.hugepages.as_ref())
        .and_then(|hugepages| hugepages.page_size.as_deref())
    {
        let name = format!("hugepages-{page}");
        out.requests.insert(name.clone(), amount::from_bytes(guest));
        out.limits.insert(name, amount::from_bytes(guest));
        out.requests.insert("memory".to_owned(), amount::from_bytes(overhead));
        if domain.resources.limits.contains_key("memory") {
            out.limits.insert("memory".to_owned(), amount::from_bytes(overhead));
        }
        return;
    }
    let asked = domain
        .resources
        .requests
        .get("memory")
        .and_then(amount::bytes)
        .unwrap_or_else(|| guest.saturating_mul(100) / u64::from(config.memory_overcommit));
    out.requests.insert("memory".to_owned(), amount::from_bytes(asked + counted));
    if let Some(limit) = domain.resources.limits.get("memory").and_then(amount::bytes) {
        out.limits.insert("memory".to_owned(), amount::from_bytes(limit + overhead));
    }
}

/// Devices of the node that the machine opens: the accelerator, taps, the kernel's network back end.
fn devices(vmi: &VirtualMachineInstance, config: &ClusterConfig) -> Vec<(&'static str, u32)> {
    let mut out = Vec::new();
    if !config.use_emulation {
        out.push(("devices.kubevirt.io/kvm", 1));
    }
    let devices = &vmi.spec.domain.devices;
    let tapped = devices.interfaces.iter().any(|interface| interface.sriov.is_none());
    if tapped {
        out.push(("devices.kubevirt.io/tun", 1));
    }
    let virtio = devices
        .interfaces
        .iter()
        .any(|nic| nic.sriov.is_none() && matches!(nic.model.as_deref(), None | Some("" | "virtio")));
    if virtio && !config.use_emulation {
        out.push(("devices.kubevirt.io/vhost-net", 1));
    }
    out
}

fn dedicated(domain: &DomainSpec) -> bool {
    domain.cpu.as_ref().is_some_and(|cpu| cpu.dedicated_cpu_placement == Some(true))
}

/// Returns whether requests and limits make the Pod one whose resources are guaranteed.
fn guaranteed(domain: &DomainSpec) -> bool {
    let resources = &domain.resources;
    ["cpu", "memory"].iter().all(|name| {
        let equal = |request: &Quantity, limit: &Quantity| {
            matches!((amount::exact(request), amount::exact(limit)), (Ok(request), Ok(limit)) if request == limit)
        };
        match (resources.requests.get(*name), resources.limits.get(*name)) {
            (Some(request), Some(limit)) => equal(request, limit),
            (None, Some(_)) => true,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn instance(domain: serde_json::Value) -> VirtualMachineInstance {
        serde_json::from_value(json!({"spec": {"domain": domain}})).unwrap()
    }

    #[test]
    fn overhead_follows_the_formula() {
        let vmi = instance(json!({"devices": {}, "memory": {"guest": "1Gi"}, "cpu": {"cores": 2}}));
        let config = ClusterConfig::default();
        assert_eq!(memory_overhead(&vmi, &config), 2 * MI + (220 + 16 + 8 + 32) * MI);
        let headless = instance(json!({
            "devices": {"autoattachGraphicsDevice": false, "tpm": {}}, "memory": {"guest": "512Mi"},
        }));
        assert_eq!(memory_overhead(&headless, &config), MI + (220 + 8 + 8 + 53) * MI);
    }

    #[test]
    fn a_pod_asks_for_guest_and_overhead() {
        let vmi = instance(json!({
            "devices": {"interfaces": [{"name": "default", "masquerade": {}}]},
            "memory": {"guest": "512Mi"}, "resources": {"limits": {"memory": "1Gi"}},
        }));
        let pod = pod(&vmi, &ClusterConfig::default());
        let overhead = memory_overhead(&vmi, &ClusterConfig::default()) / MI;
        assert_eq!(pod.requests["memory"].as_str(), format!("{}Mi", 512 + overhead));
        assert_eq!(pod.limits["memory"].as_str(), format!("{}Mi", 1024 + overhead));
        assert_eq!(pod.requests["cpu"].as_str(), "100m");
        assert_eq!(pod.requests["devices.kubevirt.io/kvm"].as_str(), "1");
        assert_eq!(pod.limits["devices.kubevirt.io/tun"].as_str(), "1");
    }

    #[test]
    fn processors_come_from_topology_or_resources() {
        for (domain, sockets, cores, threads) in [
            (json!({"devices": {}}), 1, 1, 1),
            (json!({"devices": {}, "resources": {"limits": {"cpu": "2500m"}}}), 3, 1, 1),
            (json!({"devices": {}, "cpu": {"cores": 4}, "resources": {"limits": {"cpu": 2}}}), 1, 4, 1),
            (json!({"devices": {}, "cpu": {"sockets": 2, "threads": 2}}), 2, 1, 2),
        ] {
            assert_eq!(topology(&instance(domain).spec.domain), Topology { sockets, cores, threads });
        }
    }

    #[test]
    fn huge_pages_are_asked_for_by_size() {
        let vmi =
            instance(json!({"devices": {}, "memory": {"guest": "64Mi", "hugepages": {"pageSize": "2Mi"}}}));
        let pod = pod(&vmi, &ClusterConfig::default());
        assert_eq!(pod.limits["hugepages-2Mi"].as_str(), "64Mi");
    }
}
