//! Streams that end with their machine.

use std::fmt;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The end of a machine, as its agent learns of it.
#[derive(Clone, Debug, Default)]
pub struct MachineEnd(CancellationToken);

impl MachineEnd {
    /// Bounds `stream` by the machine's life. A guest that was killed closes no connection, and its network lasts for as
    /// long as somebody holds one to it.
    pub fn bounds<S>(self, stream: S) -> Until<S> {
        Until { stream, end: Box::pin(self.0.cancelled_owned()) }
    }

    pub(crate) fn has_come(&self) {
        self.0.cancel();
    }
}

/// A stream that has nothing more to read once its machine has ended.
pub struct Until<S> {
    stream: S,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S: fmt::Debug> fmt::Debug for Until<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Until").field(&self.stream).finish()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Until<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // What was said before comes first.
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.end.as_mut().poll(context).map(Ok),
            read @ Poll::Ready(_) => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Until<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_stream_ends_with_its_machine_and_tells_what_came_before() {
        let (near, mut far) = tokio::io::duplex(64);
        let end = MachineEnd::default();
        let mut stream = end.clone().bounds(near);
        stream.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        far.read_exact(&mut heard).await.unwrap();
        far.write_all(b"bye").await.unwrap();
        end.has_come();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert_eq!((heard, &all[..]), (*b"hello", &b"bye"[..]));
        let mut late = end.bounds(tokio::io::duplex(64).0);
        assert_eq!(late.read(&mut heard).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_end() {
        let (near, _far) = tokio::io::duplex(64);
        let end = MachineEnd::default();
        let mut stream = end.clone().bounds(near);
        let reading = tokio::spawn(async move { stream.read(&mut [0; 1]).await });
        tokio::task::yield_now().await;
        end.has_come();
        assert_eq!(reading.await.unwrap().unwrap(), 0);
    }
}
