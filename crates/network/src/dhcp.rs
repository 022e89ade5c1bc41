//! Answers to one machine's DHCP requests (RFC 2131), as a pure function of its lease.
//!
//! The server knows one client and has one address for it, so it keeps no state. Whoever holds the socket
//! sends each answer to `255.255.255.255`, port 68: the client hears that before it has an address and after.

use dhcproto::v4::{
    Decodable, Decoder, DhcpOption, Encodable, Flags, Message, MessageType, Opcode, OptionCode, UnknownOption,
};
use std::net::Ipv4Addr;

use wire::machine::Dhcp;

/// Seconds that a lease lasts. The address is the machine's for its life; renewals only keep clients calm.
const LEASE_SECONDS: u32 = 365 * 24 * 3600;
/// Offset of the length of the hardware address in a message.
const HARDWARE_LENGTH: usize = 2;
/// Code of the domain search list (RFC 3397).
const DOMAIN_SEARCH: u8 = 119;

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
    options.insert(DhcpOption::ServerIdentifier(lease.gateway));
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
    reply.to_vec().ok()
}

/// Decides on a request: ours and right, ours and wrong, or meant for another server.
fn confirm(lease: &Dhcp, request: &Message) -> Option<MessageType> {
    if let Some(DhcpOption::ServerIdentifier(server)) = request.opts().get(OptionCode::ServerIdentifier)
        && *server != lease.gateway
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
    options.insert(DhcpOption::Router(vec![lease.gateway]));
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
    let search = domains(&lease.search);
    if !search.is_empty() {
        options.insert(raw(DOMAIN_SEARCH, search));
    }
    for extra in &lease.extra {
        options.insert(raw(extra.code, extra.value.clone()));
    }
}

/// Returns the domain that the guest itself is in: the longest that it searches, as that is the most specific.
fn own_domain(search: &[String]) -> Option<&str> {
    let names = search.iter().map(|domain| domain.trim_end_matches('.')).filter(|name| !name.is_empty());
    names.reduce(|longest, name| if name.len() > longest.len() { name } else { longest })
}

fn raw(code: u8, value: Vec<u8>) -> DhcpOption {
    DhcpOption::Unknown(UnknownOption::new(OptionCode::from(code), value))
}

/// Encodes domains as DNS names, without compression; leaves out what is no name, and what no longer fits.
pub(crate) fn domains(search: &[String]) -> Vec<u8> {
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
        if u8::try_from(encoded.len() + name.len()).is_ok() {
            encoded.extend(name);
        }
    }
    encoded
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
