//! What the launcher Pod asks a node for: processors, memory with the hypervisor's share, devices.

use std::collections::BTreeMap;

use api::kubevirt::v1::VirtualMachineInstance;
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use machinery::quantity::Quantity;
use model::resources::{guest_memory, topology};

use super::Config;

const MI: u64 = 1024 * 1024;
/// Memory of everything in a launcher Pod that does not depend on the machine, in MiB: shim and launcher, and the hypervisor
/// with what it translates where guests are emulated. The reference counts 220 here, for a monitor, a launcher and two daemons
/// that this one does not have; `bench memory` measures what is needed, which is less than 60.
const FIXED: u64 = 10 + 70;
/// Memory on top of that where what is counted is also a hard limit, in MiB: a guest that works hard is not to be killed for
/// what `bench memory` has not seen. Together they are what the reference counts.
const HEADROOM: u64 = 140;
/// Memory per virtual processor and for I/O, in MiB.
const PER_CPU: u64 = 8;
/// Memory of a graphics device, in MiB.
const GRAPHICS: u64 = 32;
/// Memory of a TPM's emulator, in MiB.
const TPM: u64 = 53;
/// Memory that machines with dedicated resources get on top, in MiB.
const DEDICATED: u64 = 100;
/// Memory of probes that run programs of the guest: of all of them, and of each, in MiB.
const PROBES: u64 = 100;
const PER_PROBE: u64 = 10;
/// What the launcher writes below its root, as a request.
const EPHEMERAL_STORAGE: &str = "50M";
/// Smallest processor request, in thousandths.
const LEAST_CPU: u64 = 100;

/// Returns the hypervisor's and launcher's share of memory in bytes.
pub fn overhead(vmi: &VirtualMachineInstance) -> u64 {
    let domain = &vmi.spec.domain;
    let requested = listed(&domain.resources.requests, "memory").unwrap_or(0);
    let mut overhead =
        requested / 512 + FIXED.saturating_add(PER_CPU.saturating_mul(vcpus(vmi) + 1)).saturating_mul(MI);
    if domain.devices.autoattach_graphics_device != Some(false) {
        overhead += GRAPHICS * MI;
    }
    if domain.devices.tpm.as_ref().is_some_and(|tpm| tpm.enabled != Some(false)) {
        overhead += TPM * MI;
    }
    if is_dedicated(vmi) {
        overhead += DEDICATED * MI;
    }
    let runs_programs = [&vmi.spec.readiness_probe, &vmi.spec.liveness_probe]
        .into_iter()
        .flatten()
        .filter(|p| p.exec.is_some());
    overhead += match runs_programs.count() as u64 {
        0 => 0,
        probes => (PROBES + PER_PROBE * probes) * MI,
    };
    let reserved = domain.memory.as_ref().and_then(|memory| memory.reserved_overhead.as_ref());
    let added = reserved.and_then(|reserved| reserved.added_overhead.as_ref());
    overhead.saturating_add(added.and_then(|added| bytes(added.as_str())).unwrap_or(0))
}

/// Returns how much of what is needed beside the guest's memory is counted.
fn scaled(bytes: u64, vmi: &VirtualMachineInstance, config: &Config) -> u64 {
    let free = vmi.spec.domain.resources.overcommit_guest_overhead == Some(true);
    if free { 0 } else { (bytes as f64 * config.overhead_ratio) as u64 }
}

/// Returns what the `compute` container requests and is limited to.
pub(super) fn requirements(vmi: &VirtualMachineInstance, config: &Config) -> ResourceRequirements {
    let domain = &vmi.spec.domain;
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    let copied = |list: &BTreeMap<String, api::quantity::Quantity>| -> BTreeMap<String, ApiQuantity> {
        list.iter().map(|(name, value)| (name.clone(), ApiQuantity(value.0.clone()))).collect()
    };
    requests.extend(copied(&domain.resources.requests));
    limits.extend(copied(&domain.resources.limits));

    let dedicated = is_dedicated(vmi);
    if dedicated {
        let whole = ApiQuantity(vcpus(vmi).to_string());
        requests.insert("cpu".to_owned(), whole.clone());
        limits.insert("cpu".to_owned(), whole);
    } else {
        requests.entry("cpu".to_owned()).or_insert_with(|| cpu_share(vmi, config));
    }

    let headroom = scaled(HEADROOM * MI, vmi, config);
    let overhead = scaled(overhead(vmi), vmi, config) + if dedicated { headroom } else { 0 };
    let hugepages =
        domain.memory.as_ref().and_then(|m| m.hugepages.as_ref()).and_then(|h| h.page_size.as_ref());
    let guest = guest_memory(domain).unwrap_or(0);
    let memory = if let Some(size) = hugepages {
        let pages = ApiQuantity(Quantity::from_bytes(guest).canonical());
        requests.insert(format!("hugepages-{size}"), pages.clone());
        limits.insert(format!("hugepages-{size}"), pages);
        limits.remove("memory");
        overhead
    } else {
        let overcommitted = || guest.saturating_mul(100) / u64::from(config.memory_overcommit.max(1));
        listed(&domain.resources.requests, "memory").unwrap_or_else(overcommitted).saturating_add(overhead)
    };
    let memory_requested = memory;
    let memory = ApiQuantity(Quantity::from_bytes(memory_requested).canonical());
    requests.insert("memory".to_owned(), memory.clone());
    if dedicated {
        limits.insert("memory".to_owned(), memory);
    } else if let Some(limit) = listed(&domain.resources.limits, "memory").filter(|_| hugepages.is_none()) {
        limits.insert(
            "memory".to_owned(),
            ApiQuantity(Quantity::from_bytes(limit.saturating_add(overhead + headroom)).canonical()),
        );
    }
    let automatic = &config.automatic_limits;
    if automatic.cpu {
        let whole = ApiQuantity(vcpus(vmi).to_string());
        // No less than what is asked for: a Pod like that is refused.
        let amount = |cpu: &ApiQuantity| Quantity::parse(&cpu.0).map_or(0.0, |cpu| cpu.as_f64());
        let asked = requests.get("cpu").filter(|asked| amount(asked) > amount(&whole)).cloned();
        limits.entry("cpu".to_owned()).or_insert_with(|| asked.unwrap_or(whole));
    }
    if let Some(ratio) = automatic.memory {
        let limit = Quantity::from_bytes((memory_requested as f64 * ratio) as u64).canonical();
        limits.entry("memory".to_owned()).or_insert(ApiQuantity(limit));
    }
    requests.insert("ephemeral-storage".to_owned(), ApiQuantity(EPHEMERAL_STORAGE.to_owned()));
    for device in devices(vmi, config) {
        requests.insert(device.to_owned(), ApiQuantity("1".to_owned()));
        limits.insert(device.to_owned(), ApiQuantity("1".to_owned()));
    }
    ResourceRequirements { claims: None, limits: Some(limits), requests: Some(requests) }
}

