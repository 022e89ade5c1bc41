//! NetworkPolicies as rules of the node that the Pods are on.
//!
//! A Pod that no policy is about sends and receives everything. Once a policy is about one of the two directions, only
//! what some policy lets pass does. Answers pass, and so does what a Pod sends to itself and what its node sends to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::collection;
use super::policy::{Peer, PeerPort, Policy, Rule};
use crate::endpoints::Pod;

/// The node whose rules are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalNode {
    /// Name.
    pub name: String,
    /// Names of the links that lead to its Pods, as a pattern that ends in `*`.
    pub links: String,
}

/// Which way packets go, seen from the Pods that a policy is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

impl Way {
    /// The other side's place in a packet.
    fn peer(self) -> &'static str {
        match self {
            Self::In => "ip saddr",
            Self::Out => "ip daddr",
        }
    }

    fn rules(self, policy: &Policy) -> Option<&[Rule]> {
        match self {
            Self::In => policy.ingress.as_deref(),
            Self::Out => policy.egress.as_deref(),
        }
    }

    /// Prefix of the chains of Pods and of policies.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::In => ("to", "into"),
            Self::Out => ("from", "out-of"),
        }
    }
}

/// Everything that rules are made from.
struct World<'a> {
    pods: Vec<(&'a Pod, Ipv4Addr)>,
    namespaces: &'a BTreeMap<String, BTreeMap<String, String>>,
    node: &'a LocalNode,
}

/// Writes the table of policies; empty when no policy is about a Pod of the node. `pods` are all Pods of the cluster,
/// `namespaces` the labels of all namespaces.
pub fn policies(
    policies: &[Policy],
    pods: &[Pod],
    namespaces: &BTreeMap<String, BTreeMap<String, String>>,
    node: &LocalNode,
) -> String {
    let living = pods.iter().filter(|pod| !pod.ended);
    let mut pods: Vec<(&Pod, Ipv4Addr)> =
        living.filter_map(|pod| Some((pod, pod.address.as_deref()?.parse().ok()?))).collect();
    pods.sort_by_key(|(_, address)| *address);
    let world = World { pods, namespaces, node };
    let (out_chains, out_pods) = world.direction(policies, Way::Out);
    let (in_chains, in_pods) = world.direction(policies, Way::In);
    if out_pods.is_empty() && in_pods.is_empty() {
        return String::new();
    }
    let links = &node.links;
    let mut body = collection("map", "from_pods", "ipv4_addr : verdict", &out_pods);
    body.push_str(&collection("map", "to_pods", "ipv4_addr : verdict", &in_pods));
    body.push_str(&out_chains);
    body.push_str(&in_chains);
    let _ = write!(
        body,
        "  chain leaving {{
    type filter hook forward priority 0; policy accept;
    ct state established,related accept
    iifname \"{links}\" ip saddr vmap @from_pods
  }}
  chain arriving {{
    type filter hook forward priority 10; policy accept;
    ct state established,related accept
    oifname \"{links}\" ip daddr vmap @to_pods
  }}
  chain to_node {{
    type filter hook input priority 0; policy accept;
    ct state established,related accept
    iifname \"{links}\" ip saddr vmap @from_pods
  }}
"
    );
    body
}

