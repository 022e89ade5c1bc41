//! UDP as a stream: each read is one datagram, and so is each write.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UdpSocket;

/// A connected UDP socket. A read shows one datagram, cut to the reader's buffer; empty datagrams, which would look
/// like an end, are left out. There is no end.
#[derive(Debug)]
pub struct Datagrams(pub UdpSocket);

impl AsyncRead for Datagrams {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let before = buffer.filled().len();
            match ready!(self.0.poll_recv(context, buffer)) {
                Ok(()) if buffer.filled().len() == before => {}
                // Nobody listens there now; somebody may later.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncWrite for Datagrams {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(self.0.poll_send(context, bytes)) {
            // Told of an earlier datagram; this one is lost with it, as datagrams are.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Poll::Ready(Ok(bytes.len())),
            sent => Poll::Ready(sent),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn datagrams_keep_their_bounds() {
        let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        near.connect(far.local_addr().unwrap()).await.unwrap();
        far.connect(near.local_addr().unwrap()).await.unwrap();
        let mut stream = Datagrams(near);
        stream.write_all(b"one").await.unwrap();
        stream.write_all(b"two").await.unwrap();
        let mut buffer = [0; 16];
        assert_eq!(far.recv(&mut buffer).await.unwrap(), 3);
        assert_eq!(far.recv(&mut buffer).await.unwrap(), 3);
        assert_eq!(&buffer[..3], b"two");
        for datagram in [&b""[..], b"three", b"four"] {
            far.send(datagram).await.unwrap();
        }
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 5);
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 4);
    }
}
