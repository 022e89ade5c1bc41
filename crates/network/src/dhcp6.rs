//! Answers to one machine's DHCPv6 requests (RFC 8415), as a pure function of its lease.
//!
//! The server knows one client, the only one on its bridge, and has one address for it, so it keeps no state and
//! identifies nobody: each request gets the address that it should have. The default route is not DHCPv6's to give;
//! see [`crate::advertisement`].

use std::net::Ipv6Addr;

use wire::machine::{Dhcp, Ipv6Lease};

/// Seconds that an address is good for: always. A machine keeps its address for its life.
const FOREVER: u32 = u32::MAX;
/// Most bytes of a client's identifier (RFC 8415, 11.1: 128 and the type).
const LONGEST_IDENTIFIER: usize = 130;

/// Most bytes of search domains: with them an answer still fits the smallest link that IPv6 allows.
const LONGEST_SEARCH: usize = 1000;

/// Kinds of messages.
mod message {
    pub(super) const SOLICIT: u8 = 1;
    pub(super) const ADVERTISE: u8 = 2;
    pub(super) const REQUEST: u8 = 3;
    pub(super) const CONFIRM: u8 = 4;
    pub(super) const RENEW: u8 = 5;
    pub(super) const REBIND: u8 = 6;
    pub(super) const REPLY: u8 = 7;
    pub(super) const RELEASE: u8 = 8;
    pub(super) const DECLINE: u8 = 9;
    pub(super) const INFORMATION: u8 = 11;
}

/// Codes of options.
mod option {
    pub(super) const CLIENT: u16 = 1;
    pub(super) const SERVER: u16 = 2;
    pub(super) const ADDRESSES: u16 = 3;
    pub(super) const ADDRESS: u16 = 5;
    pub(super) const PREFERENCE: u16 = 7;
    pub(super) const STATUS: u16 = 13;
    pub(super) const RAPID_COMMIT: u16 = 14;
    pub(super) const NAME_SERVERS: u16 = 23;
    pub(super) const SEARCH: u16 = 24;
}

/// Codes of results.
mod status {
    pub(super) const SUCCESS: u16 = 0;
    pub(super) const NOT_ON_LINK: u16 = 4;
}

/// Reads options one after the other; ends at the first that is cut off.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = rest.get(..length)?;
        self.0 = &rest[length..];
        Some((u16::from_be_bytes([head[0], head[1]]), value))
    }
}

/// Answers `packet` (the payload of a datagram to port 547) on behalf of the server of `lease`.
///
/// `None` when it needs no answer, is for another server, or is none of a client.
pub fn respond(lease: &Dhcp, packet: &[u8]) -> Option<Vec<u8>> {
    let six = lease.ipv6.as_ref()?;
    let (head, body) = packet.split_first_chunk::<4>()?;
    let find = |code| Options(body).find(|(found, _)| *found == code).map(|(_, value)| value);
    let client = find(option::CLIENT).filter(|value| value.len() <= LONGEST_IDENTIFIER);
    let own = identifier(six);
    let server = find(option::SERVER);
    // A request to a server names it; one to any server must not.
    let named = match head[0] {
        message::REQUEST | message::RENEW | message::RELEASE | message::DECLINE => {
            server == Some(own.as_slice())
        }
        message::SOLICIT | message::CONFIRM | message::REBIND => server.is_none(),
        message::INFORMATION => server.is_none_or(|named| named == own),
        _ => false,
    };
    if !named || (client.is_none() && head[0] != message::INFORMATION) {
        return None;
    }
    let rapid = head[0] == message::SOLICIT && find(option::RAPID_COMMIT).is_some();
    let kind = if head[0] == message::SOLICIT && !rapid { message::ADVERTISE } else { message::REPLY };
    let mut reply = vec![kind, head[1], head[2], head[3]];
    if let Some(client) = client {
        append(&mut reply, option::CLIENT, client);
    }
    append(&mut reply, option::SERVER, &own);
    match head[0] {
        message::CONFIRM => {
            let result = if holds_only(body, six.address) { status::SUCCESS } else { status::NOT_ON_LINK };
            append(&mut reply, option::STATUS, &result.to_be_bytes());
            return Some(reply);
        }
        message::RELEASE | message::DECLINE => {
            append(&mut reply, option::STATUS, &status::SUCCESS.to_be_bytes());
            return Some(reply);
        }
        message::SOLICIT => {
            append(&mut reply, option::PREFERENCE, &[255]);
            if rapid {
                append(&mut reply, option::RAPID_COMMIT, &[]);
            }
        }
        _ => {}
    }
    if head[0] != message::INFORMATION {
        // The machine has one address, which the first association gets.
        let association = find(option::ADDRESSES).and_then(|value| value.first_chunk::<12>())?;
        append(&mut reply, option::ADDRESSES, &association_of(association, six.address, body));
    }
    if !six.dns.is_empty() {
        let servers: Vec<u8> = six.dns.iter().flat_map(Ipv6Addr::octets).collect();
        append(&mut reply, option::NAME_SERVERS, &servers);
    }
    let search = domains(&lease.search);
    if !search.is_empty() {
        append(&mut reply, option::SEARCH, &search);
    }
    Some(reply)
}

