//! Answers to one machine's DHCP requests (RFC 2131), as a pure function of its lease.
//!
//! The server knows one client and has one address for it, so it keeps no state. Whoever holds the socket
//! sends each answer to `255.255.255.255`, port 68: the client hears that before it has an address and after.

use dhcproto::Name;
use dhcproto::v4::{
    Decodable, Decoder, DhcpOption, Encodable, Flags, Message, MessageType, Opcode, OptionCode, UnknownOption,
};
use std::net::Ipv4Addr;

use wire::machine::{Dhcp, DhcpRoute};

/// Seconds that a lease lasts. The address is the machine's for its life; renewals only keep clients calm.
const LEASE_SECONDS: u32 = 365 * 24 * 3600;
/// Offset of the length of the hardware address in a message.
const HARDWARE_LENGTH: usize = 2;
/// Longest answer that every client takes, with the headers before it (RFC 2131).
const DATAGRAM: u16 = 576;
/// Longest answer that is sent to clients that say they take it: what a frame of the usual size holds.
const FRAME: u16 = 1500;
/// Bytes of an answer's headers of IP and UDP.
const HEADERS: u16 = 28;
/// Code of the routes (RFC 3442).
const ROUTES: u8 = 121;

/// Answers `packet` (the payload of a datagram to port 67) on behalf of the server of `lease`.
///
/// `None` when it is not from the client with the hardware address `mac`, not a request to this server, or
/// needs no answer.
pub fn respond(lease: &Dhcp, mac: [u8; 6], packet: &[u8]) -> Option<Vec<u8>> {
    // The decoder trusts this byte; a guest may send any.
    if packet.get(HARDWARE_LENGTH) != Some(&6) {
        return None;
    }
    let request = Message::decode(&mut Decoder::new(packet)).ok()?;
    if request.opcode() != Opcode::BootRequest
        || request.chaddr() != mac
        || !request.giaddr().is_unspecified()
    {
        return None;
    }
    let Some(DhcpOption::MessageType(kind)) = request.opts().get(OptionCode::MessageType) else {
        return None;
    };
    let answer = match kind {
        MessageType::Discover => MessageType::Offer,
        MessageType::Request => confirm(lease, &request)?,
        MessageType::Inform => MessageType::Ack,
        _ => return None,
    };
    let mut reply = header(&request);
    let options = reply.opts_mut();
    options.insert(DhcpOption::MessageType(answer));
    options.insert(DhcpOption::ServerIdentifier(server(lease)));
    if answer == MessageType::Nak {
        return reply.to_vec().ok();
    }
    if *kind != MessageType::Inform {
        reply.set_yiaddr(lease.address);
        let options = reply.opts_mut();
        options.insert(DhcpOption::AddressLeaseTime(LEASE_SECONDS));
        options.insert(DhcpOption::Renewal(LEASE_SECONDS / 2));
        options.insert(DhcpOption::Rebinding(LEASE_SECONDS / 8 * 7));
    }
    configure(lease, &mut reply);
    search(lease, &mut reply, longest_answer(&request))
}

/// Returns how many bytes of an answer the client takes.
fn longest_answer(request: &Message) -> usize {
    let told = match request.opts().get(OptionCode::MaxMessageSize) {
        Some(DhcpOption::MaxMessageSize(size)) => *size,
        _ => 0,
    };
    usize::from(told.clamp(DATAGRAM, FRAME) - HEADERS)
}

/// Adds the search domains (RFC 3397), as many as fit, and encodes the answer. A list of more than 255 bytes is in several
/// options of one code (RFC 3396).
fn search(lease: &Dhcp, reply: &mut Message, longest: usize) -> Option<Vec<u8>> {
    let mut names: Vec<Name> = lease.search.iter().filter_map(|domain| name(domain)).collect();
    loop {
        if names.is_empty() {
            reply.opts_mut().remove(OptionCode::DomainSearch);
            return reply.to_vec().ok();
        }
        reply.opts_mut().insert(DhcpOption::DomainSearch(names.clone()));
        match reply.to_vec() {
            Ok(bytes) if bytes.len() <= longest => return Some(bytes),
            _ => names.pop(),
        };
    }
}

