//! The helper process that works inside a Pod's namespaces.
//!
//! A process with threads cannot enter a user namespace, so the work is done by a short-lived process that
//! enters both namespaces of the Pod first. It gets one request on its standard input (a SOCK_SEQPACKET
//! socket) and answers with one message that carries the descriptors it opened.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitCode, Stdio};

use nix::sched::CloneFlags;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use crate::binding::{self, Facts, POD_INTERFACE, Spec};
use crate::link::Stack;
use crate::rights::Attempt;
use crate::{Cidr, Error};

/// Hidden subcommand that runs [`main`].
pub const ROLE: &str = "netns-exec";

/// Longest message either way.
const LONGEST: usize = 64 * 1024;
/// Most descriptors in an answer.
const DESCRIPTORS: usize = 4;

/// What the helper does.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Request {
    /// Connects a machine to the Pod's network.
    Bind(Spec),
    /// Opens a TCP connection from inside the Pod's network.
    Connect(SocketAddr),
    /// Opens a UDP socket inside the Pod's network that talks to one address.
    ConnectUdp(SocketAddr),
    /// Configures the Pod's interface although it leads nowhere.
    Isolate {
        /// Address of the Pod.
        own: Cidr,
        /// Gateway, which nobody is.
        gateway: Ipv4Addr,
    },
    /// Tries what machines' networks are made of.
    Rights,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Response {
    Bound(Facts),
    Done,
    Rights(Vec<Attempt>),
    Failed(String),
}

/// A request with the process whose namespaces it is about.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    pid: i32,
    request: Request,
}

/// A request that the helper is at. It has ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Call {
    socket: OwnedFd,
    process: Child,
}

impl Call {
    /// Has the helper carry out `request` in the namespaces of process `pid`.
    pub(crate) fn begin(helper: &host::Helper, pid: i32, request: &Request) -> Result<Self, Error> {
        let (socket, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|errno| failed("make a socket for")(errno.into()))?;
        let process = helper
            .command(ROLE)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .map_err(failed("start"))?;
        let call = Self { socket, process };
        let order = serde_json::json!({ "pid": pid, "request": request }).to_string();
        send(&call.socket, order.as_bytes(), &[]).map_err(failed("talk to"))?;
        Ok(call)
    }

    /// Waits for the next answer. Every request has one, [`Request::Bind`] two.
    pub(crate) fn answer(&mut self) -> Result<(Response, Vec<OwnedFd>), Error> {
        let (message, descriptors) = receive(&self.socket).map_err(failed("talk to"))?;
        if message.is_empty() {
            return Err(Error::Helper("the network helper ended without an answer".into()));
        }
        match serde_json::from_slice(&message) {
            Ok(Response::Failed(message)) => Err(Error::Helper(message)),
            Ok(response) => Ok((response, descriptors)),
            Err(error) => Err(failed("understand")(error.into())),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = self.process.wait();
    }
}

fn failed(what: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |cause| Error::System { operation: format!("{what} the network helper"), cause }
}

/// Has the helper carry out a request that has one answer.
pub(crate) fn call(
    helper: &host::Helper,
    pid: i32,
    request: &Request,
) -> Result<(Response, Vec<OwnedFd>), Error> {
    Call::begin(helper, pid, request)?.answer()
}

/// Opens a TCP connection to `address` from inside the network namespace of process `pid`. Blocks until the
/// other side answers, for ten seconds at most.
pub fn connect(pid: i32, address: SocketAddr, helper: &host::Helper) -> Result<std::net::TcpStream, Error> {
    let (_, descriptors) = call(helper, pid, &Request::Connect(address)).map_err(unreachable(address))?;
    let stream = descriptors.into_iter().next().map(std::net::TcpStream::from);
    stream.ok_or_else(|| Error::Helper("the network helper sent no descriptors".into()))
}

/// Adds the address to what the helper says of it.
fn unreachable(address: SocketAddr) -> impl FnOnce(Error) -> Error {
    move |error| match error {
        Error::Helper(cause) => Error::Unreachable { address, cause },
        other => other,
    }
}

/// A call that nobody needs to see done. Its helper ends when this is dropped.
struct Abandonable(Option<Call>);

impl Drop for Abandonable {
    fn drop(&mut self) {
        let Some(mut call) = self.0.take() else { return };
        let _ = call.process.kill();
        // A process that sleeps on a dead file system ends late, and no thread of the runtime waits for it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(call));
        }
    }
}