/// Returns the server's identifier: the hardware address of the bridge, of the kind Ethernet (RFC 8415, 11.4).
fn identifier(lease: &Ipv6Lease) -> Vec<u8> {
    [&[0, 3, 0, 1], lease.router.as_slice()].concat()
}

/// Lists the addresses that the client believes to have.
fn claimed(body: &[u8]) -> impl Iterator<Item = Ipv6Addr> + '_ {
    Options(body)
        .filter(|(code, _)| *code == option::ADDRESSES)
        .flat_map(|(_, value)| Options(value.get(12..).unwrap_or_default()))
        .filter(|(code, _)| *code == option::ADDRESS)
        .filter_map(|(_, value)| value.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets)))
}

fn holds_only(body: &[u8], address: Ipv6Addr) -> bool {
    claimed(body).all(|found| found == address)
}

/// Writes the association of the client with its address, and takes back every other that it names.
fn association_of(association: &[u8; 12], address: Ipv6Addr, body: &[u8]) -> Vec<u8> {
    let mut value = association[..4].to_vec();
    // When to renew and to rebind: never, as the address is good for ever.
    value.extend(FOREVER.to_be_bytes());
    value.extend(FOREVER.to_be_bytes());
    let with_lifetime = |address: Ipv6Addr, seconds: u32| {
        [address.octets().as_slice(), &seconds.to_be_bytes(), &seconds.to_be_bytes()].concat()
    };
    append(&mut value, option::ADDRESS, &with_lifetime(address, FOREVER));
    // A handful, however many a hostile client lists.
    for other in claimed(body).filter(|other| *other != address).take(4) {
        append(&mut value, option::ADDRESS, &with_lifetime(other, 0));
    }
    value
}

