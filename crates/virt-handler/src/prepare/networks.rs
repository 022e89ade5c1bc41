//! Interfaces behind the Pod's address.

use std::collections::BTreeMap;

use api::kubevirt::v1::VirtualMachineInstance;
use launcher_channel::Descriptors;
use model::record::NicFacts;
use network::Cidr;
use network::masquerade::{MasqueradeSpec, Port, Protocol, prepare};
use network::resolver::Resolver;

use super::Error;

/// The machine's interfaces, ready.
#[derive(Debug, Default)]
pub(crate) struct Nics {
    pub(crate) facts: BTreeMap<String, NicFacts>,
    pub(crate) descriptors: Descriptors,
    pub(crate) pod_ips: Vec<String>,
}

/// Prepares the interfaces of a machine in the namespaces of process `pid`.
///
/// A tap that a running hypervisor holds is left to it; the socket for leases is opened anew.
pub(crate) fn nics(
    instance: &VirtualMachineInstance,
    pid: i32,
    helper: &host::Helper,
) -> Result<Nics, Error> {
    let Some(wanted) = model::network::masquerade(instance)? else { return Ok(Nics::default()) };
    // What the kubelet gave the Pod: the cluster's settings, or the machine's own.
    let inside = format!("/proc/{pid}/root/etc/resolv.conf");
    let text = std::fs::read_to_string(&inside).unwrap_or_else(|error| {
        tracing::warn!(%error, "{inside} cannot be read: the guest gets no name servers");
        String::new()
    });
    let Resolver { servers: dns, search, .. } = Resolver::parse(&text);
    let search = model::network::search_domains(instance, search);
    let (network, prefix) = wanted.network;
    let spec = MasqueradeSpec {
        interface: wanted.interface.clone(),
        network: Cidr::new(network, prefix),
        ports: wanted
            .ports
            .iter()
            .map(|port| Port {
                protocol: if port.udp { Protocol::Udp } else { Protocol::Tcp },
                port: port.port,
            })
            .collect(),
        hostname: wanted.hostname,
        dns,
        search,
        dhcp_options: wanted.dhcp_options,
    };
    let prepared = prepare(pid, &spec, helper)?;
    let mut descriptors: Descriptors = vec![(prepared.lease.socket.clone(), prepared.dhcp_socket)];
    if let Some(tap) = prepared.tap {
        descriptors.push((format!("nic/{}/tap", wanted.interface), tap));
    }
    let facts = NicFacts { lease: Some(prepared.lease), mtu: prepared.mtu };
    Ok(Nics {
        facts: BTreeMap::from([(wanted.interface, facts)]),
        descriptors,
        pod_ips: prepared.pod_ips.iter().map(ToString::to_string).collect(),
    })
}
