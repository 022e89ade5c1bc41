//! Services: what is sent to a Service's address, or to its port of the node, goes to one of its Pods.
//!
//! The choice is random for each connection, or by the client's address where the Service asks for affinity. A port
//! without a Pod refuses. A packet that a Pod sends to itself by way of a Service, and one from outside that goes on to
//! another node, leaves with this node's address, so that the answer comes back here.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::collection;

/// A Service as this node serves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub name: String,
    /// The address that the cluster gave it, and nobody else has.
    pub cluster_ip: Option<Ipv4Addr>,
    /// Addresses that it is reached at from Pods and the node: that one, and what its owner wrote down.
    pub addresses: Vec<Ipv4Addr>,
    /// Ports.
    pub ports: Vec<Port>,
    /// Whether a client stays with the Pod that it got first.
    pub sticky: bool,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Name; empty for the only one.
    pub name: String,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The port.
    pub number: u16,
    /// Port of every node that leads here.
    pub node_port: Option<u16>,
    /// Where traffic to the Service's address goes.
    pub inside: Vec<Endpoint>,
    /// Where traffic to the node's port goes.
    pub outside: Vec<Endpoint>,
}

/// Where traffic goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Address.
    pub address: Ipv4Addr,
    /// Port.
    pub port: u16,
    /// Whether it is a Pod of this node.
    pub local: bool,
}

impl Service {
    /// Joins a Service with its slices, as seen from `node`; `None` for one that no packet filter serves.
    pub fn of(service: &v1::Service, slices: &[&EndpointSlice], node: &str) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
        let cluster_ip = spec.cluster_ip.as_deref().unwrap_or_default();
        if kind == "ExternalName" || cluster_ip == "None" {
            return None;
        }
        let balancer = service.status.iter().filter_map(|status| status.load_balancer.as_ref());
        let ingress = balancer.flat_map(|balancer| balancer.ingress.iter().flatten());
        let addresses: BTreeSet<Ipv4Addr> = std::iter::once(cluster_ip)
            .chain(spec.external_ips.iter().flatten().map(String::as_str))
            .chain(ingress.filter_map(|point| point.ip.as_deref()))
            .filter_map(|address| address.parse().ok())
            .collect();
        let inside_local = spec.internal_traffic_policy.as_deref() == Some("Local");
        let outside_local = spec.external_traffic_policy.as_deref() == Some("Local");
        let meta = &service.metadata;
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        Some(Self {
            name: format!("{}/{}", name(&meta.namespace), name(&meta.name)),
            cluster_ip: cluster_ip.parse().ok(),
            addresses: addresses.into_iter().collect(),
            ports: spec
                .ports
                .iter()
                .flatten()
                .filter_map(|port| {
                    let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
                    let endpoints =
                        endpoints(slices, port.name.as_deref().unwrap_or_default(), &protocol, node);
                    let only = |local: bool| {
                        endpoints.iter().copied().filter(|endpoint| endpoint.local || !local).collect()
                    };
                    Some(Port {
                        name: name(&port.name),
                        protocol: protocol.to_lowercase(),
                        number: u16::try_from(port.port).ok()?,
                        node_port: port.node_port.and_then(|port| u16::try_from(port).ok()),
                        inside: only(inside_local),
                        outside: only(outside_local),
                    })
                })
                .collect(),
            sticky: spec.session_affinity.as_deref() == Some("ClientIP"),
        })
    }
}

/// Finds who answers on a port: everybody who is ready, and when nobody is, those that still serve while they end.
fn endpoints(slices: &[&EndpointSlice], port: &str, protocol: &str, node: &str) -> Vec<Endpoint> {
    let mut ready = BTreeSet::new();
    let mut ending = BTreeSet::new();
    for slice in slices.iter().filter(|slice| slice.address_type == "IPv4") {
        let number = slice.ports.iter().flatten().find(|known| {
            known.name.as_deref().unwrap_or_default() == port
                && known.protocol.as_deref().unwrap_or("TCP") == protocol
        });
        let Some(number) = number.and_then(|known| u16::try_from(known.port?).ok()) else { continue };
        for endpoint in &slice.endpoints {
            let Some(address) = endpoint.addresses.first().and_then(|text| text.parse().ok()) else {
                continue;
            };
            let local = endpoint.node_name.as_deref() == Some(node);
            let found = Endpoint { address, port: number, local };
            let says = |state: Option<bool>, unknown: bool| state.unwrap_or(unknown);
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            if says(conditions.ready, true) {
                ready.insert(found);
            } else if says(conditions.serving, false) && says(conditions.terminating, false) {
                ending.insert(found);
            }
        }
    }
    if ready.is_empty() { ending.into_iter().collect() } else { ready.into_iter().collect() }
}

/// Writes the table of Services; empty when there is nothing to serve. `pods` are the addresses of all Pods, `links` the
/// names of the links that lead to this node's, as a pattern that ends in `*`.
///
/// An address that a Service's owner wrote down and that belongs to a Pod or another Service stays theirs: whoever may make
/// Services would have the traffic of others. Of several that name the same one, the first has it.
pub fn services(services: &[Service], pods: &BTreeSet<Ipv4Addr>, links: &str) -> String {
    let given = services.iter().filter_map(|service| service.cluster_ip);
    let mut table = Table { others: given.chain(pods.iter().copied()).collect(), ..Table::default() };
    for service in services {
        for port in &service.ports {
            table.add(service, port);
        }
    }
    table.finish(pods, links)
}

