//! NetworkPolicies as rules of the node that the Pods are on.
//!
//! A Pod that no policy is about sends and receives everything. Once a policy is about one of the two directions, only
//! what some policy lets pass does. Answers pass, and so does what a Pod sends to itself and what its node sends to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

/// The bodies of a table, one for each family of addresses; an empty one is for no table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Family `ip`.
    pub ip: String,
    /// Family `ip6`.
    pub ip6: String,
}

/// A family of addresses; each has a table of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Four,
    Six,
}

impl Family {
    fn word(self) -> &'static str {
        match self {
            Self::Four => "ip",
            Self::Six => "ip6",
        }
    }

    /// Type of a map's keys.
    fn key(self) -> &'static str {
        match self {
            Self::Four => "ipv4_addr",
            Self::Six => "ipv6_addr",
        }
    }

    fn address(self, pod: &Pod) -> Option<IpAddr> {
        match self {
            Self::Four => pod.address.as_deref()?.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            Self::Six => pod.address6.map(IpAddr::V6),
        }
    }

    /// What passes between a Pod and its node whatever policies say.
    fn neighbours(self) -> &'static str {
        match self {
            // ARP is no part of the family.
            Self::Four => "",
            Self::Six => "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n",
        }
    }

    /// Reads a network; another family's is not of this table.
    fn block(self, text: &str) -> Option<String> {
        let (address, prefix) = text.split_once('/')?;
        let (address, longest) = match self {
            Self::Four => (address.parse::<Ipv4Addr>().ok()?.to_string(), 32),
            Self::Six => (address.parse::<Ipv6Addr>().ok()?.to_string(), 128),
        };
        let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= longest)?;
        Some(format!("{address}/{prefix}"))
    }
}

/// Names a Pod's chain; a name holds no colon.
fn chain_of(way: &str, address: IpAddr) -> String {
    format!("{way}-{address}").replace(':', "-")
}

/// Which way packets go, seen from the Pods that a policy is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

impl Way {
    /// The other side's place in a packet.
    fn peer(self, family: Family) -> String {
        let place = match self {
            Self::In => "saddr",
            Self::Out => "daddr",
        };
        format!("{} {place}", family.word())
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
    family: Family,
    pods: Vec<(&'a Pod, IpAddr)>,
    namespaces: &'a BTreeMap<String, BTreeMap<String, String>>,
    node: &'a LocalNode,
}

/// Writes the tables of policies; both are empty when no policy is about a Pod of the node. `pods` are all Pods of the
/// cluster, `namespaces` the labels of all namespaces.
pub fn policies(
    policies: &[Policy],
    pods: &[Pod],
    namespaces: &BTreeMap<String, BTreeMap<String, String>>,
    node: &LocalNode,
) -> Tables {
    let table = |family: Family| {
        let living = pods.iter().filter(|pod| !pod.ended);
        let mut pods: Vec<(&Pod, IpAddr)> =
            living.filter_map(|pod| Some((pod, family.address(pod)?))).collect();
        pods.sort_by_key(|(_, address)| *address);
        table(policies, &World { family, pods, namespaces, node })
    };
    Tables { ip: table(Family::Four), ip6: table(Family::Six) }
}

fn table(policies: &[Policy], world: &World<'_>) -> String {
    let (out_chains, out_pods) = world.direction(policies, Way::Out);
    let (in_chains, in_pods) = world.direction(policies, Way::In);
    if out_pods.is_empty() && in_pods.is_empty() {
        return String::new();
    }
    let links = &world.node.links;
    let (family, key, neighbours) = (world.family.word(), world.family.key(), world.family.neighbours());
    let mut body = collection("map", "from_pods", &format!("{key} : verdict"), &out_pods);
    body.push_str(&collection("map", "to_pods", &format!("{key} : verdict"), &in_pods));
    body.push_str(&out_chains);
    body.push_str(&in_chains);
    let _ = write!(
        body,
        "  chain leaving {{
    type filter hook forward priority 0; policy accept;
    ct state established,related accept
    iifname \"{links}\" {family} saddr vmap @from_pods
  }}
  chain arriving {{
    type filter hook forward priority 10; policy accept;
    ct state established,related accept
    oifname \"{links}\" {family} daddr vmap @to_pods
  }}
  chain to_node {{
    type filter hook input priority 0; policy accept;
    ct state established,related accept
{neighbours}    iifname \"{links}\" {family} saddr vmap @from_pods
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
        let mut about: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
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
            let (chain, place) = (chain_of(of_pod, address), way.peer(self.family));
            let _ = write!(chains, "  chain {chain} {{\n    {place} {address} accept\n");
            for policy in policies {
                let _ = writeln!(chains, "    jump {policy}");
            }
            chains.push_str("    drop\n  }\n");
            map.push(format!("{address} : jump {chain}"));
        }
        (chains, map)
    }

    /// Finds the Pods of this node that a policy is about.
    fn subjects(&self, policy: &Policy) -> Vec<(&Pod, IpAddr)> {
        let mine = self.pods.iter().filter(|(pod, _)| {
            pod.node.as_deref() == Some(self.node.name.as_str())
                && pod.namespace == policy.namespace
                && matches(&policy.selector, &pod.labels)
        });
        mine.copied().collect()
    }

    /// Writes what a rule lets pass, one match a line.
    fn lines(&self, policy: &Policy, rule: &Rule, way: Way, subjects: &[(&Pod, IpAddr)]) -> Vec<String> {
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
                        Way::In => self.named(subjects, protocol, name),
                        Way::Out => self.named(&self.pods, protocol, name),
                    },
                };
                lines.extend(words.iter().map(|words| format!("{side} {words}").trim().to_owned()));
            }
        }
        lines
    }

    /// Writes the match of the other side; `None` when it is nobody.
    fn side(&self, policy: &Policy, peer: &Peer, way: Way) -> Option<String> {
        let place = way.peer(self.family);
        match peer {
            Peer::Block { network, except } => {
                let network = self.family.block(network)?;
                let except: BTreeSet<String> =
                    except.iter().filter_map(|text| self.family.block(text)).collect();
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

    /// Writes a match for each number that receivers have under the name of a port.
    fn named(&self, receivers: &[(&Pod, IpAddr)], protocol: &str, name: &str) -> Vec<String> {
        let mut by_number: BTreeMap<u16, BTreeSet<IpAddr>> = BTreeMap::new();
        for (pod, address) in receivers {
            let known = pod
                .ports
                .iter()
                .filter(|port| port.name == name && port.protocol.eq_ignore_ascii_case(protocol));
            for port in known {
                by_number.entry(port.number).or_default().insert(*address);
            }
        }
        let line = |(number, addresses): (u16, BTreeSet<IpAddr>)| {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("{} daddr {{ {} }} {protocol} dport {number}", self.family.word(), addresses.join(", "))
        };
        by_number.into_iter().map(line).collect()
    }
}

fn matches(selector: &machinery::selector::LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    selector.matches_labels(|key| labels.get(key).map(String::as_str))
}