/// Reads a domain; `None` for what is no name.
fn name(domain: &str) -> Option<Name> {
    let domain = domain.trim_end_matches('.');
    if domain.is_empty() { None } else { Name::from_ascii(format!("{domain}.")).ok() }
}

/// Returns what the server calls itself.
fn server(lease: &Dhcp) -> Ipv4Addr {
    lease.server.unwrap_or(lease.gateway)
}

/// Decides on a request: ours and right, ours and wrong, or meant for another server.
fn confirm(lease: &Dhcp, request: &Message) -> Option<MessageType> {
    if let Some(DhcpOption::ServerIdentifier(server)) = request.opts().get(OptionCode::ServerIdentifier)
        && *server != self::server(lease)
    {
        return None;
    }
    let wanted = match request.opts().get(OptionCode::RequestedIpAddress) {
        Some(DhcpOption::RequestedIpAddress(address)) => *address,
        _ => request.ciaddr(),
    };
    Some(if wanted == lease.address { MessageType::Ack } else { MessageType::Nak })
}

/// Starts the answer to `request`.
fn header(request: &Message) -> Message {
    let nobody = Ipv4Addr::UNSPECIFIED;
    let mut reply =
        Message::new_with_id(request.xid(), request.ciaddr(), nobody, nobody, nobody, request.chaddr());
    reply.set_opcode(Opcode::BootReply).set_htype(request.htype());
    reply.set_flags(Flags::default().set_broadcast());
    reply
}

/// Adds what the client configures itself with.
fn configure(lease: &Dhcp, reply: &mut Message) {
    let mask = u32::MAX.checked_shl(32 - u32::from(lease.prefix.min(32))).unwrap_or(0);
    let broadcast = Ipv4Addr::from(u32::from(lease.address) | !mask);
    let options = reply.opts_mut();
    options.insert(DhcpOption::SubnetMask(mask.into()));
    options.insert(DhcpOption::BroadcastAddr(broadcast));
    if !lease.gateway.is_unspecified() {
        options.insert(DhcpOption::Router(vec![lease.gateway]));
    }
    if !lease.routes.is_empty() {
        options.insert(raw(ROUTES, routes(&lease.routes)));
    }
    if !lease.dns.is_empty() {
        options.insert(DhcpOption::DomainNameServer(lease.dns.clone()));
    }
    if !lease.hostname.is_empty() {
        options.insert(DhcpOption::Hostname(lease.hostname.clone()));
    }
    if lease.mtu != 0 {
        options.insert(DhcpOption::InterfaceMtu(lease.mtu));
    }
    if let Some(domain) = own_domain(&lease.search) {
        options.insert(DhcpOption::DomainName(domain.to_owned()));
    }
    for extra in &lease.extra {
        options.insert(raw(extra.code, extra.value.clone()));
    }
}

