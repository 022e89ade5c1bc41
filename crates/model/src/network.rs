//! What an instance asks of its network, for the node's agent to prepare.

use std::net::{Ipv4Addr, Ipv6Addr};

use api::kubevirt::v1::{DHCPOptions, Interface, Network, VirtualMachineInstance};
use wire::machine::DhcpOption;

use crate::record::RecordError;

/// Network between a Pod and the machine behind it, where the instance names none.
pub const DEFAULT_NETWORK: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 0, 2, 0), 24);

/// The same for IPv6.
pub const DEFAULT_NETWORK6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd10, 0, 2, 0, 0, 0, 0, 0), 120);

/// Domain of the cluster's own names.
const CLUSTER_DOMAIN: &str = "cluster.local";

/// DHCP option: NTP servers.
const NTP_SERVERS: u8 = 42;
/// DHCP option: name of the TFTP server.
const TFTP_SERVER_NAME: u8 = 66;
/// DHCP option: name of the boot file.
const BOOT_FILE_NAME: u8 = 67;

/// A port that the Pod's address forwards to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedPort {
    /// Whether it is UDP; TCP otherwise.
    pub udp: bool,
    /// The port.
    pub port: u16,
}

/// The interface on the Pod's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodInterface {
    /// Name of the interface.
    pub interface: String,
    /// Whose the Pod's address is.
    pub binding: Binding,
    /// Host name for the guest.
    pub hostname: String,
    /// Further DHCP options.
    pub dhcp_options: Vec<DhcpOption>,
}

/// Whose the Pod's address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The Pod's; the machine stands behind it.
    Masquerade {
        /// Network between Pod and machine: its first host is the gateway, its second the machine.
        network: (Ipv4Addr, u8),
        /// The same for IPv6, which is used where the Pod has such an address.
        network6: (Ipv6Addr, u8),
        /// Ports to forward; empty forwards everything.
        ports: Vec<ForwardedPort>,
    },
    /// The machine's. Its ports are all reached, whether the interface lists them or not.
    Bridge,
}

/// Returns the interface on the Pod's network, if there is one.
pub fn pod_interface(vmi: &VirtualMachineInstance) -> Result<Option<PodInterface>, RecordError> {
    let interfaces = vmi.spec.domain.devices.interfaces.iter().enumerate();
    for (index, interface) in interfaces {
        if interface.state.as_deref() == Some("absent") {
            continue;
        }
        let network =
            vmi.spec.networks.iter().enumerate().find(|(_, network)| network.name == interface.name);
        let binding = if interface.masquerade.is_some() {
            let (network, network6) = match network {
                Some((index, network)) => (range(network, index)?, range6(network, index)?),
                None => (DEFAULT_NETWORK, DEFAULT_NETWORK6),
            };
            Binding::Masquerade { network, network6, ports: ports(interface, index)? }
        } else if interface.bridge.is_some() && network.is_some_and(|(_, network)| network.pod.is_some()) {
            Binding::Bridge
        } else if is_unbound(interface) {
            return Err(RecordError::field(
                format!("spec.domain.devices.interfaces[{index}]"),
                interface.name.as_str(),
                "the interface names no binding; write bridge: {} or masquerade: {}",
            ));
        } else {
            continue;
        };
        return Ok(Some(PodInterface {
            interface: interface.name.clone(),
            binding,
            hostname: hostname(vmi),
            dhcp_options: interface.dhcp_options.as_ref().map(dhcp_options).unwrap_or_default(),
        }));
    }
    Ok(None)
}

/// Says whether an interface names no binding at all.
fn is_unbound(interface: &Interface) -> bool {
    let named = [
        interface.bridge.is_some(),
        interface.masquerade.is_some(),
        interface.binding.is_some(),
        interface.sriov.is_some(),
        interface.passt_binding.is_some(),
        interface.passt.is_some(),
        interface.slirp.is_some(),
        interface.macvtap.is_some(),
    ];
    !named.contains(&true)
}

/// Returns the guest's host name: the one given, else the machine's name up to its first dot.
pub fn hostname(vmi: &VirtualMachineInstance) -> String {
    let name = vmi
        .spec
        .hostname
        .as_deref()
        .filter(|name| !name.is_empty())
        .or(vmi.metadata.name.as_deref())
        .unwrap_or_default();
    let label: String = name.split('.').next().unwrap_or_default().chars().take(63).collect();
    label.trim_end_matches('-').to_owned()
}

