//! How many processors and how much memory a specification asks for, whichever of its fields says so.
//!
//! What the Pod requests of its node on top of that is `plan`'s: see its `vmi::launcher`.

use api::kubevirt::v1::DomainSpec;

use crate::amount;

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

#[cfg(test)]
mod tests {
    use super::*;
    use api::kubevirt::v1::VirtualMachineInstance;
    use serde_json::json;

    fn instance(domain: serde_json::Value) -> VirtualMachineInstance {
        serde_json::from_value(json!({"spec": {"domain": domain}})).unwrap()
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
    fn memory_comes_from_the_guest_the_resources_or_a_huge_page() {
        for (domain, bytes) in [
            (json!({"devices": {}}), None),
            (
                json!({"devices": {}, "memory": {"guest": "64Mi"}, "resources": {"requests": {"memory": "1Gi"}}}),
                Some(64 << 20),
            ),
            (json!({"devices": {}, "resources": {"limits": {"memory": "1Gi"}}}), Some(1 << 30)),
            (json!({"devices": {}, "memory": {"hugepages": {"pageSize": "2Mi"}}}), Some(2 << 20)),
        ] {
            assert_eq!(guest_memory(&instance(domain).spec.domain), bytes);
        }
    }
}
