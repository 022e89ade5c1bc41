//! Pods of a node that root runs: each has a link of its own to the node, which routes between them.
//!
//! ```text
//!   Pod 10.244.0.2  eth0 ── iv…p0002 ┐
//!                                    ├─ node (10.244.0.1 on ic…) ── uplink
//!   Pod 10.244.0.3  eth0 ── iv…p0003 ┘
//! ```
//!
//! No two Pods share a segment, so that none can take another's hardware address or answer in its place, and
//! everything between them passes the node's packet filter. A Pod can send with its own address only: the node drops
//! what it would not send back the same way. The bridge `ic…` has no ports; it holds the node's address, and the links
//! of Pods that an earlier release connected.

use std::fs::File;
use std::net::Ipv4Addr;

use super::addresses::Addresses;
use super::{NodeNetworkConfig, forwarding, neighbours, six};
use crate::binding::{self, POD_INTERFACE};
use crate::ipv6::{self, twin_network};
use crate::link::Stack;
use crate::{Cidr, Error, namespace, nft, sysctl};

/// MTU where the host has no default route to take it from.
const DEFAULT_MTU: u32 = 1500;
/// Every table of ours begins so.
const TABLE_PREFIX: &str = "ironclad_";

/// Names of what one node makes. They are at most 15 bytes long, as links' names must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    bridge: String,
    link_prefix: String,
    table: String,
}

impl Names {
    pub(crate) fn of(instance: &str) -> Self {
        // FNV-1a: stable over releases, which the standard library's hasher does not promise.
        let hash = instance.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let id = format!("{:06x}", hash & 0xff_ffff);
        Self {
            bridge: format!("ic{id}"),
            link_prefix: format!("iv{id}p"),
            table: format!("{TABLE_PREFIX}{id}"),
        }
    }

    /// Returns the pattern that the names of the host's ends of Pods' links follow.
    pub(crate) fn links(&self) -> String {
        format!("{}*", self.link_prefix)
    }

    /// Returns the name of one of the node's further tables.
    pub(crate) fn table(&self, part: &str) -> String {
        format!("{}_{part}", self.table)
    }

    /// Returns the name of the bridge.
    pub(super) fn bridge(&self) -> &str {
        &self.bridge
    }

    /// Returns the name of the node's table for translation and spoofing.
    pub(super) fn own_table(&self) -> &str {
        &self.table
    }

    /// Returns the name of the host's end of a Pod's link.
    pub(crate) fn link(&self, address: Ipv4Addr) -> String {
        format!("{}{:04x}", self.link_prefix, u32::from(address) & 0xffff)
    }
}

/// Opens the node's namespace, where it has one of its own.
pub(crate) fn namespace(config: &NodeNetworkConfig) -> Result<Option<File>, Error> {
    config.namespace.as_deref().map(namespace::open).transpose()
}

/// Lists the networks that the host reaches by routes of others.
pub(crate) fn foreign_routes(namespace: Option<&File>, names: &Names) -> Result<Vec<Cidr>, Error> {
    namespace::run(namespace, || async {
        let stack = Stack::open()?;
        let links = stack.links().await?;
        let is_own = |index: u32| {
            let own = |name: &str| name == names.bridge || name.starts_with(&names.link_prefix);
            links.iter().any(|link| link.index == index && own(&link.name))
        };
        let foreign = stack
            .routes()
            .await?
            .into_iter()
            .filter(|(network, link)| network.prefix > 0 && !link.is_some_and(is_own));
        Ok(foreign.map(|(network, _)| network).collect())
    })
}