/// Encodes routes: the prefix' length, as many bytes of the network as it has, and the next hop.
fn routes(routes: &[DhcpRoute]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for route in routes {
        encoded.push(route.prefix);
        encoded.extend(&route.address.octets()[..usize::from(route.prefix.min(32).div_ceil(8))]);
        encoded.extend(route.gateway.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    }
    encoded
}

/// Returns the domain that the guest itself is in: the longest that it searches, as that is the most specific.
fn own_domain(search: &[String]) -> Option<&str> {
    let names = search.iter().map(|domain| domain.trim_end_matches('.')).filter(|name| !name.is_empty());
    names.reduce(|longest, name| if name.len() > longest.len() { name } else { longest })
}

fn raw(code: u8, value: Vec<u8>) -> DhcpOption {
    DhcpOption::Unknown(UnknownOption::new(OptionCode::from(code), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::machine;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

    fn lease() -> Dhcp {
        Dhcp {
            socket: "nic/default/dhcp".into(),
            address: Ipv4Addr::new(10, 0, 2, 2),
            prefix: 24,
            gateway: Ipv4Addr::new(10, 0, 2, 1),
            server: None,
            routes: Vec::new(),
            dns: vec![Ipv4Addr::new(192, 0, 2, 53)],
            search: vec!["default.svc.example".into(), "..".into()],
            hostname: "web".into(),
            mtu: 1400,
            extra: vec![machine::DhcpOption { code: 224, value: b"private".to_vec() }],
            ipv6: None,
        }
    }

    fn request(mac: [u8; 6], options: Vec<DhcpOption>) -> Message {
        let nobody = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(77, nobody, nobody, nobody, nobody, &mac);
        for option in options {
            message.opts_mut().insert(option);
        }
        message
    }

    fn answer(message: &Message) -> Option<Message> {
        let packet = respond(&lease(), MAC, &message.to_vec().expect("it encodes"))?;
        Some(Message::decode(&mut Decoder::new(&packet)).expect("a well-formed answer"))
    }

    fn kind(message: &Message) -> Option<MessageType> {
        match message.opts().get(OptionCode::MessageType) {
            Some(DhcpOption::MessageType(kind)) => Some(*kind),
            _ => None,
        }
    }

    #[test]
    fn each_request_gets_its_answer() {
        use DhcpOption::{MessageType as Kind, RequestedIpAddress as Wants, ServerIdentifier as Server};
        let (ours, other) = (Ipv4Addr::new(10, 0, 2, 2), Ipv4Addr::new(10, 0, 2, 9));
        let gateway = Ipv4Addr::new(10, 0, 2, 1);
        let table = [
            ("discover", vec![Kind(MessageType::Discover)], Some(MessageType::Offer)),
            (
                "request",
                vec![Kind(MessageType::Request), Wants(ours), Server(gateway)],
                Some(MessageType::Ack),
            ),
            ("reboot", vec![Kind(MessageType::Request), Wants(ours)], Some(MessageType::Ack)),
            ("wrong address", vec![Kind(MessageType::Request), Wants(other)], Some(MessageType::Nak)),
            ("other server", vec![Kind(MessageType::Request), Wants(ours), Server(other)], None),
            ("inform", vec![Kind(MessageType::Inform)], Some(MessageType::Ack)),
            ("release", vec![Kind(MessageType::Release)], None),
            ("no type", vec![], None),
        ];
        for (name, options, expected) in table {
            let reply = answer(&request(MAC, options));
            assert_eq!(reply.as_ref().and_then(kind), expected, "{name}");
        }
    }

    #[test]
    fn a_renewal_is_confirmed_by_the_clients_own_address() {
        let mut message = request(MAC, vec![DhcpOption::MessageType(MessageType::Request)]);
        message.set_ciaddr(Ipv4Addr::new(10, 0, 2, 2));
        assert_eq!(answer(&message).as_ref().and_then(kind), Some(MessageType::Ack));
    }

    #[test]
    fn an_offer_carries_the_whole_configuration() {
        let offer =
            answer(&request(MAC, vec![DhcpOption::MessageType(MessageType::Discover)])).expect("an offer");
        assert_eq!((offer.xid(), offer.opcode()), (77, Opcode::BootReply));
        assert_eq!(offer.yiaddr(), Ipv4Addr::new(10, 0, 2, 2));
        for expected in [
            DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
            DhcpOption::BroadcastAddr(Ipv4Addr::new(10, 0, 2, 255)),
            DhcpOption::Router(vec![Ipv4Addr::new(10, 0, 2, 1)]),
            DhcpOption::DomainNameServer(vec![Ipv4Addr::new(192, 0, 2, 53)]),
            DhcpOption::Hostname("web".into()),
            DhcpOption::InterfaceMtu(1400),
            DhcpOption::DomainName("default.svc.example".into()),
            DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 0, 2, 1)),
        ] {
            assert!(offer.opts().iter().any(|(_, option)| *option == expected), "{expected:?}");
        }
        let packet = offer.to_vec().expect("it encodes");
        let has = |bytes: &[u8]| packet.windows(bytes.len()).any(|window| window == bytes);
        assert!(has(b"\x07default\x03svc\x07example\x00"), "the search list, without the broken name");
        assert!(has(b"\xe0\x07private"), "the private option");
    }

    #[test]
    fn a_guest_with_its_pods_address_is_told_routes_and_another_server() {
        let server = Ipv4Addr::new(169, 254, 75, 10);
        let gateway = Ipv4Addr::new(169, 254, 1, 1);
        let route = |address, prefix, gateway| DhcpRoute { address, prefix, gateway };
        let lease = Dhcp {
            prefix: 32,
            gateway,
            server: Some(server),
            routes: vec![
                route(gateway, 32, None),
                route(Ipv4Addr::new(10, 64, 0, 0), 10, Some(gateway)),
                route(Ipv4Addr::UNSPECIFIED, 0, Some(gateway)),
            ],
            ..lease()
        };
        let discover = request(MAC, vec![DhcpOption::MessageType(MessageType::Discover)]);
        let offer = respond(&lease, MAC, &discover.to_vec().expect("it encodes")).expect("an offer");
        let has = |bytes: &[u8]| offer.windows(bytes.len()).any(|window| window == bytes);
        assert!(has(&[54, 4, 169, 254, 75, 10]), "the server");
        assert!(has(&[1, 4, 255, 255, 255, 255]), "the mask");
        let routes = [
            &[121, 21][..],
            &[32, 169, 254, 1, 1, 0, 0, 0, 0],
            &[10, 10, 64, 169, 254, 1, 1],
            &[0, 169, 254, 1, 1],
        ];
        assert!(has(&routes.concat()), "the routes: {offer:?}");
        let nowhere = Dhcp { gateway: Ipv4Addr::UNSPECIFIED, routes: Vec::new(), ..lease };
        let offer = respond(&nowhere, MAC, &discover.to_vec().expect("it encodes")).expect("an offer");
        let offer = Message::decode(&mut Decoder::new(&offer)).expect("a well-formed answer");
        assert_eq!(offer.opts().get(OptionCode::Router), None);
    }

    #[test]
    fn a_long_search_list_is_cut_to_what_the_client_takes() {
        let search: Vec<String> = (0..40).map(|number| format!("{number}.some-team.corp.example")).collect();
        let lease = Dhcp { search, ..lease() };
        let searched = |more: Vec<DhcpOption>| {
            let discover =
                std::iter::once(DhcpOption::MessageType(MessageType::Discover)).chain(more).collect();
            let packet = request(MAC, discover).to_vec().expect("it encodes");
            let packet = respond(&lease, MAC, &packet).expect("an offer");
            let offer = Message::decode(&mut Decoder::new(&packet)).expect("a well-formed answer");
            let Some(DhcpOption::DomainSearch(names)) = offer.opts().get(OptionCode::DomainSearch) else {
                panic!("no search list");
            };
            (packet.len(), names.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let (length, some) = searched(vec![]);
        assert!(length <= 548 && some.len() > 20, "{length} bytes, {some:?}");
        assert_eq!(some[0], "0.some-team.corp.example.");
        assert!(!some.contains(&"39.some-team.corp.example.".to_owned()), "{some:?}");
        let (_, all) = searched(vec![DhcpOption::MaxMessageSize(1400)]);
        assert_eq!(all.len(), 40);
    }

    #[test]
    fn strangers_and_garbage_get_nothing() {
        let stranger = request([2, 0, 0, 0, 0, 8], vec![DhcpOption::MessageType(MessageType::Discover)]);
        assert_eq!(answer(&stranger), None);
        let mut reply = request(MAC, vec![DhcpOption::MessageType(MessageType::Offer)]);
        reply.set_opcode(Opcode::BootReply);
        assert_eq!(answer(&reply), None);
        assert_eq!(respond(&lease(), MAC, b""), None);
        assert_eq!(respond(&lease(), MAC, &[1; 300]), None);
        let mut long =
            request(MAC, vec![DhcpOption::MessageType(MessageType::Discover)]).to_vec().expect("bytes");
        long[HARDWARE_LENGTH] = 200;
        assert_eq!(respond(&lease(), MAC, &long), None);
        for cut in 0..long.len() {
            let _ = respond(&lease(), MAC, &long[..cut]);
        }
    }
}
