//! The interface of an instance that names none.

use api::kubevirt::v1::{Interface, Network, VirtualMachineInstanceSpec};

use crate::config::ClusterConfig;

/// Name of the network and interface that are added.
const DEFAULT: &str = "default";

/// Adds the Pod's network where neither networks nor interfaces are given, unless the author declined.
pub(super) fn fill(spec: &mut VirtualMachineInstanceSpec, config: &ClusterConfig) {
    let devices = &mut spec.domain.devices;
    if devices.autoattach_pod_interface == Some(false)
        || !devices.interfaces.is_empty()
        || !spec.networks.is_empty()
    {
        return;
    }
    let mut interface = Interface { name: DEFAULT.to_owned(), ..Interface::default() };
    if config.default_network_interface == "masquerade" {
        interface.masquerade = Some(api::kubevirt::v1::InterfaceMasquerade {});
    } else {
        interface.bridge = Some(api::kubevirt::v1::InterfaceBridge {});
    }
    devices.interfaces.push(interface);
    spec.networks.push(Network {
        name: DEFAULT.to_owned(),
        pod: Some(api::kubevirt::v1::PodNetwork::default()),
        ..Network::default()
    });
}
