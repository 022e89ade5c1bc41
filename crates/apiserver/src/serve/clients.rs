//! Who holds how many connections: no client takes them all.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use machinery::admission::UserInfo;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Who is at the other end of a connection, as far as the connection itself tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// The user of a verified certificate.
    User(String),
    /// Everybody without one at an address; tokens come later, with the requests.
    Address(IpAddr),
}

impl Client {
    pub(super) fn of(peer: Option<&UserInfo>, address: IpAddr) -> Self {
        peer.map_or(Self::Address(address), |user| Self::User(user.username.clone()))
    }
}

/// The connections that are served, by client.
#[derive(Debug)]
pub(super) struct Clients {
    most: usize,
    open: Mutex<HashMap<Client, usize>>,
}

/// A client's right to one connection; ends with the value.
#[derive(Debug)]
pub(super) struct Seat {
    clients: Arc<Clients>,
    client: Client,
}

impl Clients {
    /// Lets each client have `most` connections at the same time.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// Counts one more connection of `client`, unless it has all that it may have.
    pub(super) fn enter(self: &Arc<Self>, client: Client) -> Option<Seat> {
        let mut open = self.open.lock();
        let count = open.get(&client).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        open.insert(client.clone(), count + 1);
        Some(Seat { clients: Arc::clone(self), client })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.clients.open.lock();
        match open.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.client);
            }
        }
    }
}

/// The connections that are still at their TLS handshake. Who they are is not known yet; where there are too many, the
/// one that takes longest makes room.
#[derive(Debug)]
pub(super) struct Newcomers {
    most: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    by_age: BTreeMap<u64, CancellationToken>,
}

/// A connection at its handshake; no more when dropped.
#[derive(Debug)]
pub(super) struct Newcomer {
    newcomers: Arc<Newcomers>,
    number: u64,
    sent_away: CancellationToken,
}

impl Newcomers {
    /// Lets `most` connections be at their handshake at the same time.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, waiting: Mutex::default() })
    }

    /// Lets one more begin.
    pub(super) fn begin(self: &Arc<Self>) -> Newcomer {
        let mut waiting = self.waiting.lock();
        if waiting.by_age.len() >= self.most
            && let Some((_, oldest)) = waiting.by_age.pop_first()
        {
            oldest.cancel();
        }
        let (number, sent_away) = (waiting.next, CancellationToken::new());
        waiting.next += 1;
        waiting.by_age.insert(number, sent_away.clone());
        Newcomer { newcomers: Arc::clone(self), number, sent_away }
    }
}

impl Newcomer {
    /// Waits until this one has to make room.
    pub(super) async fn sent_away(&self) {
        self.sent_away.cancelled().await;
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.newcomers.waiting.lock().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_number() {
        let clients = Clients::new(2);
        let user = |name: &str| Client::User(name.to_owned());
        let first = clients.enter(user("a")).expect("a seat");
        let second = clients.enter(user("a")).expect("a seat");
        assert!(clients.enter(user("a")).is_none());
        assert!(clients.enter(user("b")).is_some());
        let here = Client::of(None, IpAddr::from([127, 0, 0, 1]));
        assert!(clients.enter(here).is_some());
        drop(first);
        assert!(clients.enter(user("a")).is_some());
        drop(second);
        assert!(clients.open.lock().is_empty());
    }

    #[tokio::test]
    async fn the_slowest_handshake_makes_room() {
        let newcomers = Newcomers::new(2);
        let slow = newcomers.begin();
        let done = newcomers.begin();
        drop(done);
        let second = newcomers.begin();
        assert!(!slow.sent_away.is_cancelled());
        let third = newcomers.begin();
        slow.sent_away().await;
        drop(slow);
        assert!(!second.sent_away.is_cancelled() && !third.sent_away.is_cancelled());
        assert_eq!(newcomers.waiting.lock().by_age.len(), 2);
    }
}
