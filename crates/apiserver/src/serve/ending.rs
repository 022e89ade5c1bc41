//! Bodies that end when the server does.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::Body;
use crate::body::BodyError;

/// Makes a stream end once `shutdown` is cancelled. A body of known length stays as it is: it is sent whole.
pub(super) fn ending(body: Body, shutdown: CancellationToken) -> Body {
    if body.size_hint().exact().is_some() {
        return body;
    }
    Ending { body, over: Box::pin(shutdown.cancelled_owned()) }.boxed_unsync()
}

struct Ending {
    body: Body,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // What is ready is sent first, so that a client sees all that came before the end.
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        self.over.as_mut().poll(context).map(|()| None)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};
    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test]
    async fn a_stream_ends_with_the_server() {
        let shutdown = CancellationToken::new();
        let first = stream::iter([Ok::<_, BodyError>(Frame::data(Bytes::from("event")))]);
        let endless = StreamBody::new(first.chain(stream::pending())).boxed_unsync();
        let mut body = ending(endless, shutdown.clone());
        let frame = body.frame().await.expect("a frame").expect("fine");
        assert_eq!(frame.into_data().expect("data"), "event");
        shutdown.cancel();
        assert!(body.frame().await.is_none());
        let whole = ending(crate::body::full("all"), shutdown);
        assert_eq!(whole.collect().await.expect("fine").to_bytes(), "all");
    }
}
