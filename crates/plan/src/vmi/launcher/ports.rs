//! Ports of the Pod: the ones that its machine's interfaces list, so that Services and policies can name them.

use api::kubevirt::v1::VirtualMachineInstance;
use k8s_openapi::api::core::v1::ContainerPort;

/// Lists the ports of all interfaces; `None` when they list none.
pub(super) fn all(vmi: &VirtualMachineInstance) -> Option<Vec<ContainerPort>> {
    let interfaces = vmi.spec.domain.devices.interfaces.iter();
    let ports: Vec<ContainerPort> = interfaces
        .flat_map(|interface| &interface.ports)
        .map(|port| ContainerPort {
            container_port: port.port,
            name: port.name.clone().filter(|name| !name.is_empty()),
            protocol: Some(
                port.protocol.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| "TCP".to_owned()),
            ),
            ..ContainerPort::default()
        })
        .collect();
    (!ports.is_empty()).then_some(ports)
}
