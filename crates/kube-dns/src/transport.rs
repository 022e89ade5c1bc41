//! Messages over TCP have their length before them; how many at the same time is bounded.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// As a datagram.
    Udp,
    /// In a connection.
    Tcp,
}

/// Reads a message; `None` at the end of the connection.
pub(crate) async fn read(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

/// Writes a message.
pub(crate) async fn write(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let whole = [&length.to_be_bytes()[..], message].concat();
    stream.write_all(&whole).await
}

/// How much is done at the same time: in all, and for one client, so that none takes what the others need.
#[derive(Debug)]
pub(crate) struct Bound {
    all: usize,
    each: usize,
    now: Mutex<BTreeMap<IpAddr, usize>>,
}

impl Bound {
    /// Allows `all`, and `each` for a client.
    pub(crate) fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { all, each, now: Mutex::default() })
    }

    /// Begins something for `client`, which ends with what is returned; `None` when it must not begin.
    pub(crate) fn begin(self: &Arc<Self>, client: IpAddr) -> Option<Turn> {
        let mut now = self.now.lock();
        let (all, own) = (now.values().sum::<usize>(), now.get(&client).copied().unwrap_or(0));
        if all >= self.all || own >= self.each {
            return None;
        }
        now.insert(client, own + 1);
        Some(Turn { bound: Arc::clone(self), client })
    }
}

/// Something that is being done.
#[derive(Debug)]
pub(crate) struct Turn {
    bound: Arc<Bound>,
    client: IpAddr,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut now = self.bound.now.lock();
        match now.get_mut(&self.client) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(now.remove(&self.client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_what_others_need() {
        let bound = Bound::new(3, 2);
        let [a, b] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        let first = bound.begin(a).expect("there is room");
        let second = bound.begin(a).expect("there is room");
        assert!(bound.begin(a).is_none(), "its share is used up");
        let third = bound.begin(b).expect("there is room for another");
        assert!(bound.begin(b).is_none(), "all is used up");
        drop(first);
        assert!(bound.begin(b).is_some());
        drop((second, third));
        assert!(bound.now.lock().is_empty());
    }
}
