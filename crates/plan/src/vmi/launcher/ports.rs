//! Ports of the Pod: the ones that its machine's interfaces list, so that Services and policies can name them.

use std::collections::BTreeSet;

use api::kubevirt::v1::VirtualMachineInstance;
use k8s_openapi::api::core::v1::ContainerPort;

/// Lists the ports of all interfaces; `None` when they list none. A name that a Pod's port cannot have (RFC 6335, section
/// 5.1), or that another interface's port has, is left out: the port is open all the same.
pub(super) fn all(vmi: &VirtualMachineInstance) -> Option<Vec<ContainerPort>> {
    let mut named = BTreeSet::new();
    let mut name_of = |name: &Option<String>| {
        name.clone().filter(|name| is_port_name(name)).filter(|name| named.insert(name.clone()))
    };
    let interfaces = vmi.spec.domain.devices.interfaces.iter();
    let ports: Vec<ContainerPort> = interfaces
        .flat_map(|interface| &interface.ports)
        .map(|port| ContainerPort {
            container_port: port.port,
            name: name_of(&port.name),
            protocol: Some(
                port.protocol.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| "TCP".to_owned()),
            ),
            ..ContainerPort::default()
        })
        .collect();
    (!ports.is_empty()).then_some(ports)
}

fn is_port_name(name: &str) -> bool {
    let is_dashed = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    (1..=15).contains(&name.len())
        && name.chars().all(letters)
        && name.contains(|letter: char| letter.is_ascii_lowercase())
        && !is_dashed
}

#[cfg(test)]
mod tests {
    use api::kubevirt::v1::VirtualMachineInstance;

    #[test]
    fn names_that_a_pod_cannot_have_are_left_out() {
        let port = |name: &str| serde_json::json!({"name": name, "port": 80});
        let interfaces = serde_json::json!([
            {"name": "a", "ports": [port("http"), port("a-name-of-many-letters"), port("80"), port("a--b"), {"port": 81}]},
            {"name": "b", "ports": [port("http"), port("https")]},
        ]);
        let vmi: VirtualMachineInstance = serde_json::from_value(serde_json::json!({
            "spec": {"domain": {"devices": {"interfaces": interfaces}}}
        }))
        .unwrap();
        let names: Vec<_> = super::all(&vmi).unwrap().into_iter().map(|port| port.name).collect();
        let expected = [Some("http"), None, None, None, None, None, Some("https")];
        assert_eq!(names, expected.map(|name| name.map(str::to_owned)));
    }
}
