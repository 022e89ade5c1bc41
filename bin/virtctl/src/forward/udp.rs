//! UDP: each peer here is one tunnel, and each frame is one datagram.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::{COMPONENT, Destination};
use crate::log;
use crate::target::Forward;
use crate::tunnel::{HEARTBEAT, Tunnel, TunnelError};

/// The largest datagram.
const DATAGRAM: usize = 65_535;

/// Datagrams of one peer that wait for the tunnel; more are dropped, as a network drops them.
const BACKLOG: usize = 64;

/// Time after which a peer that is silent is forgotten. There is no other end in UDP.
const SILENCE: Duration = Duration::from_secs(300);

/// Listens, and returns with the port that was taken.
pub(super) async fn listen(destination: Destination, address: IpAddr, port: Forward) -> Result<Forward> {
    let socket = UdpSocket::bind((address, port.local))
        .await
        .map_err(|error| anyhow!("listen udp {address}:{}: {error}", port.local))?;
    let port = Forward { local: socket.local_addr()?.port(), ..port };
    tokio::spawn(serve(destination, Arc::new(socket), port));
    Ok(port)
}

async fn serve(destination: Destination, socket: Arc<UdpSocket>, port: Forward) {
    let mut peers: HashMap<SocketAddr, mpsc::Sender<Bytes>> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let (length, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // A refusal that an earlier answer met; the socket goes on.
                log::error(COMPONENT, &error.to_string());
                continue;
            }
        };
        peers.retain(|_, inbox| !inbox.is_closed());
        let inbox = peers.entry(peer).or_insert_with(|| {
            let (inbox, datagrams) = mpsc::channel(BACKLOG);
            tokio::spawn(carry(destination.clone(), Arc::clone(&socket), peer, datagrams, port));
            inbox
        });
        // Full or closed: lost, as UDP may.
        let _ = inbox.try_send(Bytes::copy_from_slice(&buffer[..length]));
    }
}

async fn carry(
    destination: Destination,
    socket: Arc<UdpSocket>,
    peer: SocketAddr,
    datagrams: mpsc::Receiver<Bytes>,
    port: Forward,
) {
    let Some(tunnel) = destination.open_and_tell(port).await else { return };
    if let Err(error) = exchange(tunnel, &socket, peer, datagrams).await {
        log::error(COMPONENT, &format!("closing client: {error}"));
    }
}

async fn exchange(
    tunnel: Tunnel,
    socket: &UdpSocket,
    peer: SocketAddr,
    mut datagrams: mpsc::Receiver<Bytes>,
) -> Result<(), TunnelError> {
    let (mut sender, mut receiver) = tunnel.split();
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    let mut silence = Box::pin(tokio::time::sleep(SILENCE));
    let outcome = loop {
        let heard = tokio::select! {
            datagram = datagrams.recv() => match datagram {
                None => break Ok(()),
                Some(datagram) => sender.send(datagram).await.map(|()| true),
            },
            answer = receiver.next() => match answer {
                Ok(None) => break Ok(()),
                Ok(Some(answer)) => socket.send_to(&answer, peer).await.map(|_| true).map_err(TunnelError::from),
                Err(error) => Err(error),
            },
            _ = heartbeat.tick() => sender.heartbeat().await.map(|()| false),
            () = &mut silence => break Ok(()),
        };
        match heard {
            Ok(true) => silence.as_mut().reset(tokio::time::Instant::now() + SILENCE),
            Ok(false) => {}
            Err(error) => break Err(error),
        }
    };
    sender.close().await;
    outcome
}