/// Does as [`connect`] does, without a thread that waits: whoever drops the future ends the helper and its attempt.
pub async fn dial(
    pid: i32,
    address: SocketAddr,
    helper: &host::Helper,
) -> Result<std::net::TcpStream, Error> {
    let helper = helper.clone();
    let begin = move || Call::begin(&helper, pid, &Request::Connect(address)).map(Some).map(Abandonable);
    let started = tokio::task::spawn_blocking(begin).await;
    let mut call = started.map_err(|error| failed("start")(error.into()))??;
    // Nothing is read from this one: it tells when there is an answer.
    let ended = || Error::Helper("the network helper was ended".into());
    let talk = call.0.as_mut().ok_or_else(ended)?;
    let watched = talk.socket.try_clone().map(UnixStream::from).and_then(|socket| {
        socket.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(socket)
    });
    watched.map_err(failed("talk to"))?.readable().await.map_err(failed("talk to"))?;
    let (_, descriptors) = talk.answer().map_err(unreachable(address))?;
    let stream = descriptors.into_iter().next().map(std::net::TcpStream::from);
    stream.ok_or_else(|| Error::Helper("the network helper sent no descriptors".into()))
}

/// Opens a UDP socket inside the network namespace of process `pid` that talks to `address` only.
pub fn connect_udp(
    pid: i32,
    address: SocketAddr,
    helper: &host::Helper,
) -> Result<std::net::UdpSocket, Error> {
    let (_, descriptors) = call(helper, pid, &Request::ConnectUdp(address))?;
    let socket = descriptors.into_iter().next().map(std::net::UdpSocket::from);
    socket.ok_or_else(|| Error::Helper("the network helper sent no descriptors".into()))
}