fn append(message: &mut Vec<u8>, code: u16, value: &[u8]) {
    message.extend(code.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
}

/// Encodes domains as DNS names, without compression; leaves out what is no name, and what no longer fits.
fn domains(search: &[String]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for domain in search {
        let labels: Vec<&str> = domain.trim_end_matches('.').split('.').collect();
        if labels.iter().any(|label| label.is_empty() || label.len() > 63) {
            continue;
        }
        let mut name = Vec::new();
        for label in labels {
            name.push(label.len() as u8);
            name.extend_from_slice(label.as_bytes());
        }
        name.push(0);
        if encoded.len() + name.len() <= LONGEST_SEARCH {
            encoded.extend(name);
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const CLIENT: &[u8] = &[0, 3, 0, 1, 2, 0, 0, 0, 0, 7];

    type Given<'a> = Vec<(u16, &'a [u8])>;

    fn lease() -> Dhcp {
        Dhcp {
            socket: "nic/default/dhcp".into(),
            address: Ipv4Addr::new(10, 0, 2, 2),
            prefix: 24,
            gateway: Ipv4Addr::new(10, 0, 2, 1),
            server: None,
            routes: Vec::new(),
            dns: Vec::new(),
            search: vec!["default.svc.example".into()],
            hostname: "web".into(),
            mtu: 1400,
            extra: Vec::new(),
            ipv6: Some(Ipv6Lease {
                dhcp: "nic/default/dhcp6".into(),
                advertiser: "nic/default/advertiser".into(),
                address: "fd10:0:2::2".parse().expect("an address"),
                prefix: 120,
                router: [2, 0, 0, 0, 0, 0],
                dns: vec!["2001:db8::53".parse().expect("an address")],
            }),
        }
    }

    fn request(kind: u8, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut packet = vec![kind, 1, 2, 3];
        for (code, value) in options {
            append(&mut packet, *code, value);
        }
        packet
    }

    fn found(packet: &[u8], code: u16) -> Option<&[u8]> {
        Options(&packet[4..]).find(|(found, _)| *found == code).map(|(_, value)| value)
    }

    fn association(address: &str) -> Vec<u8> {
        let mut value = vec![0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0];
        let address: Ipv6Addr = address.parse().expect("an address");
        append(&mut value, option::ADDRESS, &[address.octets().as_slice(), &[0; 8]].concat());
        value
    }

    #[test]
    fn each_request_gets_its_answer() {
        let server = identifier(lease().ipv6.as_ref().expect("a lease"));
        let (empty, own) = ([0u8; 12], association("fd10:0:2::2"));
        let client = (option::CLIENT, CLIENT);
        let ours = (option::SERVER, server.as_slice());
        let other = (option::SERVER, CLIENT);
        let wants = (option::ADDRESSES, empty.as_slice());
        let has = (option::ADDRESSES, own.as_slice());
        let table: [(&str, u8, Given<'_>, Option<u8>); 13] = [
            ("solicit", message::SOLICIT, vec![client, wants], Some(message::ADVERTISE)),
            ("rapid", message::SOLICIT, vec![client, (14, &[]), wants], Some(message::REPLY)),
            ("request", message::REQUEST, vec![client, ours, wants], Some(message::REPLY)),
            ("to another", message::REQUEST, vec![client, other, wants], None),
            ("to nobody", message::REQUEST, vec![client, wants], None),
            ("renew", message::RENEW, vec![client, ours, has], Some(message::REPLY)),
            ("rebind", message::REBIND, vec![client, has], Some(message::REPLY)),
            ("confirm", message::CONFIRM, vec![client, has], Some(message::REPLY)),
            ("release", message::RELEASE, vec![client, ours, has], Some(message::REPLY)),
            ("information", message::INFORMATION, vec![], Some(message::REPLY)),
            ("nameless", message::SOLICIT, vec![wants], None),
            ("no association", message::SOLICIT, vec![client], None),
            ("a server's", message::ADVERTISE, vec![client, ours, wants], None),
        ];
        for (name, kind, options, expected) in table {
            let reply = respond(&lease(), &request(kind, &options));
            assert_eq!(reply.as_ref().map(|reply| reply[0]), expected, "{name}");
            assert!(reply.is_none_or(|reply| reply[1..4] == [1, 2, 3]), "{name}");
        }
        let nothing = Dhcp { ipv6: None, ..lease() };
        assert_eq!(respond(&nothing, &request(message::INFORMATION, &[])), None);
    }

    #[test]
    fn the_address_is_handed_out_and_others_are_taken_back() {
        let foreign = association("2001:db8::7");
        let packet = request(message::REBIND, &[(option::CLIENT, CLIENT), (option::ADDRESSES, &foreign)]);
        let reply = respond(&lease(), &packet).expect("a reply");
        let value = found(&reply, option::ADDRESSES).expect("an association");
        assert_eq!(value[..4], [0, 0, 0, 9], "the client's own number");
        let given: Vec<(Ipv6Addr, u8)> = Options(&value[12..])
            .map(|(_, value)| (Ipv6Addr::from(*value.first_chunk::<16>().expect("an address")), value[20]))
            .collect();
        let address = |text: &str| text.parse::<Ipv6Addr>().expect("an address");
        assert_eq!(given, [(address("fd10:0:2::2"), 255), (address("2001:db8::7"), 0)]);
        assert_eq!(found(&reply, option::NAME_SERVERS).map(<[u8]>::len), Some(16));
        assert_eq!(found(&reply, option::SEARCH), Some(&b"\x07default\x03svc\x07example\x00"[..]));
        let confirm = request(message::CONFIRM, &[(option::CLIENT, CLIENT), (option::ADDRESSES, &foreign)]);
        let reply = respond(&lease(), &confirm).expect("a reply");
        assert_eq!(found(&reply, option::STATUS), Some(&[0, 4][..]), "not on this link");
    }

    #[test]
    fn garbage_gets_nothing() {
        let whole = request(message::SOLICIT, &[(option::CLIENT, CLIENT), (option::ADDRESSES, &[0; 12])]);
        for cut in 0..whole.len() {
            assert_eq!(respond(&lease(), &whole[..cut]), None, "cut at {cut}");
        }
        assert_eq!(respond(&lease(), &[255; 1500]), None);
        let long = request(message::SOLICIT, &[(option::CLIENT, &[0; 200]), (option::ADDRESSES, &[0; 12])]);
        assert_eq!(respond(&lease(), &long), None);
    }
}
