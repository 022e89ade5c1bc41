//! A machine that is played frame by frame at the end of its tap.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use network::binding::Prepared;

/// Sends a frame through a tap that has virtio-net headers.
pub(crate) fn send_frame(tap: &OwnedFd, frame: &[u8]) {
    let mut packet = vec![0u8; 10];
    packet.extend_from_slice(frame);
    rustix::io::write(tap, &packet).expect("the frame is sent");
}

/// Reads frames until one satisfies `wanted`, for as long as others come within `patience` of each other.
fn frame_within(tap: &OwnedFd, patience: Duration, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut packet = [0u8; 2048];
    for _ in 0..100 {
        if !readable(tap, patience) {
            return None;
        }
        let length = rustix::io::read(tap, &mut packet).expect("a frame");
        if wanted(&packet[10..length]) {
            return Some(packet[10..length].to_vec());
        }
    }
    None
}

fn readable(descriptor: &OwnedFd, patience: Duration) -> bool {
    let mut polled = [rustix::event::PollFd::new(descriptor, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec {
        tv_sec: patience.as_secs() as i64,
        tv_nsec: patience.subsec_nanos().into(),
    };
    rustix::event::poll(&mut polled, Some(&limit)).expect("poll") == 1
}

/// Asks until there is an answer. Machines ask again (RFC 2131, section 4.1; RFC 4861, section 6.3.7; RFC 8415, section
/// 15), and here they must: a link just made drops what is sent before the kernel has noticed its carrier.
fn ask<T>(mut question: impl FnMut() -> Option<T>) -> T {
    (0..240).find_map(|_| question()).expect("an answer within a minute")
}

/// How long a machine waits before it asks again.
const PATIENCE: Duration = Duration::from_millis(250);

pub(crate) const MACHINE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// Makes a broadcast UDP datagram from port 68 to port 67.
fn dhcp_frame(payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255];
    let length = (20 + 8 + payload.len()) as u16;
    ip[2..4].copy_from_slice(&length.to_be_bytes());
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [0xff; 6].to_vec();
    frame.extend(MACHINE_MAC);
    frame.extend([8, 0]);
    frame.extend(ip);
    frame.extend([0, 68, 0, 67]);
    frame.extend(((8 + payload.len()) as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend_from_slice(payload);
    frame
}

/// Plays a machine that has just started: asks for its address, and is offered it.
pub(crate) fn behave_like_a_machine(prepared: &Prepared) {
    let tap = prepared.tap.as_ref().expect("a tap");
    let mut discover = vec![0u8; 240];
    discover[..4].copy_from_slice(&[1, 1, 6, 0]);
    discover[28..34].copy_from_slice(&MACHINE_MAC);
    discover[236..].copy_from_slice(&[99, 130, 83, 99]);
    discover.extend([53, 1, 1, 255]);
    let frame = ask(|| {
        send_frame(tap, &dhcp_frame(&discover));
        let (socket, request) = receive(&prepared.dhcp_socket)?;
        let offer = network::dhcp::respond(&prepared.lease, MACHINE_MAC, &request).expect("an offer");
        socket.send_to(&offer, "255.255.255.255:68").expect("it is sent");
        frame_within(tap, PATIENCE, |frame| frame.len() > 58 && frame[36..38] == [0, 68])
    });
    assert_eq!(frame[58..62], prepared.lease.address.octets(), "the offered address");
}

/// Makes a packet from the machine's address of its link; the payload's checksum is at `checksum`.
fn frame6(to: Ipv6Addr, protocol: u8, mut payload: Vec<u8>, checksum: usize) -> Vec<u8> {
    let from: Ipv6Addr = "fe80::9".parse().expect("an address");
    let length = (payload.len() as u16).to_be_bytes();
    let pseudo =
        [&from.octets()[..], &to.octets(), &[0, 0], &length, &[0, 0, 0, protocol], &payload].concat();
    let sum: u32 = pseudo
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum + (sum >> 16)) as u16);
    payload[checksum..checksum + 2].copy_from_slice(&sum.to_be_bytes());
    let mut frame =
        [&[0x33, 0x33][..], &to.octets()[12..], &MACHINE_MAC, &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    frame.extend(length);
    frame.extend([protocol, 255]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend(payload);
    frame
}

/// Reads what the machine sent to one of its sockets, if it arrives.
fn receive(socket: &OwnedFd) -> Option<(UdpSocket, Vec<u8>)> {
    readable(socket, PATIENCE).then(|| {
        let socket = UdpSocket::from(socket.as_fd().try_clone_to_owned().expect("a copy"));
        let mut packet = vec![0u8; 1500];
        let (length, _) = socket.recv_from(&mut packet).expect("the request");
        packet.truncate(length);
        (socket, packet)
    })
}

/// Plays the machine's side of IPv6: looks for its router, and asks for its address.
pub(crate) fn look_for_a_router(prepared: &Prepared) {
    let tap = prepared.tap.as_ref().expect("a tap");
    let [dhcp, advertiser] = prepared.ipv6_sockets.as_ref().expect("the Pod has IPv6");
    let group = |text: &str| text.parse::<Ipv6Addr>().expect("a group");
    let is_router = |frame: &[u8]| frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == 134;
    let frame = ask(|| {
        send_frame(tap, &frame6(group("ff02::2"), 58, vec![133, 0, 0, 0, 0, 0, 0, 0], 2));
        let (socket, solicitation) = receive(advertiser)?;
        assert!(network::advertisement::asks(&solicitation));
        let message = network::advertisement::message(&prepared.lease).expect("an advertisement");
        socket.send_to(&message, "[ff02::1]:0").expect("it is sent");
        frame_within(tap, PATIENCE, is_router)
    });
    assert_eq!(frame[21], 255, "neighbours believe no other hop limit");
    assert_eq!(frame[6..12], network::binding::BRIDGE_MAC);

    let mut solicit = vec![2, 34, 2, 35, 0, 42, 0, 0];
    solicit.extend([1, 1, 2, 3, 0, 1, 0, 2, 9, 9, 0, 3, 0, 12, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
    solicit[5] = solicit.len() as u8;
    let (_, request) = ask(|| {
        send_frame(tap, &frame6(group("ff02::1:2"), 17, solicit.clone(), 6));
        receive(dhcp)
    });
    let answer = network::dhcp6::respond(&prepared.lease, &request).expect("an answer");
    assert_eq!(answer[..4], [2, 1, 2, 3]);
}

/// Asks who has `address`, and returns the hardware address in the answer.
pub(crate) fn ask_for(tap: &OwnedFd, own: Ipv4Addr, address: Ipv4Addr) -> [u8; 6] {
    let is_answer =
        |frame: &[u8]| frame[12..14] == [8, 6] && frame[21] == 2 && frame[28..32] == address.octets();
    let answer = ask(|| {
        send_frame(tap, &arp(1, [0xff; 6], own, [0; 6], address));
        frame_within(tap, PATIENCE, is_answer)
    });
    answer[22..28].try_into().expect("six bytes")
}

/// Answers whoever asks for the machine's address, until a connection to its port `port` is opened; says by whom.
pub(crate) fn await_connection(tap: &OwnedFd, own: Ipv4Addr, port: u16) -> Ipv4Addr {
    let opening = frame_within(tap, Duration::from_secs(60), |frame| {
        if frame[12..14] == [8, 6] && frame[21] == 1 && frame[38..42] == own.octets() {
            let (asker, from) = (&frame[22..28], &frame[28..32]);
            let asker: [u8; 6] = asker.try_into().expect("six bytes");
            let from: [u8; 4] = from.try_into().expect("four bytes");
            send_frame(tap, &arp(2, asker, own, asker, from.into()));
        }
        frame[12..14] == [8, 0] && frame[23] == 6 && frame[36..38] == port.to_be_bytes()
    });
    let opening = opening.expect("the connection is opened in time");
    assert_eq!(opening[30..34], own.octets());
    Ipv4Addr::new(opening[26], opening[27], opening[28], opening[29])
}

/// Takes away what is left of a connection that was given up: it may have been opened a second time meanwhile.
pub(crate) fn forget(tap: &OwnedFd) {
    while frame_within(tap, Duration::ZERO, |_| true).is_some() {}
}

/// Makes an ARP message of the machine.
fn arp(kind: u8, to: [u8; 6], own: Ipv4Addr, about: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let mut frame = [&to[..], &MACHINE_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, kind], &MACHINE_MAC].concat();
    frame.extend(own.octets());
    frame.extend(about);
    frame.extend(address.octets());
    frame
}
