//! A machine behind its Pod's address, inside the Pod's network namespace.
//!
//! What comes in on the Pod's address goes on to the machine (all of it, or only the listed ports); what the machine
//! sends leaves with the Pod's address. A Pod with an IPv6 address has the same once more: `fd10:0:2::1` and `fd10:0:2::2`.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::OwnedFd;

use wire::machine::{Dhcp, Ipv6Lease};

use super::rules::{self, Sides};
use super::{BRIDGE, BRIDGE_MAC, Facts, Masquerade, Spec, lease_mtu, open_loopback, plug, sockets};
use crate::link::{Link, Stack};
use crate::nft::Transaction;
use crate::{Cidr, Cidr6, Error, nft, sysctl};

/// Makes bridge, tap, rules and sockets behind the Pod's interface `outer`; see [`super::inside`].
pub(super) async fn prepare(
    stack: &Stack,
    outer: &Link,
    spec: &Spec,
    masquerade: &Masquerade,
) -> Result<(Facts, Vec<OwnedFd>, Transaction), Error> {
    let too_small = |network: &dyn std::fmt::Display| {
        Error::Exhausted(format!("the machine's network {network} has no room for it"))
    };
    let (network, network6) = (masquerade.network, masquerade.network6);
    let host = |number| network.host(number).ok_or_else(|| too_small(&network));
    let host6 = |number| network6.host(number).ok_or_else(|| too_small(&network6));
    let four = Sides { gateway: host(1)?, machine: host(2)? };
    let outer6 = stack.addresses6(outer).await?;
    let six = if outer6.is_empty() { None } else { Some(Sides { gateway: host6(1)?, machine: host6(2)? }) };
    // They name interfaces that need not be there yet, and `nft` takes longer than all the rest.
    let rules = rules::masquerade(&masquerade.ports, &four, six.as_ref());
    let rules = nft::begin_replacing(rules::TABLE, &rules)?;
    let bridge = stack.bridge(BRIDGE, outer.mtu, Some(BRIDGE_MAC)).await?;
    if let Some(six) = &six {
        route6(stack, &bridge, Cidr6::new(six.gateway, network6.prefix)).await?;
    }
    stack.address(&bridge, Cidr::new(four.gateway, network.prefix)).await?;
    stack.up(&bridge).await?;
    let tap = plug(stack, &bridge, outer.mtu).await?;
    sysctl::write("ipv4/ip_forward", "1")?;
    open_loopback()?;

    let mtu = lease_mtu(outer);
    let lease = Dhcp {
        ipv6: six.as_ref().map(|six| lease6(spec, six.machine, network6.prefix)),
        ..spec.lease(Cidr::new(four.machine, network.prefix), four.gateway, mtu)
    };
    let mut pod_ips: Vec<IpAddr> = Vec::new();
    pod_ips.extend(stack.addresses(outer).await?.iter().map(|cidr| IpAddr::V4(cidr.address)));
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

fn lease6(spec: &Spec, address: Ipv6Addr, prefix: u8) -> Ipv6Lease {
    let servers = |server: &IpAddr| match server {
        IpAddr::V6(server) => Some(*server),
        IpAddr::V4(_) => None,
    };
    Ipv6Lease {
        dhcp: format!("nic/{}/dhcp6", spec.interface),
        advertiser: format!("nic/{}/advertiser", spec.interface),
        address,
        prefix,
        router: BRIDGE_MAC,
        dns: spec.dns.iter().filter_map(servers).collect(),
    }
}
