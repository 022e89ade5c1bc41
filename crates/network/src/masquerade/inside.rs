//! The work inside the Pod's network namespace.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use wire::machine::Dhcp;

use super::{BRIDGE, BRIDGE_MAC, Facts, MasqueradeSpec, POD_INTERFACE, TAP, rules};
use crate::link::Stack;
use crate::nft::Transaction;
use crate::{Cidr, Error, nft, sysctl, tap};

/// Makes bridge, tap, rules and socket; the socket is the first of the descriptors, the tap the second. The rules
/// are in force once the transaction has ended.
pub(super) async fn prepare(spec: &MasqueradeSpec) -> Result<(Facts, Vec<OwnedFd>, Transaction), Error> {
    let too_small = || Error::Exhausted(format!("the machine's network {} has no room for it", spec.network));
    let gateway = spec.network.host(1).ok_or_else(too_small)?;
    let machine = spec.network.host(2).ok_or_else(too_small)?;
    // They name interfaces that need not be there yet, and `nft` takes longer than all the rest.
    let rules = nft::begin_replacing(rules::TABLE, &rules::body(spec, gateway, machine))?;
    let stack = Stack::open()?;
    let outer = stack.find(POD_INTERFACE).await?.ok_or_else(|| Error::NoInterface(POD_INTERFACE.into()))?;
    let bridge = stack.bridge(BRIDGE, outer.mtu, Some(BRIDGE_MAC)).await?;
    stack.address(&bridge, Cidr::new(gateway, spec.network.prefix)).await?;
    stack.up(&bridge).await?;

    let tap = tap::open(TAP)?;
    let link = stack.find(TAP).await?.ok_or_else(|| Error::NoInterface(TAP.into()))?;
    stack.join(&link, bridge.index, outer.mtu).await?;

    sysctl::write("ipv4/ip_forward", "1")?;
    // The Pod's own loopback reaches the machine as well; such packets cross the bridge.
    sysctl::write(&format!("ipv4/conf/{BRIDGE}/route_localnet"), "1")?;

    let mtu = u16::try_from(outer.mtu).unwrap_or(u16::MAX);
    let lease = Dhcp {
        socket: format!("nic/{}/dhcp", spec.interface),
        address: machine,
        prefix: spec.network.prefix,
        gateway,
        dns: spec.dns.clone(),
        search: spec.search.clone(),
        hostname: spec.hostname.clone(),
        mtu,
        extra: spec.dhcp_options.clone(),
    };
    let pod_ips: Vec<Ipv4Addr> = stack.addresses(&outer).await?.iter().map(|cidr| cidr.address).collect();
    let facts = Facts { has_tap: tap.is_some(), lease, mtu, pod_ips };
    let descriptors = std::iter::once(dhcp_socket()?).chain(tap).collect();
    Ok((facts, descriptors, rules))
}

/// Opens the DHCP server's socket on the bridge, and on nothing else.
#[allow(unsafe_code, reason = "the socket must have its options before it is bound")]
fn dhcp_socket() -> Result<OwnedFd, Error> {
    let failed = || Error::system::<std::io::Error>("open the DHCP socket on the bridge");
    let check = |result: libc::c_int| {
        if result < 0 { Err(failed()(std::io::Error::last_os_error())) } else { Ok(result) }
    };
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes no pointers.
    let raw = check(unsafe { libc::socket(libc::AF_INET, kind, 0) })?;
    // SAFETY: the call above returned this descriptor, and nobody else knows of it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    let on: libc::c_int = 1;
    for option in [libc::SO_REUSEADDR, libc::SO_BROADCAST] {
        let value = (&raw const on).cast();
        // SAFETY: the pointer is to an integer that outlives the call, and the length is its size.
        check(unsafe {
            libc::setsockopt(
                raw,
                libc::SOL_SOCKET,
                option,
                value,
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        })?;
    }
    let name = BRIDGE.as_bytes();
    // SAFETY: the pointer is to as many bytes as the length says.
    check(unsafe {
        libc::setsockopt(
            raw,
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            name.as_ptr().cast(),
            name.len() as libc::socklen_t,
        )
    })?;
    let address = rustix::net::SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 67);
    debug_assert_eq!(socket.as_raw_fd(), raw);
    rustix::net::bind(&socket, &address).map_err(Error::system("bind the DHCP socket to port 67"))?;
    Ok(socket)
}
