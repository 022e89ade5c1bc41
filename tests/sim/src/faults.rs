//! A client's way to the server, with misfortune on it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use apiserver::{Body, InProcess, body};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use machinery::gvk::Gvr;
use machinery::status::Status;

use crate::dice::Dice;
use crate::journal::Journal;

/// Whether misfortune strikes at present. Shared by all clients of a run.
#[derive(Clone, Debug, Default)]
pub struct Weather(Arc<AtomicBool>);

impl Weather {
    /// Begins or ends the storm.
    pub fn set_stormy(&self, stormy: bool) {
        self.0.store(stormy, Ordering::Relaxed);
    }

    pub(crate) fn is_stormy(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The way to the server of one client: writes the journal, and while it storms
/// - refuses some writes with a conflict,
/// - carries some writes out and loses the answer,
/// - breaks some watches after a few changes.
#[derive(Clone, Debug)]
pub struct Road {
    server: InProcess,
    who: &'static str,
    dice: Dice,
    weather: Weather,
    journal: Journal,
}

impl Road {
    /// Makes the road of the client `who`.
    pub fn new(server: InProcess, who: &'static str, dice: Dice, weather: Weather, journal: Journal) -> Self {
        Self { server, who, dice, weather, journal }
    }

    async fn travel<B>(mut self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<body::BodyError>,
    {
        let storm = self.weather.is_stormy();
        let reads = request.method() == Method::GET;
        let watches = request.uri().query().is_some_and(|query| query.contains("watch=1"));
        let label = format!("{} {}", request.method(), request.uri().path());
        let refuse = storm && !reads && self.dice.chance(30);
        let silent = storm && !reads && self.dice.chance(30);
        if refuse {
            self.journal.write(self.who, &format!("{label} 409 (bad luck)"));
            return body::refusal(&Status::conflict(&Gvr::new("", "v1", "things"), "bad-luck", "simulated"));
        }
        let Ok(response) = tower::Service::call(&mut self.server, request).await;
        if !reads {
            let lost = if silent { " (answer lost)" } else { "" };
            self.journal.write(self.who, &format!("{label} {}{lost}", response.status().as_u16()));
        }
        if silent {
            return body::refusal(&Status::internal("simulated loss of the answer"));
        }
        if watches && storm && self.dice.chance(500) {
            let frames = 1 + self.dice.below(40);
            return response.map(|inner| Cut { inner, frames }.boxed_unsync());
        }
        response
    }
}

impl<B> tower::Service<Request<B>> for Road
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<body::BodyError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let road = self.clone();
        Box::pin(async move { Ok(road.travel(request).await) })
    }
}

/// A body that ends early.
struct Cut {
    inner: Body,
    frames: u64,
}

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = body::BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, body::BodyError>>> {
        if self.frames == 0 {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if frame.is_ready() {
            self.frames -= 1;
        }
        frame
    }
}
