//! Questions that others answer: the resolvers that the host itself asks.
//!
//! Messages pass as they are but for their number, so that extensions which are not known here work. Each question goes
//! out from a port of its own with a number of its own, which an answer must have.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use effects::{Clock, Entropy};
use kube_ext::Context;
use network::resolver;
use parking_lot::Mutex;
use tokio::net::{TcpStream, UdpSocket};

use crate::transport::{self, Bound, Over};

/// Where resolvers listen.
const PORT: u16 = 53;
/// How long one resolver may take, and all together.
const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(5);
/// How often each resolver is asked.
const ROUNDS: usize = 2;
/// Questions that wait at the same time, and those of one client.
const WAITING: usize = 512;
const WAITING_EACH: usize = 64;
/// How long the host's choice of resolvers is believed.
const FRESH: Duration = Duration::from_secs(5);
/// Bytes of a message's header.
const HEADER: usize = 12;

/// Asks the host's resolvers.
pub(crate) struct Forwarder {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    resolv_conf: PathBuf,
    port: u16,
    /// Our own addresses, which would only ask us again.
    own: [IpAddr; 2],
    known: Mutex<Known>,
    waiting: Arc<Bound>,
}

/// What is known of the resolvers.
#[derive(Default)]
struct Known {
    servers: Vec<IpAddr>,
    read_at: Option<Duration>,
    /// Number of the one that answered last.
    good: usize,
}

impl Forwarder {
    /// Asks those that `resolv_conf` names, except `own`.
    pub(crate) fn new(context: &Context, resolv_conf: PathBuf, own: [IpAddr; 2]) -> Self {
        Self {
            clock: Arc::clone(&context.clock),
            entropy: Arc::clone(&context.entropy),
            resolv_conf,
            port: PORT,
            own,
            known: Mutex::default(),
            waiting: Bound::new(WAITING, WAITING_EACH),
        }
    }

    /// Asks on behalf of `client`; `None` when nobody answers in time, or too many wait already.
    pub(crate) async fn ask(&self, client: IpAddr, message: &[u8], over: Over) -> Option<Vec<u8>> {
        let _turn = self.waiting.begin(client)?;
        tokio::select! {
            answer = self.ask_all(message, over) => answer,
            () = self.clock.sleep(LONGEST) => None,
        }
    }

    /// Returns a number for a question of our own.
    pub(crate) fn number(&self) -> u16 {
        let mut bytes = [0; 2];
        self.entropy.fill(&mut bytes);
        u16::from_be_bytes(bytes)
    }

    /// Asks one after the other, beginning with whoever answered last. A refusal counts only if nobody says more.
    async fn ask_all(&self, message: &[u8], over: Over) -> Option<Vec<u8>> {
        let (servers, good) = self.servers();
        let mut refusal = None;
        for _ in 0..ROUNDS {
            for offset in 0..servers.len() {
                let number = (good + offset) % servers.len();
                let asked = tokio::select! {
                    asked = self.ask_one(servers[number], message, over) => asked,
                    () = self.clock.sleep(PATIENCE) => Err(io::ErrorKind::TimedOut.into()),
                };
                match asked {
                    Ok(answer) if is_refusal(&answer) => refusal = Some(answer),
                    Ok(answer) => {
                        self.known.lock().good = number;
                        return Some(answer);
                    }
                    Err(error) => {
                        tracing::debug!(server = %servers[number], %error, "a resolver does not answer");
                    }
                }
            }
            if refusal.is_some() {
                break;
            }
        }
        refusal
    }

    /// Lists the resolvers, and which of them answered last.
    fn servers(&self) -> (Vec<IpAddr>, usize) {
        let now = self.clock.elapsed();
        let mut known = self.known.lock();
        if known.read_at.is_none_or(|read_at| now.saturating_sub(read_at) >= FRESH) {
            let mut servers = resolver::servers_of_host(&self.resolv_conf);
            servers.retain(|server| !self.own.contains(server));
            if servers != known.servers {
                known.good = 0;
                known.servers = servers;
            }
            known.read_at = Some(now);
        }
        (known.servers.clone(), known.good)
    }

    async fn ask_one(&self, server: IpAddr, message: &[u8], over: Over) -> io::Result<Vec<u8>> {
        let number = message.first_chunk::<2>().copied().ok_or(io::ErrorKind::InvalidData)?;
        let mut sent = message.to_vec();
        sent[..2].copy_from_slice(&self.number().to_be_bytes());
        let server = SocketAddr::new(server, self.port);
        let mut answer = match over {
            Over::Udp => ask_by_datagram(server, &sent).await?,
            Over::Tcp => ask_by_connection(server, &sent).await?,
        };
        answer[..2].copy_from_slice(&number);
        Ok(answer)
    }
}

async fn ask_by_datagram(server: SocketAddr, sent: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(sent).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if answers(&buffer[..length], sent) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_by_connection(server: SocketAddr, sent: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    transport::write(&mut stream, sent).await?;
    let answer = transport::read(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    if answers(&answer, sent) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Says whether `answer` is one to what was sent: its number, its direction, its question.
fn answers(answer: &[u8], sent: &[u8]) -> bool {
    let is_answer = answer.len() >= HEADER && answer[..2] == sent[..2] && answer[2] & 0x80 != 0;
    let Some(question) = question(sent) else { return false };
    // Whoever cannot read the question may leave it out of the error.
    let is_bare = answer.get(4..6) == Some(&[0, 0]) && code(answer) != 0;
    let same = answer.get(HEADER..HEADER + question.len());
    is_answer && (is_bare || same.is_some_and(|same| same.eq_ignore_ascii_case(question)))
}

/// Returns the first question of a message.
fn question(message: &[u8]) -> Option<&[u8]> {
    let mut end = HEADER;
    loop {
        match *message.get(end)? {
            0 => break,
            length if length < 64 => end += usize::from(length) + 1,
            _ => return None,
        }
    }
    message.get(HEADER..end + 5)
}

/// Says whether a server could or would not answer, where another one may.
fn is_refusal(answer: &[u8]) -> bool {
    matches!(code(answer), 2 | 5)
}

fn code(message: &[u8]) -> u8 {
    message.get(3).map_or(0, |flags| flags & 0x0f)
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