/// The table while it is written.
#[derive(Default)]
struct Table {
    chains: String,
    count: usize,
    addresses: Vec<String>,
    node_ports: Vec<String>,
    refused: Vec<String>,
    refused_node_ports: Vec<String>,
    own: BTreeSet<Ipv4Addr>,
    remote: BTreeSet<Ipv4Addr>,
    /// Addresses that belong to somebody: of Pods, and those that the cluster gave to Services.
    others: BTreeSet<Ipv4Addr>,
    /// Keys that are in a map or a set; one that is there twice would have the whole table refused.
    known: BTreeSet<String>,
}

impl Table {
    fn add(&mut self, service: &Service, port: &Port) {
        let inside = self.chain(service, port, &port.inside);
        for address in &service.addresses {
            let key = format!("{address} . {} . {}", port.protocol, port.number);
            let is_own = service.cluster_ip == Some(*address) || !self.others.contains(address);
            if !is_own || !self.known.insert(key.clone()) {
                continue;
            }
            match &inside {
                Some(chain) => self.addresses.push(format!("{key} : goto {chain}")),
                None => self.refused.push(key),
            }
        }
        let Some(number) = port.node_port else { return };
        let outside =
            if port.outside == port.inside { inside } else { self.chain(service, port, &port.outside) };
        let key = format!("{} . {number}", port.protocol);
        if !self.known.insert(key.clone()) {
            return;
        }
        match outside {
            Some(chain) => self.node_ports.push(format!("{key} : goto {chain}")),
            None => self.refused_node_ports.push(key),
        }
    }

    /// Writes the chain that chooses among `endpoints`; `None` when there is no choice.
    fn chain(&mut self, service: &Service, port: &Port, endpoints: &[Endpoint]) -> Option<String> {
        let choice = match endpoints {
            [] => return None,
            [one] => format!("{}:{}", one.address, one.port),
            many => {
                let by = if service.sticky { "jhash ip saddr" } else { "numgen random" };
                let seed = if service.sticky { " seed 0x1" } else { "" };
                let list: Vec<String> = many
                    .iter()
                    .enumerate()
                    .map(|(number, endpoint)| format!("{number} : {} . {}", endpoint.address, endpoint.port))
                    .collect();
                format!("{by} mod {}{seed} map {{ {} }}", many.len(), list.join(", "))
            }
        };
        let name = format!("port-{}", self.count);
        self.count += 1;
        let _ = write!(
            self.chains,
            "  # {} {}/{}\n  chain {name} {{\n    meta l4proto {} dnat to {choice}\n  }}\n",
            service.name, port.number, port.protocol, port.protocol
        );
        self.own.extend(endpoints.iter().map(|endpoint| endpoint.address));
        self.remote
            .extend(endpoints.iter().filter(|endpoint| !endpoint.local).map(|endpoint| endpoint.address));
        Some(name)
    }

    fn finish(self, pods: &BTreeSet<Ipv4Addr>, links: &str) -> String {
        let nothing = [&self.addresses, &self.node_ports, &self.refused, &self.refused_node_ports];
        if nothing.iter().all(|list| list.is_empty()) {
            return String::new();
        }
        let own: Vec<String> = self.own.iter().map(|address| format!("{address} . {address}")).collect();
        let text =
            |addresses: &BTreeSet<Ipv4Addr>| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut body = [
            collection(
                "map",
                "addresses",
                "ipv4_addr . inet_proto . inet_service : verdict",
                &self.addresses,
            ),
            collection("map", "node_ports", "inet_proto . inet_service : verdict", &self.node_ports),
            collection("set", "refused", "ipv4_addr . inet_proto . inet_service", &self.refused),
            collection("set", "refused_node_ports", "inet_proto . inet_service", &self.refused_node_ports),
            collection("set", "own", "ipv4_addr . ipv4_addr", &own),
        ]
        .concat();
        // The maps name the chains, and nft reads a table as a whole: their order does not matter.
        body.push_str(&self.chains);
        let mut leaving = String::from("    ct status dnat ip saddr . ip daddr @own masquerade\n");
        if !self.remote.is_empty() {
            body.push_str(&collection("set", "remote", "ipv4_addr", &text(&self.remote)));
            body.push_str(&collection("set", "pods", "ipv4_addr", &text(pods)));
            leaving.push_str("    ct status dnat ip saddr != @pods ip daddr @remote masquerade\n");
        }
        let _ = write!(
            body,
            "  chain services {{
    ip daddr . meta l4proto . th dport vmap @addresses
    fib daddr type local meta l4proto . th dport vmap @node_ports
  }}
  # Another installation on this host may have Services at the same addresses: its own Pods mean its own.
  chain own_pods {{
    type nat hook prerouting priority -101; policy accept;
    iifname \"{links}\" jump services
  }}
  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
    jump services
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    jump services
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
{leaving}  }}
  chain refuse {{
    ip daddr . meta l4proto . th dport @refused reject
    fib daddr type local meta l4proto . th dport @refused_node_ports reject
  }}
  chain refuse_forward {{
    type filter hook forward priority 0; policy accept;
    ct state new jump refuse
  }}
  chain refuse_input {{
    type filter hook input priority 0; policy accept;
    ct state new jump refuse
  }}
  chain refuse_output {{
    type filter hook output priority 0; policy accept;
    ct state new jump refuse
  }}
"
        );
        body
    }
}
