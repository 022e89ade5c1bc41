//! One row for each node and machine, for tables and for programs.

use api::kubevirt::v1::{VirtualMachine, VirtualMachineInstance};
use k8s_openapi::api::core::v1::Node;
use kube_ext::Kind as _;
use serde::Serialize;

/// Header of [`NodeRow::cells`].
pub(super) const NODE: [&str; 5] = ["NODE", "READY", "ADDRESS", "CPU", "MEMORY"];
/// Header of [`MachineRow::cells`].
pub(super) const MACHINE: [&str; 7] =
    ["NAMESPACE", "VIRTUAL MACHINE", "STATUS", "NODE", "ADDRESSES", "GUEST MEMORY", "HOST MEMORY"];
/// Columns of [`MACHINE`] that a narrow terminal goes without, the first to go first.
pub(super) const DISPENSABLE: [usize; 4] = [6, 3, 5, 4];

/// A node.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeRow {
    name: String,
    /// `True`, `False` or `unknown`.
    ready: String,
    address: String,
    cpu: String,
    memory: String,
}

impl NodeRow {
    pub(super) fn cells(&self) -> Vec<String> {
        [&self.name, &self.ready, &self.address, &self.cpu, &self.memory].map(Clone::clone).to_vec()
    }
}

/// A machine, or an instance without one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MachineRow {
    namespace: String,
    name: String,
    /// The one word for people.
    pub(super) status: String,
    node: String,
    addresses: Vec<String>,
    guest_memory: String,
    /// What the processes of its Pods hold on this machine.
    host_memory: String,
}

impl MachineRow {
    pub(super) fn cells(&self) -> Vec<String> {
        let addresses = self.addresses.join(",");
        let (guest, host) = (&self.guest_memory, &self.host_memory);
        [&self.namespace, &self.name, &self.status, &self.node, &addresses, guest, host]
            .map(Clone::clone)
            .to_vec()
    }
}

/// The row of a node.
pub(super) fn node(node: &Node) -> NodeRow {
    let status = node.status.as_ref();
    let ready = status
        .and_then(|status| status.conditions.as_ref()?.iter().find(|condition| condition.type_ == "Ready"))
        .map_or_else(|| "unknown".to_owned(), |condition| condition.status.clone());
    let address = status.and_then(|status| Some(status.addresses.as_ref()?.first()?.address.clone()));
    let capacity = |resource: &str| {
        status.and_then(|status| Some(status.capacity.as_ref()?.get(resource)?.0.clone())).unwrap_or_default()
    };
    let memory = capacity("memory").strip_suffix("Ki").and_then(|kib| kib.parse().ok()).map(mebibytes);
    NodeRow {
        name: node.name().to_owned(),
        ready,
        address: address.unwrap_or_default(),
        cpu: capacity("cpu"),
        memory: memory.unwrap_or_default(),
    }
}

/// The rows of all machines, and of instances without one. `held` tells the memory of an instance's processes in KiB.
pub(super) fn machines(
    machines: &[VirtualMachine],
    instances: &[VirtualMachineInstance],
    held: &dyn Fn(&VirtualMachineInstance) -> Option<u64>,
) -> Vec<MachineRow> {
    let same = |machine: &VirtualMachine, instance: &VirtualMachineInstance| {
        machine.name() == instance.name() && machine.namespace() == instance.namespace()
    };
    let mut rows: Vec<_> = machines
        .iter()
        .map(|machine| {
            let instance = instances.iter().find(|instance| same(machine, instance));
            let status = machine.status.as_ref().and_then(|status| status.printable_status.clone());
            row(machine.namespace(), machine.name(), status.unwrap_or_default(), instance, held)
        })
        .collect();
    let alone = instances.iter().filter(|instance| !machines.iter().any(|machine| same(machine, instance)));
    rows.extend(alone.map(|instance| {
        let phase = instance.status.as_ref().and_then(|status| status.phase.clone());
        row(instance.namespace(), instance.name(), phase.unwrap_or_default(), Some(instance), held)
    }));
    rows.sort();
    rows
}

fn row(
    namespace: &str,
    name: &str,
    word: String,
    instance: Option<&VirtualMachineInstance>,
    held: &dyn Fn(&VirtualMachineInstance) -> Option<u64>,
) -> MachineRow {
    let status = instance.and_then(|instance| instance.status.as_ref());
    let mut addresses: Vec<String> = Vec::new();
    for interface in status.into_iter().flat_map(|status| &status.interfaces) {
        let all = interface.ip_addresses.iter().chain(&interface.ip_address);
        for address in all.filter(|address| !address.is_empty()) {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
    }
    let guest = status.and_then(|status| status.memory.as_ref()?.guest_current.clone());
    MachineRow {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        status: word,
        node: status.and_then(|status| status.node_name.clone()).unwrap_or_default(),
        addresses,
        guest_memory: guest.map(|amount| amount.0).unwrap_or_default(),
        host_memory: instance.and_then(held).map(mebibytes).unwrap_or_default(),
    }
}

fn mebibytes(kib: u64) -> String {
    format!("{}Mi", kib / 1024)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn machines_stopped_running_and_without_a_machine_object_each_have_a_row() {
        let list: Vec<VirtualMachine> = serde_json::from_value(json!([
            {"metadata": {"namespace": "default", "name": "web"}, "status": {"printableStatus": "Running"}},
            {"metadata": {"namespace": "default", "name": "off"}, "status": {"printableStatus": "Stopped"}},
        ]))
        .unwrap();
        let instances: Vec<VirtualMachineInstance> = serde_json::from_value(json!([
            {"metadata": {"namespace": "default", "name": "web"}, "status": {
                "nodeName": "node-0", "memory": {"guestCurrent": "128Mi"},
                "interfaces": [{"ipAddress": "10.244.0.2", "ipAddresses": ["10.244.0.2", "fd00::2"]}],
            }},
            {"metadata": {"namespace": "default", "name": "bare"}, "status": {"phase": "Scheduling"}},
        ]))
        .unwrap();
        let held = |instance: &VirtualMachineInstance| (instance.name() == "web").then_some(200 * 1024);
        let rows = machines(&list, &instances, &held);
        assert_eq!(
            rows.iter().map(MachineRow::cells).collect::<Vec<_>>(),
            [
                vec!["default", "bare", "Scheduling", "", "", "", ""],
                vec!["default", "off", "Stopped", "", "", "", ""],
                vec!["default", "web", "Running", "node-0", "10.244.0.2,fd00::2", "128Mi", "200Mi"],
            ]
        );
    }
}