/// Returns the guest's search domains: the Pod's, and before them the machine's own when it has a subdomain.
///
/// The first of them that is the longest is also the guest's own domain, so that its full name is the one that a
/// headless Service gives it.
pub fn search_domains(vmi: &VirtualMachineInstance, pod: Vec<String>) -> Vec<String> {
    let Some(subdomain) = vmi.spec.subdomain.as_deref().filter(|subdomain| !subdomain.is_empty()) else {
        return pod;
    };
    let services = pod.iter().find(|domain| domain.contains(".svc.")).cloned();
    let services = services.unwrap_or_else(|| {
        let namespace = vmi.metadata.namespace.as_deref().unwrap_or("default");
        format!("{namespace}.svc.{CLUSTER_DOMAIN}")
    });
    if services.starts_with(&format!("{subdomain}.")) {
        return pod;
    }
    std::iter::once(format!("{subdomain}.{services}")).chain(pod).collect()
}

fn range(network: &Network, index: usize) -> Result<(Ipv4Addr, u8), RecordError> {
    let Some(text) =
        network.pod.as_ref().and_then(|pod| pod.vm_network_cidr.as_deref()).filter(|cidr| !cidr.is_empty())
    else {
        return Ok(DEFAULT_NETWORK);
    };
    let parsed = text.split_once('/').and_then(|(address, prefix)| {
        Some((address.parse::<Ipv4Addr>().ok()?, prefix.parse::<u8>().ok().filter(|prefix| *prefix <= 30)?))
    });
    let (address, prefix) = parsed.ok_or_else(|| {
        RecordError::field(
            format!("spec.networks[{index}].pod.vmNetworkCIDR"),
            text,
            "write an IPv4 network of at least four addresses, for example 10.0.2.0/24",
        )
    })?;
    let mask = if prefix == 0 { 0 } else { u32::MAX << (32 - u32::from(prefix)) };
    Ok((Ipv4Addr::from(u32::from(address) & mask), prefix))
}

fn range6(network: &Network, index: usize) -> Result<(Ipv6Addr, u8), RecordError> {
    let given = network.pod.as_ref().and_then(|pod| pod.vm_i_pv6_network_cidr.as_deref());
    let Some(text) = given.filter(|cidr| !cidr.is_empty()) else { return Ok(DEFAULT_NETWORK6) };
    let parsed = text.split_once('/').and_then(|(address, prefix)| {
        Some((address.parse::<Ipv6Addr>().ok()?, prefix.parse::<u8>().ok().filter(|prefix| *prefix <= 126)?))
    });
    parsed.ok_or_else(|| {
        RecordError::field(
            format!("spec.networks[{index}].pod.vmIPv6NetworkCIDR"),
            text,
            "write an IPv6 network of at least four addresses, for example fd10:0:2::/120",
        )
    })
}

fn ports(interface: &Interface, index: usize) -> Result<Vec<ForwardedPort>, RecordError> {
    interface
        .ports
        .iter()
        .enumerate()
        .map(|(at, port)| {
            let number = u16::try_from(port.port).ok().filter(|number| *number > 0).ok_or_else(|| {
                RecordError::field(
                    format!("spec.domain.devices.interfaces[{index}].ports[{at}].port"),
                    port.port.to_string(),
                    "write a number from 1 to 65535",
                )
            })?;
            let udp = port.protocol.as_deref().is_some_and(|protocol| protocol.eq_ignore_ascii_case("udp"));
            Ok(ForwardedPort { udp, port: number })
        })
        .collect()
}

