//! Addresses that are written as names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reads `4.3.2.1.in-addr.arpa` and its like of IPv6; `None` for other names, also for those of whole networks.
pub(super) fn address(labels: &[String]) -> Option<IpAddr> {
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    match labels.as_slice() {
        [a, b, c, d, "in-addr", "arpa"] => {
            let text = [*d, *c, *b, *a].join(".");
            text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
        }
        [nibbles @ .., "ip6", "arpa"] if nibbles.len() == 32 => {
            let number = nibbles.iter().rev().try_fold(0_u128, |number, nibble| {
                let digit = match nibble.as_bytes() {
                    [digit] => char::from(*digit).to_digit(16)?,
                    _ => return None,
                };
                Some(number << 4 | u128::from(digit))
            });
            number.map(|number| IpAddr::V6(Ipv6Addr::from(number)))
        }
        _ => None,
    }
}

/// Reads an address whose dots or colons are dashes.
pub(super) fn dashed(label: &str) -> Option<IpAddr> {
    let four = label.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::V4);
    four.or_else(|_| label.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6)).ok()
}

/// Writes an address as a label.
pub(super) fn label(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}