/// Says why no node can have the launcher Pod: it asks for more memory than it may use.
pub fn misfit(vmi: &VirtualMachineInstance, config: &Config) -> Option<String> {
    let requirements = requirements(vmi, config);
    let of = |list: &Option<BTreeMap<String, ApiQuantity>>| bytes(&list.as_ref()?.get("memory")?.0);
    let headroom = scaled(HEADROOM * MI, vmi, config);
    let too_much = of(&requirements.requests)?.saturating_add(headroom) > of(&requirements.limits)?;
    model::fields::memory_limit("spec", &vmi.spec).filter(|_| too_much)
}

/// Returns what a sidecar without work of its own requests and is limited to.
pub(super) fn sidecar() -> ResourceRequirements {
    let list = |cpu: &str, memory: &str| {
        Some(BTreeMap::from([
            ("cpu".to_owned(), ApiQuantity(cpu.to_owned())),
            ("memory".to_owned(), ApiQuantity(memory.to_owned())),
        ]))
    };
    ResourceRequirements { claims: None, limits: list("15m", "60M"), requests: list("5m", "35M") }
}

/// Device resources by which a node shows that it can run the machine.
fn devices(vmi: &VirtualMachineInstance, config: &Config) -> Vec<&'static str> {
    let devices = &vmi.spec.domain.devices;
    let mut wanted = Vec::new();
    if !config.use_emulation {
        wanted.push("devices.kubevirt.io/kvm");
    }
    let by_default = devices.interfaces.is_empty()
        && vmi.spec.networks.is_empty()
        && devices.autoattach_pod_interface != Some(false);
    let tapped = devices.interfaces.iter().any(|interface| interface.sriov.is_none());
    if by_default || tapped {
        wanted.push("devices.kubevirt.io/tun");
    }
    let virtio =
        |model: Option<&str>| matches!(model, None | Some("" | "virtio" | "virtio-non-transitional"));
    let paravirtual =
        by_default || devices.interfaces.iter().any(|i| i.sriov.is_none() && virtio(i.model.as_deref()));
    if !config.use_emulation && paravirtual {
        wanted.push("devices.kubevirt.io/vhost-net");
    }
    wanted
}

fn cpu_share(vmi: &VirtualMachineInstance, config: &Config) -> ApiQuantity {
    let milli = vcpus(vmi) * 1000 / u64::from(config.cpu_allocation_ratio.max(1));
    ApiQuantity(Quantity::from_milli(milli.max(LEAST_CPU) as i64).canonical())
}

fn vcpus(vmi: &VirtualMachineInstance) -> u64 {
    u64::from(topology(&vmi.spec.domain).count())
}

fn is_dedicated(vmi: &VirtualMachineInstance) -> bool {
    vmi.spec.domain.cpu.as_ref().and_then(|cpu| cpu.dedicated_cpu_placement) == Some(true)
}

fn listed(list: &BTreeMap<String, api::quantity::Quantity>, name: &str) -> Option<u64> {
    list.get(name).and_then(|text| bytes(text.as_str()))
}

fn bytes(text: &str) -> Option<u64> {
    Quantity::parse(text).ok().map(|quantity| quantity.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_pod_that_asks_for_more_than_it_may_use_is_not_tried() {
        let told = |resources: Value, overcommit: u32| {
            let domain = json!({"memory": {"guest": "128Mi"}, "devices": {}, "resources": resources});
            let vmi = serde_json::from_value(json!({"spec": {"domain": domain}})).unwrap();
            misfit(&vmi, &Config { memory_overcommit: overcommit, ..Config::default() })
        };
        let low = json!({"limits": {"memory": "64Mi"}});
        let why = told(low.clone(), 100).unwrap();
        assert!(why.contains("limits.memory is 64Mi") && why.contains("raise it to 128Mi"), "{why}");
        // Here the Pod can be had, and it may be that its guest never uses all.
        assert_eq!(told(low, 200), None);
        assert_eq!(told(json!({"requests": {"memory": "32Mi"}, "limits": {"memory": "64Mi"}}), 100), None);
        assert_eq!(told(json!({"limits": {"memory": "128Mi"}}), 100), None);
    }
}