fn dhcp_options(options: &DHCPOptions) -> Vec<DhcpOption> {
    let mut out = Vec::new();
    let ntp: Vec<u8> = options
        .ntp_servers
        .iter()
        .filter_map(|server| server.parse::<Ipv4Addr>().ok())
        .flat_map(|address| address.octets())
        .collect();
    if !ntp.is_empty() {
        out.push(DhcpOption { code: NTP_SERVERS, value: ntp });
    }
    for (code, text) in
        [(TFTP_SERVER_NAME, &options.tftp_server_name), (BOOT_FILE_NAME, &options.boot_file_name)]
    {
        if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
            out.push(DhcpOption { code, value: text.as_bytes().to_vec() });
        }
    }
    for option in &options.private_options {
        if let Ok(code) = u8::try_from(option.option) {
            out.push(DhcpOption { code, value: option.value.as_bytes().to_vec() });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn instance(spec: serde_json::Value) -> VirtualMachineInstance {
        serde_json::from_value(json!({"metadata": {"name": "web.example"}, "spec": spec})).unwrap()
    }

    #[test]
    fn masquerade_carries_ports_options_and_network() {
        let vmi = instance(json!({
            "domain": {"devices": {"interfaces": [{
                "name": "default", "masquerade": {}, "ports": [{"port": 53, "protocol": "UDP"}, {"port": 80}],
                "dhcpOptions": {"bootFileName": "b", "ntpServers": ["192.0.2.1"],
                                "privateOptions": [{"option": 240, "value": "x"}]},
            }]}},
            "networks": [{"name": "default", "pod": {"vmNetworkCIDR": "10.11.12.13/28"}}],
        }));
        let found = pod_interface(&vmi).unwrap().unwrap();
        let Binding::Masquerade { network, network6, ports } = &found.binding else { panic!("{found:?}") };
        assert_eq!(*network, (Ipv4Addr::new(10, 11, 12, 0), 28));
        assert_eq!(*network6, DEFAULT_NETWORK6);
        assert_eq!(found.hostname, "web");
        assert_eq!(ports[0], ForwardedPort { udp: true, port: 53 });
        let codes: Vec<u8> = found.dhcp_options.iter().map(|option| option.code).collect();
        assert_eq!(codes, [42, 67, 240]);
    }

    #[test]
    fn bridge_is_for_the_pods_network_and_is_told_the_same_options() {
        let mut vmi = instance(json!({
            "domain": {"devices": {"interfaces": [{
                "name": "default", "bridge": {}, "ports": [{"port": 80}],
                "dhcpOptions": {"tftpServerName": "boot.example", "privateOptions": [{"option": 240, "value": "x"}]},
            }]}},
            "networks": [{"name": "default", "pod": {}}],
        }));
        let found = pod_interface(&vmi).unwrap().unwrap();
        assert_eq!((&found.binding, found.interface.as_str()), (&Binding::Bridge, "default"));
        let codes: Vec<u8> = found.dhcp_options.iter().map(|option| option.code).collect();
        assert_eq!(codes, [66, 240]);
        vmi.spec.networks[0].pod = None;
        assert_eq!(pod_interface(&vmi).unwrap(), None);
        vmi.spec.domain.devices.interfaces[0].bridge = None;
        let error = pod_interface(&vmi).unwrap_err().to_string();
        assert!(error.contains("interfaces[0]") && error.contains("bridge: {}"), "{error}");
    }

    #[test]
    fn a_subdomain_makes_a_full_name() {
        let mut vmi = instance(json!({"domain": {"devices": {}}, "subdomain": "db"}));
        let pod = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (given, expected) in [
            (&["corp.example"][..], &["db.default.svc.cluster.local", "corp.example"][..]),
            (
                &["shop.svc.k8s.example", "svc.k8s.example"],
                &["db.shop.svc.k8s.example", "shop.svc.k8s.example", "svc.k8s.example"],
            ),
            (&["db.shop.svc.x"], &["db.shop.svc.x"]),
        ] {
            assert_eq!(search_domains(&vmi, pod(given)), pod(expected));
        }
        vmi.spec.subdomain = None;
        assert_eq!(search_domains(&vmi, pod(&["a"])), ["a"]);
    }

    #[test]
    fn a_network_that_is_none_is_refused_by_name() {
        let vmi = instance(json!({
            "domain": {"devices": {"interfaces": [{"name": "default", "masquerade": {}}]}},
            "networks": [{"name": "default", "pod": {"vmNetworkCIDR": "10.0.2.0/31"}}],
        }));
        assert!(pod_interface(&vmi).unwrap_err().to_string().contains("spec.networks[0].pod.vmNetworkCIDR"));
        for (text, expected) in [("fd00:1::/64", Some(64)), ("fd00::/127", None), ("10.0.0.0/24", None)] {
            let vmi = instance(json!({
                "domain": {"devices": {"interfaces": [{"name": "default", "masquerade": {}}]}},
                "networks": [{"name": "default", "pod": {"vmIPv6NetworkCIDR": text}}],
            }));
            match (pod_interface(&vmi).map(|found| found.unwrap().binding), expected) {
                (Ok(Binding::Masquerade { network6, .. }), Some(prefix)) => {
                    assert_eq!(network6.1, prefix, "{text}");
                }
                (Err(error), None) => assert!(error.to_string().contains("vmIPv6NetworkCIDR"), "{error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