/// Makes the bridge and the rules. Says whether Pods get IPv6 addresses as well.
pub(crate) fn prepare(
    namespace: Option<&File>,
    names: &Names,
    addresses: &mut Addresses,
    peers: &[Cidr],
) -> Result<bool, Error> {
    let network = addresses.network();
    let gateway = network.host(1).unwrap_or(network.address);
    let name_server = addresses.name_server();
    let (switched, switched6) = namespace::run(namespace, || async move {
        let stack = Stack::open()?;
        let mtu = uplink_mtu(&stack).await?;
        let bridge = stack.bridge(&names.bridge, mtu, None).await?;
        stack.address(&bridge, Cidr::new(gateway, network.prefix)).await?;
        stack.up(&bridge).await?;
        let switched6 = six::switch_on(&stack).await?;
        match &switched6 {
            Some(_) => six::node(&stack, &bridge, network).await?,
            None => six::none(&bridge.name),
        }
        nft::replace_table(&names.table, &rules(names, network, peers, name_server))?;
        // Pods of an earlier release share the bridge's segment; for them it answers in the others' place.
        let _ = sysctl::write(&format!("ipv4/conf/{}/proxy_arp", names.bridge), "1");
        let off = sysctl::read("ipv4/ip_forward")? == "0";
        if let Err(error) = sysctl::write("ipv4/ip_forward", "1") {
            // A container often shows this read-only. Pods then reach their node, but nothing beyond.
            tracing::warn!(%error, "Pods have no way out: switch on net.ipv4.ip_forward on the host");
            return Ok((false, switched6));
        }
        Ok((off, switched6))
    })?;
    if switched {
        addresses.note_forwarding()?;
    }
    let has_ipv6 = switched6.is_some();
    if let Some(switched6) = switched6.filter(|switched| switched.forwarding) {
        addresses.note_forwarding6(switched6.advised)?;
    }
    Ok(has_ipv6)
}

/// Replaces the rules of a bridge behind which the networks `inner` lie too: what comes from them is translated
/// when it leaves, but not among themselves.
pub(crate) fn translate(
    namespace: Option<&File>,
    names: &Names,
    network: Cidr,
    inner: &[Cidr],
) -> Result<(), Error> {
    let sources: Vec<String> = std::iter::once(&network).chain(inner).map(Cidr::to_string).collect();
    let sources = sources.join(", ");
    let bridge = &names.bridge;
    let rules = format!(
        "  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr {{ {sources} }} oifname != \"{bridge}\" masquerade
  }}
"
    );
    let body = nft::Body { ip: rules, ip6: six::translation(bridge, network, inner) };
    namespace::run(namespace, || async { nft::replace_table(&names.table, &body) })
}

fn rules(names: &Names, network: Cidr, peers: &[Cidr], name_server: Option<Ipv4Addr>) -> nft::Body {
    let ip = rules_ip(names, network, peers) + &name_server_rules(names, peers, name_server);
    nft::Body { ip, ip6: six::rules(names, network, peers) }
}

/// Keeps everybody who is no Pod of the installation from its name server, which asks the host's resolvers for whoever
/// asks it. What the node itself sends is not forwarded.
fn name_server_rules(names: &Names, peers: &[Cidr], name_server: Option<Ipv4Addr>) -> String {
    let Some(address) = name_server else { return String::new() };
    let links = names.links();
    let peers = peers.iter().fold(String::new(), |words, peer| words + &format!(" ip saddr != {peer}"));
    format!(
        "  chain name_server {{
    type filter hook forward priority 0; policy accept;
    ip daddr {address} iifname != \"{links}\"{peers} drop
  }}
"
    )
}

fn rules_ip(names: &Names, network: Cidr, peers: &[Cidr]) -> String {
    let bridge = &names.bridge;
    let links = names.links();
    let gateway = network.host(1).unwrap_or(network.address);
    let peers =
        peers.iter().fold(String::new(), |rules, peer| rules + &format!("    ip daddr {peer} accept\n"));
    format!(
        "  chain spoofed {{
    type filter hook prerouting priority -300; policy accept;
    iifname \"{links}\" fib saddr . iif oif missing drop
    iifname \"{links}\" ip daddr 127.0.0.0/8 drop
    iifname \"{bridge}\" ip saddr != {network} drop
    iifname \"{bridge}\" ip daddr 127.0.0.0/8 drop
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    oifname \"{links}\" ip saddr 127.0.0.0/8 snat to {gateway}
{peers}    ip saddr {network} ip daddr != {network} masquerade
  }}
