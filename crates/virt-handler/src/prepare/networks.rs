//! The machine's interface on its Pod's network.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use api::kubevirt::v1::VirtualMachineInstance;
use launcher_channel::Descriptors;
use model::network::{Binding, ForwardedPort};
use model::record::NicFacts;
use network::binding::{self, PendingRules, Port, Protocol, prepare};
use network::resolver::Resolver;
use network::{Cidr, Cidr6};

use super::Error;

/// Bytes of a resolver's configuration that are read.
const LONGEST_RESOLVER: u64 = 64 * 1024;

/// The machine's interfaces, ready.
#[derive(Debug, Default)]
pub(crate) struct Nics {
    /// Rules that come into force while the machine starts.
    pub(crate) rules: Option<PendingRules>,
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
    let Some(wanted) = model::network::pod_interface(instance)? else { return Ok(Nics::default()) };
    let Resolver { servers: dns, search, .. } = resolver(pid);
    let search = model::network::search_domains(instance, search);
    let spec = binding::Spec {
        interface: wanted.interface.clone(),
        binding: match wanted.binding {
            Binding::Masquerade { network, network6, ports } => {
                binding::Binding::Masquerade(binding::Masquerade {
                    network: Cidr::new(network.0, network.1),
                    network6: Cidr6::new(network6.0, network6.1),
                    ports: ports.iter().map(port).collect(),
                })
            }
            Binding::Bridge => binding::Binding::Bridge,
        },
        hostname: wanted.hostname,
        dns,
        search,
        dhcp_options: wanted.dhcp_options,
    };
    let prepared = prepare(pid, &spec, helper)?;
    let mut descriptors: Descriptors = vec![(prepared.lease.socket.clone(), prepared.dhcp_socket)];
    if let (Some(six), Some([dhcp, advertiser])) = (&prepared.lease.ipv6, prepared.ipv6_sockets) {
        descriptors.push((six.dhcp.clone(), dhcp));
        descriptors.push((six.advertiser.clone(), advertiser));
    }
    if let Some(tap) = prepared.tap {
        descriptors.push((format!("nic/{}/tap", wanted.interface), tap));
    }
    let facts = NicFacts { lease: Some(prepared.lease), mtu: prepared.mtu };
    Ok(Nics {
        rules: Some(prepared.rules),
        facts: BTreeMap::from([(wanted.interface, facts)]),
        descriptors,
        pod_ips: prepared.pod_ips.iter().map(ToString::to_string).collect(),
    })
}

fn port(port: &ForwardedPort) -> Port {
    Port { protocol: if port.udp { Protocol::Udp } else { Protocol::Tcp }, port: port.port }
}

/// Reads what the kubelet gave the Pod: the cluster's settings, or the machine's own.
fn resolver(pid: i32) -> Resolver {
    let root = format!("/proc/{pid}/root");
    let mut text = String::new();
    let read = File::open(&root)
        .and_then(|root| disk::open_beneath(root, Path::new("etc/resolv.conf"), false))
        .and_then(|file| file.take(LONGEST_RESOLVER).read_to_string(&mut text));
    if let Err(error) = read {
        tracing::warn!(%error, "the resolver below {root} cannot be read: the guest gets no name servers");
    }
    Resolver::parse(&text)
}
