//! The sockets on which a machine is told its addresses, bound to the bridge and to nothing else.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::net::sockopt;

use super::BRIDGE;
use crate::Error;

/// Where clients look for DHCPv6 servers.
const DHCP_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// Where hosts look for routers.
const ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Neighbours believe nothing that a router could have passed on.
const UNTOUCHED: u8 = 255;
/// Kind of the only message that is received.
const SOLICITATION: u32 = 133;

/// Opens the DHCP server's socket.
pub(super) fn dhcp() -> Result<OwnedFd, Error> {
    let socket = open(libc::AF_INET, libc::SOCK_DGRAM, 0, "the DHCP socket")?;
    let failed = |error: rustix::io::Errno| Error::system("set up the DHCP socket")(error);
    sockopt::set_socket_reuseaddr(&socket, true).map_err(failed)?;
    sockopt::set_socket_broadcast(&socket, true).map_err(failed)?;
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 67);
    rustix::net::bind(&socket, &address).map_err(Error::system("bind the DHCP socket to port 67"))?;
    Ok(socket)
}

/// Opens the DHCPv6 server's socket on the bridge with this index.
pub(super) fn dhcp6(bridge: u32) -> Result<OwnedFd, Error> {
    let socket = open(libc::AF_INET6, libc::SOCK_DGRAM, 0, "the DHCPv6 socket")?;
    let failed = |error: rustix::io::Errno| Error::system("set up the DHCPv6 socket")(error);
    sockopt::set_socket_reuseaddr(&socket, true).map_err(failed)?;
    sockopt::set_ipv6_v6only(&socket, true).map_err(failed)?;
    sockopt::set_ipv6_add_membership(&socket, &DHCP_SERVERS, bridge).map_err(failed)?;
    let address = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 547, 0, 0);
    rustix::net::bind(&socket, &address).map_err(Error::system("bind the DHCPv6 socket to port 547"))?;
    Ok(socket)
}

/// Opens the socket of the router's advertisements on the bridge with this index.
pub(super) fn advertiser(bridge: u32) -> Result<OwnedFd, Error> {
    let socket = open(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6, "the router's socket")?;
    let failed = |error: rustix::io::Errno| Error::system("set up the router's socket")(error);
    sockopt::set_ipv6_multicast_hops(&socket, u32::from(UNTOUCHED)).map_err(failed)?;
    sockopt::set_ipv6_unicast_hops(&socket, Some(UNTOUCHED)).map_err(failed)?;
    sockopt::set_ipv6_add_membership(&socket, &ROUTERS, bridge).map_err(failed)?;
    only_solicitations(&socket).map_err(Error::system("filter the router's socket"))?;
    Ok(socket)
}

/// Has the kernel keep back every message but the one that the launcher answers.
#[allow(unsafe_code, reason = "no crate wraps this option")]
fn only_solicitations(socket: &OwnedFd) -> std::io::Result<()> {
    /// Option of raw ICMPv6 sockets (RFC 3542, 3.2): a bit for each kind that is blocked.
    const ICMP6_FILTER: libc::c_int = 1;
    let mut blocked = [u32::MAX; 8];
    blocked[(SOLICITATION / 32) as usize] &= !(1 << (SOLICITATION % 32));
    // SAFETY: the pointer is to an array that outlives the call, and the length is its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_ICMPV6,
            ICMP6_FILTER,
            blocked.as_ptr().cast(),
            size_of_val(&blocked) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Opens a socket that hears and speaks on the bridge only.
#[allow(unsafe_code, reason = "no crate wraps the binding to a device by name")]
fn open(family: libc::c_int, kind: libc::c_int, protocol: libc::c_int, what: &str) -> Result<OwnedFd, Error> {
    let check = |result: libc::c_int| {
        let failed = Error::system::<std::io::Error>(format!("open {what} on the bridge"));
        if result < 0 { Err(failed(std::io::Error::last_os_error())) } else { Ok(result) }
    };
    // SAFETY: takes no pointers.
    let raw =
        check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, protocol) })?;
    // SAFETY: the call above returned this descriptor, and nobody else knows of it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
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
    Ok(socket)
}