"
    )
}

/// Returns the MTU of the link that leads out.
async fn uplink_mtu(stack: &Stack) -> Result<u32, Error> {
    let routes = stack.routes().await?;
    let out = routes.iter().find(|(network, _)| network.prefix == 0).and_then(|(_, link)| *link);
    let links = stack.links().await?;
    let mtu = links.iter().find(|link| Some(link.index) == out).map(|link| link.mtu);
    Ok(mtu.unwrap_or(DEFAULT_MTU))
}

/// Makes the link of a Pod with the namespace `pod` and configures its end.
pub(crate) fn attach(
    namespace: Option<&File>,
    names: &Names,
    pod: &File,
    own: Cidr,
    gateway: Ipv4Addr,
    has_ipv6: bool,
) -> Result<(), Error> {
    let link = names.link(own.address);
    let alone = Cidr::new(own.address, 32);
    namespace::run(namespace, || async {
        let stack = Stack::open()?;
        let bridge = stack.find(&names.bridge).await?;
        let bridge = bridge.ok_or_else(|| Error::NoInterface(names.bridge.clone()))?;
        // A link of this name is left over from a Pod that held the address before.
        stack.remove(&link).await?;
        stack.veth(&link, None, POD_INTERFACE, pod, bridge.mtu).await?;
        let near = stack.find(&link).await?.ok_or_else(|| Error::NoInterface(link.clone()))?;
        stack.route_behind(alone, &near, Some(gateway)).await?;
        // Only for ports of Services on the node's own loopback; where settings are read-only, they are not there.
        let _ = sysctl::write(&format!("ipv4/conf/{link}/route_localnet"), "1");
        neighbours::answer_for(&link);
        if has_ipv6 {
            six::near(&stack, &near, alone).await
        } else {
            six::none(&link);
            Ok(())
        }
    })?;
    namespace::run(Some(pod), || async {
        let stack = Stack::open()?;
        for link in stack.links().await? {
            if link.name == "lo" {
                stack.up(&link).await?;
            } else if link.name == POD_INTERFACE {
                if binding::rejoin(&stack, &link).await? {
                    return Ok(());
                }
                stack.address_alone(&link, own).await?;
                if has_ipv6 {
                    six::far(&stack, &link, alone).await?;
                }
                stack.up(&link).await?;
                stack.route_behind(Cidr::new(gateway, 32), &link, None).await?;
                if has_ipv6 {
                    six::leave(&stack, &link).await?;
                }
            }
        }
        stack.default_route(gateway).await
    })
}

/// Makes a link between the bridge and the namespace `pod`, and configures its end there.
pub(crate) fn connect(
    namespace: Option<&File>,
    names: &Names,
    pod: &File,
    own: Cidr,
    gateway: Ipv4Addr,
) -> Result<(), Error> {
    let link = names.link(own.address);
    namespace::run(namespace, || async {
        let stack = Stack::open()?;
        let bridge = stack.find(&names.bridge).await?;
        let bridge = bridge.ok_or_else(|| Error::NoInterface(names.bridge.clone()))?;
        // A link of this name is left over from a Pod that held the address before.
        stack.remove(&link).await?;
        stack.veth(&link, Some(bridge.index), POD_INTERFACE, pod, bridge.mtu).await
    })?;
    namespace::run(Some(pod), || async {
        let stack = Stack::open()?;
        for link in stack.links().await? {
            if link.name == "lo" {
                stack.up(&link).await?;
            } else if link.name == POD_INTERFACE {
                stack.address(&link, own).await?;
                let near = twin_network(own).host(1).filter(|_| ipv6::is_there());
                if near.is_some() {
                    stack.address6(&link, twin_network(own)).await?;
                }
                stack.up(&link).await?;
                if let Some(near) = near {
                    stack.default_route6(near, &link).await?;
                }
            }
        }
        stack.default_route(gateway).await
    })
}