/// Runs the helper: reads a request from standard input, carries it out, answers.
///
/// Must be called before the process has a second thread.
pub fn main() -> ExitCode {
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    let (response, descriptors) = match serve(&socket) {
        Ok(done) => done,
        Err(message) => (Response::Failed(message), Vec::new()),
    };
    match answer(&socket, &response, &descriptors) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer(socket: &OwnedFd, response: &Response, descriptors: &[OwnedFd]) -> std::io::Result<()> {
    let message = serde_json::to_vec(response)?;
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    send(socket, &message, &borrowed)
}

fn serve(socket: &OwnedFd) -> Result<(Response, Vec<OwnedFd>), String> {
    let (message, _) = receive(socket).map_err(|error| format!("cannot read the request: {error}"))?;
    let order: Order =
        serde_json::from_slice(&message).map_err(|error| format!("cannot read the request: {error}"))?;
    enter(order.pid)?;
    match order.request {
        Request::Bind(spec) => {
            let (facts, descriptors, rules) = binding::inside(&spec).map_err(|error| error.to_string())?;
            // Nobody listening any more is no reason to leave the rules half done.
            let _ = answer(socket, &Response::Bound(facts), &descriptors);
            rules.wait().map(|()| (Response::Done, Vec::new())).map_err(|error| error.to_string())
        }
        Request::Isolate { own, gateway } => {
            let result = crate::namespace::block_on(isolate(own, gateway));
            result.map(|()| (Response::Done, Vec::new())).map_err(|error| error.to_string())
        }
        Request::Rights => Ok((Response::Rights(crate::rights::try_all()), Vec::new())),
        Request::Connect(address) => {
            let limit = std::time::Duration::from_secs(10);
            let stream =
                std::net::TcpStream::connect_timeout(&address, limit).map_err(|error| error.to_string())?;
            Ok((Response::Done, vec![stream.into()]))
        }
        Request::ConnectUdp(address) => {
            let own: SocketAddr = match address {
                SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = std::net::UdpSocket::bind(own)
                .and_then(|socket| socket.connect(address).map(|()| socket))
                .map_err(|error| format!("cannot talk to {address}: {error}"))?;
            Ok((Response::Done, vec![socket.into()]))
        }
    }
}

/// Makes the Pod's interface with an end that nobody listens on.
async fn isolate(own: Cidr, gateway: Ipv4Addr) -> Result<(), Error> {
    let stack = Stack::open()?;
    stack.pair(POD_INTERFACE, "nowhere").await?;
    for link in stack.links().await? {
        if link.name == POD_INTERFACE {
            stack.address(&link, own).await?;
        }
        stack.up(&link).await?;
    }
    stack.default_route(gateway).await
}

/// Enters the namespaces of `pid`; keeps the right to administer its network across `execve`.
fn enter(pid: i32) -> Result<(), String> {
    let open = |kind: &str| {
        let path = format!("/proc/{pid}/ns/{kind}");
        std::fs::File::open(&path).map_err(|error| format!("cannot open {path}: {error}"))
    };
    let inode = |file: &std::fs::File| file.metadata().map(|metadata| metadata.ino()).ok();
    let (user, network) = (open("user")?, open("net")?);
    let own = std::fs::File::open("/proc/self/ns/user").map_err(|error| error.to_string())?;
    if inode(&user) != inode(&own) {
        nix::sched::setns(&user, CloneFlags::CLONE_NEWUSER)
            .map_err(|error| format!("cannot enter the user namespace of process {pid}: {error}"))?;
        keep_capabilities().map_err(|error| format!("cannot keep rights in the user namespace: {error}"))?;
    }
    nix::sched::setns(&network, CloneFlags::CLONE_NEWNET)
        .map_err(|error| format!("cannot enter the network namespace of process {pid}: {error}"))
}

/// Lets `nft` inherit the right that its caller has in the user namespace, whose user is not root there.
fn keep_capabilities() -> Result<(), rustix::io::Errno> {
    let mut sets = rustix::thread::capabilities(None)?;
    sets.inheritable |= CapabilitySet::NET_ADMIN;
    rustix::thread::set_capabilities(None, sets)?;
    rustix::thread::configure_capability_in_ambient_set(CapabilitySet::NET_ADMIN, true)
}

fn send(socket: &OwnedFd, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> std::io::Result<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(std::io::Error::other("too many descriptors for one message"));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(socket: &OwnedFd) -> std::io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut message = vec![0u8; LONGEST];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let read = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut message)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    message.truncate(read.bytes);
    let descriptors = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        })
        .flatten()
        .collect();
    Ok((message, descriptors))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn whoever_stops_waiting_ends_the_helper() {
        let folder = tempfile::tempdir().unwrap();
        let started = folder.path().join("pid");
        // It keeps the socket and never answers.
        let script = format!("echo $$ > {0}.new && mv {0}.new {0} && exec sleep 600", started.display());
        let helper =
            host::Helper { arguments: vec!["-c".to_owned(), script], ..host::Helper::new("/bin/sh") };
        let is_up = async {
            while !started.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            answer = dial(1, ([192, 0, 2, 1], 1).into(), &helper) => panic!("it answered: {answer:?}"),
            () = is_up => {}
        }
        let pid = std::fs::read_to_string(&started).unwrap();
        let process = std::path::Path::new("/proc").join(pid.trim());
        let is_gone = async {
            while process.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), is_gone).await.expect("the helper is still there");
    }
}
