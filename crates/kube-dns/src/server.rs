//! The sockets: datagrams and connections, each question answered at once or when others have.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use effects::Clock;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::Name;
use kube_ext::Context;
use network::pod::NameServer;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::answer::{self, Step};
use crate::forward::Forwarder;
use crate::transport::{self, Bound, Over, Turn};
use crate::zone::Names;

/// Connections at the same time, and those of one client.
const CONNECTIONS: usize = 128;
const CONNECTIONS_EACH: usize = 16;
/// How long a connection may say nothing, or take no answer.
const IDLE: Duration = Duration::from_secs(10);
/// Wait after a socket that did not work, which is out of memory or descriptors most likely.
const BREATH: Duration = Duration::from_millis(100);

/// A name server that listens.
pub(crate) struct Server {
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
    desk: Arc<Desk>,
    connections: Arc<Bound>,
}

/// Where questions are answered, however they came.
struct Desk {
    names: Names,
    forwarder: Forwarder,
    place: Arc<NameServer>,
    clock: Arc<dyn Clock>,
}

impl Server {
    /// Listens in `place`.
    pub(crate) fn open(
        place: &Arc<NameServer>,
        names: Names,
        forwarder: Forwarder,
        context: &Context,
    ) -> Result<Self, network::Error> {
        let (udp, tcp) = place.sockets()?;
        let failed = |cause| network::Error::System { operation: "listen for questions".to_owned(), cause };
        Ok(Self {
            udp: Arc::new(UdpSocket::from_std(udp).map_err(failed)?),
            tcp: TcpListener::from_std(tcp).map_err(failed)?,
            desk: Arc::new(Desk {
                names,
                forwarder,
                place: Arc::clone(place),
                clock: Arc::clone(&context.clock),
            }),
            connections: Bound::new(CONNECTIONS, CONNECTIONS_EACH),
        })
    }

    /// Answers for ever. What waits for others ends with this.
    pub(crate) async fn run(self) {
        let mut pending = JoinSet::new();
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            tokio::select! {
                Some(_) = pending.join_next() => {}
                received = self.udp.recv_from(&mut buffer) => match received {
                    Ok((length, client)) => self.datagram(&buffer[..length], client, &mut pending).await,
                    Err(error) => self.breathe(&error).await,
                },
                accepted = self.tcp.accept() => match accepted {
                    Ok((stream, client)) => {
                        if let Some(turn) = self.connections.begin(client.ip()) {
                            pending.spawn(Arc::clone(&self.desk).connection(stream, client.ip(), turn));
                        }
                    }
                    Err(error) => self.breathe(&error).await,
                },
            }
        }
    }

    async fn breathe(&self, error: &io::Error) {
        tracing::debug!(%error, "a socket of the name server does not work");
        self.desk.clock.sleep(BREATH).await;
    }

    async fn datagram(&self, packet: &[u8], client: SocketAddr, pending: &mut JoinSet<()>) {
        match answer::judge(&self.desk.names.zone(), packet) {
            Step::Ignore => {}
            Step::Reply(reply) => {
                let longest = longest(packet);
                send(&self.udp, answer::encode(reply, longest), client).await;
            }
            step => {
                let (desk, udp, packet) = (Arc::clone(&self.desk), Arc::clone(&self.udp), packet.to_vec());
                pending.spawn(async move {
                    let answer = desk.finish(step, &packet, client.ip(), Over::Udp).await;
                    send(&udp, answer, client).await;
                });
            }
        }
    }
}

/// Reads how large an answer may be.
fn longest(packet: &[u8]) -> usize {
    match Message::from_vec(packet) {
        Ok(message) => answer::datagram(&message),
        Err(_) => usize::from(answer::SMALLEST_DATAGRAM),
    }
}

async fn send(udp: &UdpSocket, answer: Option<Vec<u8>>, client: SocketAddr) {
    let Some(answer) = answer else { return };
    if let Err(error) = udp.send_to(&answer, client).await {
        tracing::debug!(%client, %error, "an answer was not sent");
    }
}

impl Desk {
    /// Answers one question after the other until the client ends, or is silent for too long.
    async fn connection(self: Arc<Self>, mut stream: TcpStream, client: IpAddr, _turn: Turn) {
        loop {
            let packet = tokio::select! {
                packet = transport::read(&mut stream) => packet,
                () = self.clock.sleep(IDLE) => return,
            };
            let Ok(Some(packet)) = packet else { return };
            let step = answer::judge(&self.names.zone(), &packet);
            let Some(answer) = self.finish(step, &packet, client, Over::Tcp).await else { return };
            let written = tokio::select! {
                written = transport::write(&mut stream, &answer) => written.is_ok(),
                () = self.clock.sleep(IDLE) => false,
            };
            if !written {
                return;
            }
        }
    }

    /// Does what is left of a question to do.
    async fn finish(&self, step: Step, packet: &[u8], client: IpAddr, over: Over) -> Option<Vec<u8>> {
        let longest = match over {
            Over::Udp => longest(packet),
            Over::Tcp => usize::from(u16::MAX),
        };
        match step {
            Step::Ignore => None,
            Step::Reply(reply) => answer::encode(reply, longest),
            // The node's own resolver may ask us: what we then asked it would come back for ever.
            Step::Forward(query) if !self.place.is_pod(client) => {
                answer::encode(answer::failure(&query, ResponseCode::Refused), longest)
            }
            Step::Forward(query) => match self.forwarder.ask(client, packet, over).await {
                Some(answer) => self::fit(answer, &query, over),
                None => answer::encode(answer::failure(&query, ResponseCode::ServFail), longest),
            },
            Step::Follow { reply, target } => {
                answer::encode(self.follow(reply, &target, client, over).await, longest)
            }
        }
    }

    /// Goes on with an answer by asking others for the name that it leads to.
    async fn follow(&self, reply: Message, target: &Name, client: IpAddr, over: Over) -> Message {
        let code = if self.place.is_pod(client) { ResponseCode::ServFail } else { ResponseCode::Refused };
        let said = match answer::follow_up(&reply, target, self.forwarder.number())
            .and_then(|query| query.to_vec().ok())
        {
            Some(query) if code == ResponseCode::ServFail => {
                let said = self.forwarder.ask(client, &query, over).await;
                said.and_then(|said| Message::from_vec(&said).ok())
            }
            _ => None,
        };
        match said {
            Some(said) => answer::continued(reply, said),
            None => answer::failure(&reply, code),
        }
    }
}

/// Passes an answer of others on. They know what the client takes, as the question passed as it was; one that is larger
/// all the same is cut.
fn fit(answer: Vec<u8>, query: &Message, over: Over) -> Option<Vec<u8>> {
    let told = query.edns.as_ref().map_or(answer::SMALLEST_DATAGRAM, hickory_proto::op::Edns::max_payload);
    let longest = usize::from(told.max(answer::SMALLEST_DATAGRAM));
    if over == Over::Tcp || answer.len() <= longest {
        return Some(answer);
    }
    Message::from_vec(&answer).ok()?.truncate().to_vec().ok()
}
