//! Is a machine's IPv6 router: tells it where it is and what its address is.

use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use network::{advertisement, dhcp6};
use tokio::net::UdpSocket;
use wire::machine::Dhcp;

/// Longest message that is read.
const LONGEST: usize = 1500;
/// Every host on the bridge, which is the machine.
const EVERYBODY: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Answers DHCPv6 requests and router solicitations on the two sockets until dropped.
pub(super) async fn serve(dhcp: OwnedFd, advertiser: OwnedFd, lease: Dhcp) {
    let ended = tokio::select! {
        ended = answer(dhcp, &lease) => ended,
        ended = advertise(advertiser, &lease) => ended,
    };
    if let Err(error) = ended {
        tracing::error!(%error, "the machine is not told of IPv6 any more");
    }
}

async fn answer(socket: OwnedFd, lease: &Dhcp) -> std::io::Result<()> {
    let socket = adopt(socket)?;
    loop {
        let Some((packet, from)) = receive(&socket).await? else { continue };
        let Some(reply) = dhcp6::respond(lease, &packet) else { continue };
        if let Err(error) = socket.send_to(&reply, from).await {
            // The bridge may be on its way up or down; the client asks again.
            tracing::warn!(%error, "answer a DHCPv6 request");
        }
    }
}

async fn advertise(socket: OwnedFd, lease: &Dhcp) -> std::io::Result<()> {
    let socket = adopt(socket)?;
    let Some(message) = advertisement::message(lease) else { return Ok(()) };
    loop {
        if let Err(error) = socket.send_to(&message, (EVERYBODY, 0)).await {
            tracing::debug!(%error, "advertise the router");
        }
        let asked = async {
            loop {
                if receive(&socket).await?.is_some_and(|(packet, _)| advertisement::asks(&packet)) {
                    return Ok::<_, std::io::Error>(());
                }
            }
        };
        tokio::select! {
            asked = asked => asked?,
            () = tokio::time::sleep(advertisement::INTERVAL) => {}
        }
    }
}

/// Takes over a datagram socket of any protocol.
fn adopt(socket: OwnedFd) -> std::io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::from(socket);
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Waits for a message; `None` when there was none after all.
async fn receive(socket: &UdpSocket) -> std::io::Result<Option<(Vec<u8>, SocketAddr)>> {
    socket.readable().await?;
    // On the heap and only while there is something: a guest asks a few times in its life.
    let mut packet = vec![0; LONGEST];
    match socket.try_recv_from(&mut packet) {
        Ok((length, from)) => {
            packet.truncate(length);
            Ok(Some((packet, from)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
