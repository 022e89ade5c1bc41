//! IPv4 networks.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address with the length of its network prefix, such as `10.244.0.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cidr {
    /// Any address of the network.
    pub address: Ipv4Addr,
    /// Prefix length, at most 32.
    pub prefix: u8,
}

impl Cidr {
    /// Joins an address and a prefix length (at most 32).
    pub const fn new(address: Ipv4Addr, prefix: u8) -> Self {
        Self { address, prefix }
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0)
    }

    /// Returns the network itself: every bit after the prefix is zero.
    #[must_use]
    pub fn network(self) -> Self {
        Self { address: Ipv4Addr::from(u32::from(self.address) & self.mask()), prefix: self.prefix }
    }

    /// Says whether `address` is in the network.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == u32::from(self.address) & self.mask()
    }

    /// Says whether the two networks share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.network().address) || other.contains(self.network().address)
    }

    /// Cuts the network into `parts` of one size and returns the one with this number; `None` where a part would have no
    /// room for a Pod beside its gateway.
    pub fn part(self, number: u8, parts: u8) -> Option<Self> {
        let bits = u16::from(parts.max(1)).next_power_of_two().trailing_zeros();
        let prefix = self.prefix + u8::try_from(bits).ok()?;
        let start = u32::from(self.network().address);
        (number < parts.max(1) && prefix <= 30)
            .then(|| Self::new(Ipv4Addr::from(start + (u32::from(number) << (32 - prefix))), prefix))
    }

    /// Returns the host with this number, counted from the network address; `None` beyond the last one.
    pub fn host(self, number: u32) -> Option<Ipv4Addr> {
        let last = !self.mask();
        (number > 0 && number < last).then(|| Ipv4Addr::from(u32::from(self.network().address) + number))
    }

    /// Tells whether a network of Pods has an address for a name server, beside its gateway and one Pod.
    pub fn has_room_for_name_server(self) -> bool {
        self.prefix <= 29
    }

    /// Returns the last host, which no Pod is given: a Pod whose machine has its address speaks to it with this one.
    /// `None` for a network of fewer than eight addresses, which has none to spare.
    pub fn spare(self) -> Option<Ipv4Addr> {
        if self.prefix > 29 { None } else { self.host(!self.mask() - 1) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The text is not an IPv4 network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IPv4 network; write it as 10.244.0.0/24")]
pub struct InvalidCidr(String);

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let cidr = Self { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
            (cidr.prefix <= 32).then_some(cidr)
        };
        parse().ok_or_else(|| InvalidCidr(text.to_owned()))
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl TryFrom<String> for Cidr {
    type Error = InvalidCidr;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect("a network")
    }

    #[test]
    fn overlap_is_symmetric() {
        for (a, b, expected) in [
            ("10.244.0.0/24", "10.244.0.7/32", true),
            ("10.244.0.0/24", "10.244.0.0/16", true),
            ("10.244.0.0/24", "10.244.1.0/24", false),
            ("0.0.0.0/0", "192.0.2.0/24", true),
        ] {
            assert_eq!(cidr(a).overlaps(cidr(b)), expected, "{a} {b}");
            assert_eq!(cidr(b).overlaps(cidr(a)), expected, "{b} {a}");
        }
    }

    #[test]
    fn hosts_leave_out_network_and_broadcast() {
        let network = cidr("10.0.2.9/24");
        assert_eq!(network.host(2), Some(Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!((network.host(0), network.host(255)), (None, None));
        assert_eq!(network.network().to_string(), "10.0.2.0/24");
    }

    #[test]
    fn parts_lie_side_by_side() {
        let network = cidr("10.60.0.0/16");
        assert_eq!(network.part(0, 1), Some(network));
        let parts: Vec<_> = (0..3).filter_map(|number| network.part(number, 3)).collect();
        assert_eq!(parts, [cidr("10.60.0.0/18"), cidr("10.60.64.0/18"), cidr("10.60.128.0/18")]);
        assert_eq!(cidr("10.60.0.0/29").part(1, 2), Some(cidr("10.60.0.4/30")));
        assert_eq!((cidr("10.60.0.0/30").part(0, 2), cidr("10.60.0.0/31").part(0, 1)), (None, None));
        assert_eq!(network.part(3, 3), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["10.0.0.0", "10.0.0.0/33", "a/8", "10.0.0/8"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