/// Puts the link of what [`connect`] connected back on the bridge, which somebody else may have removed meanwhile.
pub(crate) fn reconnect(namespace: Option<&File>, names: &Names, address: Ipv4Addr) -> Result<(), Error> {
    let link = names.link(address);
    namespace::run(namespace, || async {
        let stack = Stack::open()?;
        let bridge = stack.find(&names.bridge).await?;
        let bridge = bridge.ok_or_else(|| Error::NoInterface(names.bridge.clone()))?;
        match stack.find(&link).await? {
            Some(link) if link.controller == Some(bridge.index) && link.up => Ok(()),
            Some(link) => stack.join(&link, bridge.index, bridge.mtu).await,
            None => Err(Error::NoInterface(link)),
        }
    })
}

/// Lists those of `links` that are no ports of the bridge, or down.
pub(crate) fn loose(namespace: Option<&File>, names: &Names, links: &[String]) -> Result<Vec<String>, Error> {
    namespace::run(namespace, || async {
        let there = Stack::open()?.links().await?;
        let bridge = there.iter().find(|link| link.name == names.bridge).map(|link| link.index);
        let is_port = |name: &String| {
            let good = |link: &&crate::link::Link| link.up && bridge.is_some() && link.controller == bridge;
            there.iter().filter(good).any(|link| link.name == *name)
        };
        let loose = links.iter().filter(|name| !is_port(name));
        Ok(loose.map(|name| format!("the link {name}")).collect())
    })
}

/// Removes a Pod's link. Usually it went with the Pod's namespace.
pub(crate) fn detach(namespace: Option<&File>, names: &Names, address: Ipv4Addr) -> Result<(), Error> {
    let link = names.link(address);
    namespace::run(namespace, || async move { Stack::open()?.remove(&link).await })
}

/// Removes links, bridge and rules, and switches forwarding off again if nobody of us needs it.
pub(crate) fn teardown(namespace: Option<&File>, names: &Names, addresses: &Addresses) -> Result<(), Error> {
    let switched = forwarding::Switched {
        ip: addresses.forwarding_switched_on(),
        ip6: addresses.forwarding6_switched_on(),
        advised: addresses.advised().to_vec(),
    };
    namespace::run(namespace, || async move {
        let stack = Stack::open()?;
        for link in stack.links().await? {
            // A namespace that goes takes its links along, at a time of its own.
            if link.name.starts_with(&names.link_prefix) {
                stack.remove(&link.name).await?;
            }
        }
        stack.remove(&names.bridge).await?;
        for table in std::iter::once(names.table.clone()).chain(super::filter::tables(names)) {
            nft::remove_table(&table)?;
        }
        let is_others = |name: &str| name.starts_with(TABLE_PREFIX) && name != forwarding::NOTE;
        let others = nft::tables()?.iter().any(|table| is_others(&table.name));
        forwarding::leave(switched, others)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        let (a, b) = (Names::of("/var/lib/ironclad/node-0"), Names::of("/var/lib/ironclad/node-1"));
        assert_ne!(a, b);
        assert!(a.link(Ipv4Addr::new(10, 244, 0, 255)).len() <= 15);
        assert_eq!(a, Names::of("/var/lib/ironclad/node-0"));
    }

    #[test]
    fn the_rules_are_the_reviewed_ones() {
        let rules = rules(
            &Names::of("x"),
            Cidr::new(Ipv4Addr::new(10, 244, 0, 0), 24),
            &[Cidr::new(Ipv4Addr::new(10, 244, 1, 0), 24)],
            Some(Ipv4Addr::new(10, 244, 0, 254)),
        );
        insta::assert_snapshot!(rules.ip);
        insta::assert_snapshot!("the_rules_of_the_other_family", rules.ip6);
    }
}
