//! The second family of addresses: each Pod's IPv6 address follows from its IPv4 address.
//!
//! The last 32 bits of a Pod's IPv6 address are its IPv4 address, behind a prefix of unique local addresses (RFC 4193)
//! of our own. So there is one pool of addresses, networks that do not overlap in one family do not in the other, and a
//! node knows its peers' networks without being told. Nothing leaves the host with such an address: it is translated.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::{Cidr, sysctl};

/// Bits before the IPv4 address. The 40 after `fd` were drawn at random once, as RFC 4193 asks.
const PREFIX: u8 = 96;
const PODS: Ipv6Addr = Ipv6Addr::new(0xfd5b, 0x6c1e, 0x93a7, 0, 0, 0, 0, 0);

/// The node as every Pod sees it, on the Pod's own link. Gateways answer neighbours for the addresses of the link only,
/// hence not the node's address in the Pods' network.
pub(crate) const LINK_GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// Network between a Pod and its machine unless the specification names another.
pub const DEFAULT_NETWORK: Cidr6 = Cidr6::new(Ipv6Addr::new(0xfd10, 0, 2, 0, 0, 0, 0, 0), 120);

/// An IPv6 address with the length of its network prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cidr6 {
    /// Any address of the network.
    pub address: Ipv6Addr,
    /// Prefix length, at most 128.
    pub prefix: u8,
}

impl Cidr6 {
    /// Joins an address and a prefix length (at most 128).
    pub const fn new(address: Ipv6Addr, prefix: u8) -> Self {
        Self { address, prefix }
    }

    /// Returns the network itself: every bit after the prefix is zero.
    #[must_use]
    pub fn network(self) -> Self {
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix.min(128))).unwrap_or(0);
        Self { address: Ipv6Addr::from(u128::from(self.address) & mask), prefix: self.prefix }
    }

    /// Returns the host with this number, counted from the network address; `None` beyond the last one.
    pub fn host(self, number: u32) -> Option<Ipv6Addr> {
        let room = 128 - u32::from(self.prefix.min(128));
        let fits = room >= 32 || u64::from(number) < 1 << room;
        fits.then(|| Ipv6Addr::from(u128::from(self.network().address) + u128::from(number)))
    }
}

impl fmt::Display for Cidr6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Returns the IPv6 address that belongs to a Pod's or a node's IPv4 address.
pub fn twin(address: Ipv4Addr) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(PODS) | u128::from(u32::from(address)))
}

/// Returns the IPv6 network that belongs to an IPv4 network.
pub(crate) fn twin_network(network: Cidr) -> Cidr6 {
    Cidr6::new(twin(network.address), PREFIX + network.prefix)
}

/// Says whether the calling thread's network namespace has IPv6: in the kernel, and not switched off.
pub(crate) fn is_there() -> bool {
    ["all", "default"]
        .iter()
        .all(|which| sysctl::read(&format!("ipv6/conf/{which}/disable_ipv6")).is_ok_and(|value| value == "0"))
}

/// Says whether the calling thread's network namespace has a default route for IPv6, through which a program can carry
/// connections.
pub(crate) fn leads_out() -> bool {
    is_there() && std::fs::read_to_string("/proc/net/ipv6_route").is_ok_and(|routes| has_default(&routes))
}

/// Looks for a default route that refuses nothing in the kernel's table (`/proc/net/ipv6_route`: destination, length of its
/// prefix, source, length, gateway, metric, use counts, flags and link).
fn has_default(routes: &str) -> bool {
    /// Flag of a route that answers "unreachable".
    const REFUSES: u32 = 0x0200;
    routes.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [destination, length, .., flags, link] = fields.as_slice() else { return false };
        let refuses = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & REFUSES != 0);
        destination.bytes().all(|digit| digit == b'0') && *length == "00" && !refuses && *link != "lo"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_route_is_told_from_one_that_refuses() {
        let zero = "0".repeat(32);
        let route = |destination: &str, length: &str, flags: &str, link: &str| {
            format!("{destination} {length} {zero} 00 {zero} 00000400 00000001 00000000 {flags} {link}\n")
        };
        let own = format!("fd{}", "0".repeat(30));
        assert!(!has_default(""));
        assert!(!has_default(&route(&own, "40", "00000001", "eth0")));
        assert!(!has_default(&route(&zero, "00", "00200200", "lo")));
        assert!(has_default(
            &[route(&own, "40", "00000001", "eth0"), route(&zero, "00", "00000003", "eth0")].concat()
        ));
    }

    #[test]
    fn addresses_follow_from_each_other() {
        let pod = Ipv4Addr::new(10, 244, 0, 2);
        assert_eq!(twin(pod).to_string(), "fd5b:6c1e:93a7::af4:2");
        let network = twin_network(Cidr::new(pod, 24));
        assert_eq!(network.network().to_string(), "fd5b:6c1e:93a7::af4:0/120");
        assert_eq!(network.host(2), Some(twin(pod)));
    }

    #[test]
    fn hosts_stay_in_their_network() {
        let network = DEFAULT_NETWORK;
        assert_eq!(network.host(2).map(|host| host.to_string()).as_deref(), Some("fd10:0:2::2"));
        assert_eq!((network.host(255).is_some(), network.host(256)), (true, None));
        assert_eq!(Cidr6::new(network.address, 128).host(1), None);
        assert!(Cidr6::new(network.address, 64).host(u32::MAX).is_some());
        assert_eq!(Cidr6::new(network.address, 0).network().to_string(), "::/0");
    }
}
