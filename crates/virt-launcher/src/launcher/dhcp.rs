//! Answers DHCP on one interface's socket.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use wire::machine::Dhcp;

use super::supervisor::Report;

/// Longest request that is read; clients send some 300 bytes.
const LONGEST: usize = 1500;

/// Answers requests of the client `mac` until dropped, and reports the address when it was confirmed.
pub(super) async fn serve(socket: OwnedFd, lease: Dhcp, mac: String, reports: mpsc::Sender<Report>) {
    if let Err(error) = respond(socket, &lease, &mac, &reports).await {
        tracing::error!(%error, mac, "the DHCP responder ended");
    }
}

async fn respond(
    socket: OwnedFd,
    lease: &Dhcp,
    mac: &str,
    reports: &mpsc::Sender<Report>,
) -> std::io::Result<()> {
    let hardware = parse(mac).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
    let socket = std::net::UdpSocket::from(socket);
    socket.set_nonblocking(true)?;
    socket.set_broadcast(true)?;
    let socket = UdpSocket::from_std(socket)?;
    loop {
        socket.readable().await?;
        // On the heap and only while there is something: a guest asks a few times in its life.
        let mut packet = vec![0; LONGEST];
        let length = match socket.try_recv_from(&mut packet) {
            Ok((length, _)) => length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        let Some(answer) = network::dhcp::respond(lease, hardware, &packet[..length]) else {
            continue;
        };
        if let Err(error) = socket.send_to(&answer, (Ipv4Addr::BROADCAST, 68)).await {
            // The bridge may be on its way up or down; the client asks again.
            tracing::warn!(%error, mac, "answer a DHCP request");
            continue;
        }
        if confirms(&answer) {
            let report = Report::Lease { mac: mac.to_owned(), address: lease.address.to_string() };
            if reports.send(report).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Whether an answer is a DHCPACK: option 53 (message type) of our own, well-formed answer is 5.
fn confirms(answer: &[u8]) -> bool {
    const OPTIONS: usize = 240;
    let mut rest = answer.get(OPTIONS..).unwrap_or_default();
    while let [code, tail @ ..] = rest {
        match (code, tail) {
            (0, _) => rest = tail,
            (255, _) | (_, []) => return false,
            (53, [1, kind, ..]) => return *kind == 5,
            (_, [length, value @ ..]) => rest = value.get(usize::from(*length)..).unwrap_or_default(),
        }
    }
    false
}

fn parse(mac: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = mac.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_read() {
        assert_eq!(parse("02:00:00:0a:FF:01"), Some([2, 0, 0, 10, 255, 1]));
        for wrong in ["", "02:00:00:0a:ff", "02:00:00:0a:ff:01:02", "02:00:00:0a:ff:zz"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_an_acknowledgement_confirms() {
        let mut answer = vec![0; 240];
        answer.extend([0, 54, 4, 10, 0, 2, 1, 53, 1, 5, 255]);
        assert!(confirms(&answer));
        answer[249] = 2;
        assert!(!confirms(&answer), "an offer");
        for cut in 0..answer.len() {
            assert!(!confirms(&answer[..cut]), "cut at {cut}");
        }
    }
}
