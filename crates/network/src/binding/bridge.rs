//! A machine with its Pod's own address, inside the Pod's network namespace.
//!
//! The Pod's interface gives its addresses up and becomes a port of the bridge, beside the machine's tap. The Pod keeps one
//! address ([`Note::spare`]) for what it says to its machine: answers to DHCP, and connections to its ports. The machine is
//! not told of IPv6, and what the Pod had of it is gone: packets of that family pass, for a guest that is configured by
//! hand, but nobody on this side sends or believes any.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;

use wire::machine::Dhcp;

use super::note::Note;
use super::{BRIDGE, Facts, POD_INTERFACE, Spec, TAP, lease_mtu, open_loopback, plug, rules, sockets};
use crate::link::{Link, Stack};
use crate::nft::Transaction;
use crate::{Cidr, Error, nft, sysctl};

/// Moves the Pod's address from its interface `outer` into the machine's lease; see [`super::inside`].
pub(super) async fn prepare(
    stack: &Stack,
    outer: &Link,
    spec: &Spec,
) -> Result<(Facts, Vec<OwnedFd>, Transaction), Error> {
    let held = stack.addresses(outer).await?;
    let note = match held.first() {
        Some(address) => Note { address: *address, hops: stack.hops(outer).await? },
        None => noted(stack).await?.ok_or_else(|| Error::NoAddress(POD_INTERFACE.into()))?,
    };
    let (machine, spare) = (note.address.address, note.spare());
    // `nft` takes longer than all the rest.
    let rules = nft::begin_replacing(rules::TABLE, &rules::bridge(machine, spare))?;
    let bridge = stack.bridge(BRIDGE, outer.mtu, None).await?;
    if !held.is_empty() {
        stack.set_alias(&bridge, &note.to_alias()?).await?;
    }
    // From here on the note says what the interface does not. The first address is what it is read from, so it goes last.
    for address in held.iter().rev() {
        stack.remove_address(outer, *address).await?;
    }
    silence(&[POD_INTERFACE, BRIDGE]);
    enslave(stack, outer, &bridge).await?;
    stack.address(&bridge, Cidr::new(spare, 32)).await?;
    stack.up(&bridge).await?;
    stack.route_behind(Cidr::new(machine, 32), &bridge, Some(spare)).await?;
    let tap = plug(stack, &bridge, outer.mtu).await?;
    silence(&[TAP]);
    open_loopback()?;

    let mtu = lease_mtu(outer);
    let gateway = note.gateway().unwrap_or(Ipv4Addr::UNSPECIFIED);
    let lease = Dhcp { server: Some(spare), routes: note.routes(), ..spec.lease(note.address, gateway, mtu) };
    let facts = Facts { has_tap: tap.is_some(), lease, mtu, pod_ips: vec![IpAddr::V4(machine)] };
    let descriptors = std::iter::once(sockets::dhcp()?).chain(tap).collect();
    Ok((facts, descriptors, rules))
}

/// Makes `outer` a port of the bridge where this namespace's machine has the Pod's address, and says whether it does. For
/// an interface that was made again while the machine runs: it must not have the address a second time.
pub(crate) async fn rejoin(stack: &Stack, outer: &Link) -> Result<bool, Error> {
    if noted(stack).await?.is_none() {
        return Ok(false);
    }
    let Some(bridge) = stack.find(BRIDGE).await? else { return Ok(false) };
    silence(&[POD_INTERFACE]);
    enslave(stack, outer, &bridge).await?;
    Ok(true)
}

/// Reads the note on the bridge.
async fn noted(stack: &Stack) -> Result<Option<Note>, Error> {
    Ok(stack.find(BRIDGE).await?.and_then(|bridge| bridge.alias?.parse().ok()))
}

async fn enslave(stack: &Stack, outer: &Link, bridge: &Link) -> Result<(), Error> {
    stack.join(outer, bridge.index, outer.mtu).await?;
    // Whoever is on the other side may answer for any address (a node that routes between Pods does, and so does pasta):
    // questions for the Pod's own are not passed on to it. A kernel that cannot do so has them answered twice.
    let _ = stack.keep_own_questions(outer).await;
    Ok(())
}

/// Has the Pod's own stack say and hear nothing by IPv6.
fn silence(links: &[&str]) {
    for link in links {
        // On a kernel without IPv6 there is nothing to switch off.
        let _ = sysctl::write(&format!("ipv6/conf/{link}/disable_ipv6"), "1");
    }
}