impl World<'_> {
    /// Writes the chains of one direction, and the map from Pods to their chains.
    fn direction(&self, policies: &[Policy], way: Way) -> (String, Vec<String>) {
        let (of_pod, of_policy) = way.words();
        let mut chains = String::new();
        let mut about: BTreeMap<Ipv4Addr, Vec<String>> = BTreeMap::new();
        for (number, policy) in policies.iter().enumerate() {
            let Some(rules) = way.rules(policy) else { continue };
            let subjects = self.subjects(policy);
            if subjects.is_empty() {
                continue;
            }
            let chain = format!("{of_policy}-{number}");
            let _ = write!(chains, "  # {}/{}\n  chain {chain} {{\n", policy.namespace, policy.name);
            for rule in rules {
                for line in self.lines(policy, rule, way, &subjects) {
                    let _ = writeln!(chains, "    {}", format!("{line} accept").trim_start());
                }
            }
            chains.push_str("  }\n");
            for (_, address) in subjects {
                about.entry(address).or_default().push(chain.clone());
            }
        }
        let mut map = Vec::new();
        for (address, policies) in about {
            let _ = write!(chains, "  chain {of_pod}-{address} {{\n    {} {address} accept\n", way.peer());
            for policy in policies {
                let _ = writeln!(chains, "    jump {policy}");
            }
            chains.push_str("    drop\n  }\n");
            map.push(format!("{address} : jump {of_pod}-{address}"));
        }
        (chains, map)
    }

    /// Finds the Pods of this node that a policy is about.
    fn subjects(&self, policy: &Policy) -> Vec<(&Pod, Ipv4Addr)> {
        let mine = self.pods.iter().filter(|(pod, _)| {
            pod.node.as_deref() == Some(self.node.name.as_str())
                && pod.namespace == policy.namespace
                && matches(&policy.selector, &pod.labels)
        });
        mine.copied().collect()
    }

    /// Writes what a rule lets pass, one match a line.
    fn lines(&self, policy: &Policy, rule: &Rule, way: Way, subjects: &[(&Pod, Ipv4Addr)]) -> Vec<String> {
        let sides: Vec<String> = if rule.peers.is_empty() {
            vec![String::new()]
        } else {
            rule.peers.iter().filter_map(|peer| self.side(policy, peer, way)).collect()
        };
        let mut lines = Vec::new();
        for side in sides {
            if rule.ports.is_empty() {
                lines.push(side.clone());
            }
            for port in &rule.ports {
                let words = match port {
                    PeerPort::All { protocol } => vec![format!("meta l4proto {protocol}")],
                    PeerPort::Range { protocol, first, last } if first == last => {
                        vec![format!("{protocol} dport {first}")]
                    }
                    PeerPort::Range { protocol, first, last } => {
                        vec![format!("{protocol} dport {first}-{last}")]
                    }
                    PeerPort::Named { protocol, name } => match way {
                        Way::In => named(subjects, protocol, name),
                        Way::Out => named(&self.pods, protocol, name),
                    },
                };
                lines.extend(words.iter().map(|words| format!("{side} {words}").trim().to_owned()));
            }
        }
        lines
    }

    /// Writes the match of the other side; `None` when it is nobody.
    fn side(&self, policy: &Policy, peer: &Peer, way: Way) -> Option<String> {
        let place = way.peer();
        match peer {
            Peer::Block { network, except } => {
                let network = block(network)?;
                let except: BTreeSet<String> = except.iter().filter_map(|text| block(text)).collect();
                let except: Vec<String> =
                    except.iter().map(|network| format!(" {place} != {network}")).collect();
                Some(format!("{place} {network}{}", except.concat()))
            }
            Peer::Pods { namespaces, pods } => {
                let none = BTreeMap::new();
                let near = |pod: &Pod| match namespaces {
                    None => pod.namespace == policy.namespace,
                    Some(selector) => matches(selector, self.namespaces.get(&pod.namespace).unwrap_or(&none)),
                };
                let found = self.pods.iter().filter(|(pod, _)| near(pod) && matches(pods, &pod.labels));
                let found: Vec<String> = found.map(|(_, address)| address.to_string()).collect();
                (!found.is_empty()).then(|| format!("{place} {{ {} }}", found.join(", ")))
            }
        }
    }
}

/// Writes a match for each number that receivers have under the name of a port.
fn named(receivers: &[(&Pod, Ipv4Addr)], protocol: &str, name: &str) -> Vec<String> {
    let mut by_number: BTreeMap<u16, BTreeSet<Ipv4Addr>> = BTreeMap::new();
    for (pod, address) in receivers {
        let known =
            pod.ports.iter().filter(|port| port.name == name && port.protocol.eq_ignore_ascii_case(protocol));
        for port in known {
            by_number.entry(port.number).or_default().insert(*address);
        }
    }
    let line = |(number, addresses): (u16, BTreeSet<Ipv4Addr>)| {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        format!("ip daddr {{ {} }} {protocol} dport {number}", addresses.join(", "))
    };
    by_number.into_iter().map(line).collect()
}

fn matches(selector: &machinery::selector::LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    selector.matches_labels(|key| labels.get(key).map(String::as_str))
}

/// Reads an IPv4 network; another family's is not of this table.
fn block(text: &str) -> Option<String> {
    let (address, prefix) = text.split_once('/')?;
    let address: Ipv4Addr = address.parse().ok()?;
    let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
    Some(format!("{address}/{prefix}"))
}
