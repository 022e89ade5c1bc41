//! NetworkPolicies as values.

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::selector::LabelSelector;

/// A NetworkPolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Pods of its namespace that it is about.
    pub selector: LabelSelector,
    /// What may reach them; `None` when the policy says nothing about that.
    pub ingress: Option<Vec<Rule>>,
    /// What they may reach; `None` when the policy says nothing about that.
    pub egress: Option<Vec<Rule>>,
}

/// Something that is let pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The other side; empty means everybody.
    pub peers: Vec<Peer>,
    /// Ports of the receiver; empty means all.
    pub ports: Vec<PeerPort>,
}

/// The other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Pods.
    Pods {
        /// Their namespaces; `None` means the policy's own.
        namespaces: Option<LabelSelector>,
        /// Their labels.
        pods: LabelSelector,
    },
    /// Addresses.
    Block {
        /// Network, as written.
        network: String,
        /// Networks in it that do not count.
        except: Vec<String>,
    },
}

/// Ports of one protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerPort {
    /// All of them.
    All {
        /// `tcp`, `udp` or `sctp`.
        protocol: String,
    },
    /// From the first to the last.
    Range {
        /// `tcp`, `udp` or `sctp`.
        protocol: String,
        /// First one.
        first: u16,
        /// Last one.
        last: u16,
    },
    /// What the receiver's containers call so.
    Named {
        /// `tcp`, `udp` or `sctp`.
        protocol: String,
        /// Name of the port.
        name: String,
    },
}

impl Policy {
    /// Reads a policy. What cannot be read matches nothing: a rule that nobody understands opens no door.
    pub fn of(policy: &NetworkPolicy) -> Self {
        let spec = policy.spec.clone().unwrap_or_default();
        let types = spec.policy_types.unwrap_or_default();
        let is = |kind: &str| types.iter().any(|known| known == kind);
        let ingress = (types.is_empty() || is("Ingress")).then(|| {
            spec.ingress
                .iter()
                .flatten()
                .map(|rule| Rule { peers: peers(rule.from.as_deref()), ports: ports(rule.ports.as_deref()) })
                .collect()
        });
        let egress = (is("Egress") || (types.is_empty() && spec.egress.is_some())).then(|| {
            spec.egress
                .iter()
                .flatten()
                .map(|rule| Rule { peers: peers(rule.to.as_deref()), ports: ports(rule.ports.as_deref()) })
                .collect()
        });
        Self {
            name: policy.metadata.name.clone().unwrap_or_default(),
            namespace: policy.metadata.namespace.clone().unwrap_or_default(),
            selector: spec.pod_selector.as_ref().map_or_else(LabelSelector::everything, selector),
            ingress,
            egress,
        }
    }
}

fn selector(selector: &v1::LabelSelector) -> LabelSelector {
    let object = serde_json::to_value(selector).unwrap_or_default();
    LabelSelector::from_object(&object).unwrap_or_else(|_| LabelSelector::nothing())
}

fn peers(peers: Option<&[NetworkPolicyPeer]>) -> Vec<Peer> {
    let peer = |peer: &NetworkPolicyPeer| match &peer.ip_block {
        Some(block) => {
            Peer::Block { network: block.cidr.clone(), except: block.except.clone().unwrap_or_default() }
        }
        None => Peer::Pods {
            namespaces: peer.namespace_selector.as_ref().map(selector),
            pods: peer.pod_selector.as_ref().map_or_else(LabelSelector::everything, selector),
        },
    };
    peers.into_iter().flatten().map(peer).collect()
}

fn ports(ports: Option<&[NetworkPolicyPort]>) -> Vec<PeerPort> {
    let number = |number: i32| u16::try_from(number).unwrap_or_default();
    let port = |port: &NetworkPolicyPort| {
        let protocol = port.protocol.as_deref().unwrap_or("TCP").to_lowercase();
        match &port.port {
            None => PeerPort::All { protocol },
            Some(IntOrString::Int(first)) => PeerPort::Range {
                protocol,
                first: number(*first),
                last: number(port.end_port.unwrap_or(*first)),
            },
            Some(IntOrString::String(name)) => PeerPort::Named { protocol, name: name.clone() },
        }
    };
    ports.into_iter().flatten().map(port).collect()
}
