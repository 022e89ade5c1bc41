//! The work inside the Pod's network namespace.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::OwnedFd;

use wire::machine::{Dhcp, Ipv6Lease};

use super::rules::{self, Sides};
use super::{BRIDGE, BRIDGE_MAC, Facts, MasqueradeSpec, POD_INTERFACE, TAP, sockets};
use crate::link::{Link, Stack};
use crate::nft::Transaction;
use crate::{Cidr, Cidr6, Error, nft, sysctl, tap};

/// Makes bridge, tap, rules and sockets. The descriptors are the DHCP socket, the tap unless it is held already, and
/// the two sockets for IPv6 where the Pod has that. The rules are in force once the transaction has ended.
pub(super) async fn prepare(spec: &MasqueradeSpec) -> Result<(Facts, Vec<OwnedFd>, Transaction), Error> {
    let too_small = |network: &dyn std::fmt::Display| {
        Error::Exhausted(format!("the machine's network {network} has no room for it"))
    };
    let host = |number| spec.network.host(number).ok_or_else(|| too_small(&spec.network));
    let host6 = |number| spec.network6.host(number).ok_or_else(|| too_small(&spec.network6));
    let four = Sides { gateway: host(1)?, machine: host(2)? };
    let stack = Stack::open()?;
    let outer = stack.find(POD_INTERFACE).await?.ok_or_else(|| Error::NoInterface(POD_INTERFACE.into()))?;
    let outer6 = stack.addresses6(&outer).await?;
    let six = if outer6.is_empty() { None } else { Some(Sides { gateway: host6(1)?, machine: host6(2)? }) };
    // They name interfaces that need not be there yet, and `nft` takes longer than all the rest.
    let rules = nft::begin_replacing(rules::TABLE, &rules::body(spec, &four, six.as_ref()))?;
    let bridge = stack.bridge(BRIDGE, outer.mtu, Some(BRIDGE_MAC)).await?;
    if let Some(six) = &six {
        route6(&stack, &bridge, Cidr6::new(six.gateway, spec.network6.prefix)).await?;
    }
    stack.address(&bridge, Cidr::new(four.gateway, spec.network.prefix)).await?;
    stack.up(&bridge).await?;

    let tap = tap::open(TAP)?;
    let link = stack.find(TAP).await?.ok_or_else(|| Error::NoInterface(TAP.into()))?;
    stack.join(&link, bridge.index, outer.mtu).await?;

    sysctl::write("ipv4/ip_forward", "1")?;
    // The Pod's own loopback reaches the machine as well; such packets cross the bridge.
    sysctl::write(&format!("ipv4/conf/{BRIDGE}/route_localnet"), "1")?;

    let mtu = u16::try_from(outer.mtu).unwrap_or(u16::MAX);
    let servers = |server: &IpAddr| match server {
        IpAddr::V4(server) => Some(*server),
        IpAddr::V6(_) => None,
    };
    let lease = Dhcp {
        socket: format!("nic/{}/dhcp", spec.interface),
        address: four.machine,
        prefix: spec.network.prefix,
        gateway: four.gateway,
        dns: spec.dns.iter().filter_map(servers).collect(),
        search: spec.search.clone(),
        hostname: spec.hostname.clone(),
        mtu,
        extra: spec.dhcp_options.clone(),
        ipv6: six.as_ref().map(|six| lease6(spec, six.machine)),
    };
    let mut pod_ips: Vec<IpAddr> = Vec::new();
    pod_ips.extend(stack.addresses(&outer).await?.iter().map(|cidr| IpAddr::V4(cidr.address)));
    pod_ips.extend(outer6.into_iter().map(IpAddr::V6));
    let facts = Facts { has_tap: tap.is_some(), lease, mtu, pod_ips };
    let mut descriptors: Vec<OwnedFd> = std::iter::once(sockets::dhcp()?).chain(tap).collect();
    if six.is_some() {
        descriptors.push(sockets::dhcp6(bridge.index)?);
        descriptors.push(sockets::advertiser(bridge.index)?);
    }
    Ok((facts, descriptors, rules))
}

/// Makes the Pod a router for IPv6, with `own` as its address on the bridge.
async fn route6(stack: &Stack, bridge: &Link, own: Cidr6) -> Result<(), Error> {
    // The bridge is a router from the first packet on: a guest that asks gets an answer at once.
    sysctl::write(&format!("ipv6/conf/{BRIDGE}/accept_dad"), "0")?;
    // A guest is not asked for routes, nor believed.
    sysctl::write(&format!("ipv6/conf/{BRIDGE}/accept_ra"), "0")?;
    sysctl::write(&format!("ipv6/conf/{BRIDGE}/accept_redirects"), "0")?;
    sysctl::write("ipv6/conf/all/forwarding", "1")?;
    stack.address6(bridge, own).await
}

fn lease6(spec: &MasqueradeSpec, address: Ipv6Addr) -> Ipv6Lease {
    let servers = |server: &IpAddr| match server {
        IpAddr::V6(server) => Some(*server),
        IpAddr::V4(_) => None,
    };
    Ipv6Lease {
        dhcp: format!("nic/{}/dhcp6", spec.interface),
        advertiser: format!("nic/{}/advertiser", spec.interface),
        address,
        prefix: spec.network6.prefix,
        router: BRIDGE_MAC,
        dns: spec.dns.iter().filter_map(servers).collect(),
    }
}
