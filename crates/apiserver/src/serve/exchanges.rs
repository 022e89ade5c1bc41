//! The requests of one connection: whether any is at work, and whether its client takes the answers.
//!
//! An answer goes out piece by piece, as its client takes it. Until the last piece is taken, its request keeps its seats, so
//! that who reads slowly asks less. Who does not take an answer while its time lasts loses the connection; who asks nothing for
//! long is sent away in good order.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use effects::Clock;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

use crate::Body;
use crate::body::BodyError;
use crate::flow::Held;

/// Bytes that go out at once: a frame of HTTP/2.
const PIECE: usize = 16 << 10;

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Exchanges(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// How many there were so far.
    next: u64,
    /// Those that are at work, oldest first; with the time since which a whole answer waits to be taken.
    at_work: BTreeMap<u64, Option<Duration>>,
}

/// A request at work; no more when dropped.
#[derive(Debug)]
pub(super) struct Exchange {
    exchanges: Arc<Exchanges>,
    number: u64,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.exchanges.0.lock().at_work.remove(&self.number);
    }
}

impl Exchanges {
    /// Notes a request.
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        let mut open = self.0.lock();
        let number = open.next;
        open.next += 1;
        open.at_work.insert(number, None);
        Exchange { exchanges: Arc::clone(self), number }
    }

    /// Waits until an answer is not taken for longer than `patience`.
    pub(super) async fn stalled(&self, clock: &dyn Clock, patience: Duration) {
        loop {
            clock.sleep(patience / 4).await;
            let oldest = self.0.lock().at_work.values().flatten().next().copied();
            if oldest.is_some_and(|since| clock.elapsed().saturating_sub(since) > patience) {
                return;
            }
        }
    }

    /// Waits until nothing was asked, and nothing at work, for about `patience`.
    pub(super) async fn idle(&self, clock: &dyn Clock, patience: Duration) {
        let (mut before, mut quiet) = (0, 0);
        // The first quarter has passed in part only.
        while quiet < 5 {
            clock.sleep(patience / 4).await;
            let open = self.0.lock();
            let is_quiet = open.at_work.is_empty() && open.next == before;
            (before, quiet) = (open.next, if is_quiet { quiet + 1 } else { 0 });
        }
    }
}

impl Exchange {
    /// Sends an answer: one that is whole piece by piece. Streams are as long as their clients like.
    pub(super) fn send(self, mut response: Response<Body>, clock: &dyn Clock) -> Response<Body> {
        let held = response.extensions_mut().remove::<Held>();
        if response.body().size_hint().exact().is_some() {
            self.exchanges.0.lock().at_work.insert(self.number, Some(clock.elapsed()));
        }
        response.map(|body| Pieces { body, rest: Bytes::new(), _held: held, _exchange: self }.boxed_unsync())
    }
}

struct Pieces {
    body: Body,
    rest: Bytes,
    _held: Option<Held>,
    _exchange: Exchange,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        let size = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(size);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let here = self.rest.len() as u64;
        self.body.size_hint().exact().map_or_else(SizeHint::default, |size| SizeHint::with_exact(size + here))
    }
}

#[cfg(test)]
mod tests {
    use effects::VirtualClock;
    use jiff::Timestamp;

    use super::*;

    fn response(bytes: impl Into<Bytes>) -> Response<Body> {
        Response::new(crate::body::full(bytes))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_goes_out_in_pieces_of_the_same_length() {
        let clock = VirtualClock::new(Timestamp::UNIX_EPOCH);
        let exchanges = Arc::new(Exchanges::default());
        let whole: Vec<u8> = (0..40_000_u32).map(|at| at as u8).collect();
        let mut body = exchanges.begin().send(response(whole.clone()), &clock).into_body();
        assert_eq!(body.size_hint().exact(), Some(40_000));
        let (mut sent, mut pieces) = (Vec::new(), 0);
        while !body.is_end_stream() {
            let piece = body.frame().await.expect("a piece").expect("fine").into_data().expect("data");
            assert!(piece.len() <= PIECE);
            pieces += 1;
            sent.extend_from_slice(&piece);
            assert_eq!(body.size_hint().exact(), Some(40_000 - sent.len() as u64));
        }
        assert_eq!((sent, pieces), (whole, 3));
        assert_eq!(exchanges.0.lock().at_work.len(), 1);
        drop(body);
        assert_eq!(exchanges.0.lock().at_work.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_no_answer_is_noticed() {
        let clock = VirtualClock::new(Timestamp::UNIX_EPOCH);
        let (exchanges, patience) = (Arc::new(Exchanges::default()), Duration::from_secs(60));
        let stalled = exchanges.stalled(&clock, patience);
        tokio::pin!(stalled);
        let mut wait = async |seconds| {
            tokio::time::timeout(Duration::from_secs(seconds), stalled.as_mut()).await.is_ok()
        };
        let taken = exchanges.begin().send(response("a"), &clock);
        assert!(!wait(50).await);
        drop(taken);
        let _at_work = exchanges.begin();
        let _left = exchanges.begin().send(response("b"), &clock);
        assert!(!wait(55).await);
        assert!(wait(30).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_nothing_is_noticed() {
        let clock = VirtualClock::new(Timestamp::UNIX_EPOCH);
        let (exchanges, patience) = (Arc::new(Exchanges::default()), Duration::from_secs(90));
        let idle = exchanges.idle(&clock, patience);
        tokio::pin!(idle);
        let mut wait =
            async |seconds| tokio::time::timeout(Duration::from_secs(seconds), idle.as_mut()).await.is_ok();
        let watch = exchanges.begin();
        assert!(!wait(1000).await);
        drop(watch);
        assert!(!wait(80).await);
        drop(exchanges.begin());
        assert!(!wait(80).await);
        assert!(wait(60).await);
    }
}
