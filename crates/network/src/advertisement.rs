//! What a machine's router says of itself (RFC 4861, RFC 8106), as a pure function of the machine's lease.
//!
//! It tells the machine its default route and MTU, and to ask for its address by DHCPv6. The kernel that sends it adds
//! the checksum.

use std::net::Ipv6Addr;

use wire::machine::Dhcp;

use crate::ipv6::Cidr6;

/// How often a router says so unasked.
pub const INTERVAL: std::time::Duration = std::time::Duration::from_secs(600);

/// Kind of the message.
const ADVERTISEMENT: u8 = 134;
/// Kind of the message that asks for it.
const SOLICITATION: u8 = 133;
/// Addresses come by DHCPv6, and so does the rest.
const MANAGED_AND_OTHER: u8 = 0xc0;
/// Seconds that it holds: three times [`INTERVAL`], as the standard advises.
const LIFETIME: u16 = 1800;
/// Addresses of the network are reached without the router; none may be made up.
const ON_LINK: u8 = 0x80;

/// Says whether an ICMPv6 message asks for the router.
pub fn asks(message: &[u8]) -> bool {
    message.len() >= 8 && message[0] == SOLICITATION
}

/// Writes the advertisement of the router of `lease`; `None` without IPv6.
pub fn message(lease: &Dhcp) -> Option<Vec<u8>> {
    let six = lease.ipv6.as_ref()?;
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, 64, MANAGED_AND_OTHER];
    message.extend(LIFETIME.to_be_bytes());
    // Times for reachability and for asking again: the machine's own.
    message.extend([0; 8]);
    message.extend([1, 1]);
    message.extend(six.router);
    if lease.mtu != 0 {
        message.extend([5, 1, 0, 0]);
        message.extend(u32::from(lease.mtu).to_be_bytes());
    }
    let network = Cidr6::new(six.address, six.prefix).network();
    message.extend([3, 4, network.prefix, ON_LINK]);
    message.extend([0xff; 8]);
    message.extend([0; 4]);
    message.extend(network.address.octets());
    if !six.dns.is_empty() {
        message.extend([25, (1 + 2 * six.dns.len()) as u8, 0, 0]);
        message.extend(u32::from(LIFETIME).to_be_bytes());
        message.extend(six.dns.iter().flat_map(Ipv6Addr::octets));
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use wire::machine::Ipv6Lease;

    use super::*;

    #[test]
    fn options_fill_whole_units_and_say_what_the_lease_says() {
        let address: Ipv6Addr = "fd10:0:2::2".parse().expect("an address");
        let lease = Dhcp {
            socket: String::new(),
            address: std::net::Ipv4Addr::UNSPECIFIED,
            prefix: 24,
            gateway: std::net::Ipv4Addr::UNSPECIFIED,
            server: None,
            routes: Vec::new(),
            dns: Vec::new(),
            search: Vec::new(),
            hostname: String::new(),
            mtu: 1400,
            extra: Vec::new(),
            ipv6: Some(Ipv6Lease {
                dhcp: String::new(),
                advertiser: String::new(),
                address,
                prefix: 120,
                router: [2, 0, 0, 0, 0, 0],
                dns: vec![address],
            }),
        };
        let message = message(&lease).expect("a message");
        assert_eq!((message[0], message[5], &message[6..8]), (134, 0xc0, &[7, 8][..]));
        let mut options = Vec::new();
        let mut rest = &message[16..];
        while let [kind, units, ..] = rest {
            options.push((*kind, *units));
            rest = &rest[usize::from(*units) * 8..];
        }
        assert_eq!(options, [(1, 1), (5, 1), (3, 4), (25, 3)]);
        assert!(message.windows(4).any(|window| window == [0, 0, 5, 120]), "the MTU");
        assert!(asks(&[133, 0, 0, 0, 0, 0, 0, 0]) && !asks(&message) && !asks(&[133]));
        assert_eq!(super::message(&Dhcp { ipv6: None, ..lease }), None);
    }
}
