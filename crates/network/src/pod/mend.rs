//! Makes again what was taken from a node's network while its Pods run: `nft flush ruleset`, which starting a firewall
//! does, a removed link, forwarding that was switched off.

use std::fs::File;
use std::net::Ipv4Addr;

use super::bridge::Names;
use super::six;
use crate::link::Stack;
use crate::{Cidr, Error, namespace, nft, sysctl};

/// What was found of a node's network.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What all Pods share and is not there.
    pub(crate) missing: Vec<String>,
    /// Names of all links.
    pub(crate) links: Vec<String>,
}

/// Which packets the node passed on when its network was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwards {
    pub(crate) ip: bool,
    pub(crate) ip6: bool,
}

impl Forwards {
    /// Reads what the node does now.
    pub(crate) fn of(namespace: Option<&File>, has_ipv6: bool) -> Result<Self, Error> {
        namespace::run(namespace, || async move { Ok(Self::here(has_ipv6)) })
    }

    fn here(has_ipv6: bool) -> Self {
        let is_on = |setting: &str| sysctl::read(setting).is_ok_and(|value| value != "0");
        Self { ip: is_on("ipv4/ip_forward"), ip6: has_ipv6 && is_on("ipv6/conf/all/forwarding") }
    }
}

/// Looks at what all Pods of a node share.
pub(crate) fn look(
    namespace: Option<&File>,
    names: &Names,
    network: Cidr,
    forwards: Forwards,
) -> Result<Found, Error> {
    namespace::run(namespace, || async move {
        let stack = Stack::open()?;
        let links = stack.links().await?;
        let mut missing = Vec::new();
        let bridge = names.bridge();
        let is_whole = match links.iter().find(|link| link.name == bridge) {
            Some(link) if link.up => {
                let addresses = stack.addresses(link).await?;
                addresses.iter().any(|found| Some(found.address) == network.host(1))
            }
            _ => false,
        };
        if !is_whole {
            missing.push(format!("the link {bridge}"));
        }
        let own = names.own_table();
        let there = nft::tables()?;
        for (family, wanted) in [("ip", true), ("ip6", forwards.ip6)] {
            if wanted && !there.iter().any(|table| table.family == family && table.name == own) {
                missing.push(format!("the table {family} {own}"));
            }
        }
        let now = Forwards::here(forwards.ip6);
        for (setting, was, is) in [
            ("net.ipv4.ip_forward", forwards.ip, now.ip),
            ("net.ipv6.conf.all.forwarding", forwards.ip6, now.ip6),
        ] {
            if was && !is {
                missing.push(format!("the setting {setting}"));
            }
        }
        Ok(Found { missing, links: links.into_iter().map(|link| link.name).collect() })
    })
}

/// Routes to a Pod again: the routes went with the node's address.
pub(super) fn reroute(
    namespace: Option<&File>,
    names: &Names,
    address: Ipv4Addr,
    gateway: Ipv4Addr,
    has_ipv6: bool,
) -> Result<(), Error> {
    let (name, alone) = (names.link(address), Cidr::new(address, 32));
    namespace::run(namespace, || async move {
        let stack = Stack::open()?;
        let Some(link) = stack.find(&name).await? else { return Ok(()) };
        stack.route_behind(alone, &link, Some(gateway)).await?;
        if has_ipv6 { six::near(&stack, &link, alone).await } else { Ok(()) }
    })
}
