//! The descriptor socket: batches of named descriptors in SEQPACKET messages.
//!
//! One message is a JSON header with as many descriptors in its ancillary data as the header has names. A batch
//! larger than the kernel's limit of descriptors per message spans several messages (`more`). The launcher
//! answers the last one with a token, or with a reason.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::{self, Errno};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

/// Descriptors in one message; the kernel takes at most 253.
pub(crate) const PER_MESSAGE: usize = 64;
/// Descriptors in one batch: a machine with more disks than this is refused.
pub(crate) const PER_BATCH: usize = 1024;
/// Longest message.
const MESSAGE_BYTES: usize = 32 * 1024;
const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// Header of one message to the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) secret: Vec<u8>,
    pub(crate) names: Vec<String>,
    /// Whether another message of the same batch follows.
    pub(crate) more: bool,
}

/// The launcher's answer to a whole batch.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Answer {
    Token(String),
    Refused(String),
}

/// One end of a connected SEQPACKET socket.
#[derive(Debug)]
pub(crate) struct Socket(AsyncFd<OwnedFd>);

impl Socket {
    pub(crate) fn new(fd: OwnedFd) -> std::io::Result<Self> {
        Ok(Self(register(fd)?))
    }

    /// Connects to the socket at `path`.
    pub(crate) fn connect(path: &Path) -> std::io::Result<Self> {
        let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None)?;
        rustix::net::connect(&fd, &SocketAddrUnix::new(path)?)?;
        Self::new(fd)
    }

    /// Sends one message with its descriptors.
    pub(crate) async fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> std::io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        loop {
            let mut ready = self.0.writable().await?;
            let sent = ready.try_io(|fd| Ok(send(fd.get_ref().as_fd(), &bytes, descriptors)?));
            if let Ok(result) = sent {
                return result;
            }
        }
    }

    /// Receives one message with its descriptors; `None` when the peer has closed.
    pub(crate) async fn receive<T: for<'a> Deserialize<'a>>(
        &self,
    ) -> std::io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut buffer = vec![0; MESSAGE_BYTES];
        let (length, descriptors) = loop {
            let mut ready = self.0.readable().await?;
            let received = ready.try_io(|fd| Ok(receive(fd.get_ref().as_fd(), &mut buffer)?));
            if let Ok(result) = received {
                break result?;
            }
        };
        if length == 0 {
            return Ok(None);
        }
        Ok(Some((serde_json::from_slice(&buffer[..length])?, descriptors)))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

/// A bound SEQPACKET socket.
#[derive(Debug)]
pub(crate) struct Listener(AsyncFd<OwnedFd>);

impl Listener {
    pub(crate) fn bind(path: &Path) -> std::io::Result<Self> {
        let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None)?;
        rustix::net::bind(&fd, &SocketAddrUnix::new(path)?)?;
        rustix::net::listen(&fd, 8)?;
        Ok(Self(register(fd)?))
    }

    pub(crate) async fn accept(&self) -> std::io::Result<Socket> {
        loop {
            let mut ready = self.0.readable().await?;
            let accepted = ready.try_io(|fd| Ok(rustix::net::accept_with(fd.get_ref(), FLAGS)?));
            if let Ok(result) = accepted {
                return Socket::new(result?);
            }
        }
    }
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PER_MESSAGE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::TOOMANYREFS);
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PER_MESSAGE))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(buffer)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            descriptors.extend(received);
        }
    }
    if message
        .flags
        .intersects(rustix::net::ReturnFlags::TRUNC | rustix::net::ReturnFlags::CTRUNC)
    {
        return Err(Errno::MSGSIZE);
    }
    Ok((message.bytes, descriptors))
}

/// Registers a socket with the runtime.
#[allow(
    unsafe_code,
    reason = "tokio leaves it to the caller that the descriptor is owned and stays the same"
)]
fn register(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, belongs to nobody else and names the same descriptor for its whole life.
    Ok(unsafe { AsyncFd::register(fd) }?)
}
