//! The launcher's end: both sockets, bound and served.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustix::fs::Mode;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::batch::Batches;
use crate::descriptors::{Answer, Header, PER_BATCH};
use crate::path::SocketPath;
use crate::peer::Peer;
use crate::rpc::launcher_server::LauncherServer;
use crate::seqpacket::{Listener, Socket};
use crate::service::{Session, Shared, Supervisor, pair};
use crate::{COMMAND_SOCKET, DESCRIPTOR_SOCKET, Descriptors, Secret};

/// What a launcher says of itself in its hello.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Release of the software.
    pub release: String,
    /// Number of this launcher process in its Pod, from 1.
    pub incarnation: u32,
}

/// A launcher's socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("bind the launcher's socket {path}: is the directory there and writable?")]
pub struct BindError {
    path: PathBuf,
    source: std::io::Error,
}

/// Both sockets of a launcher, bound and not yet served.
#[derive(Debug)]
pub struct Server {
    commands: UnixListener,
    descriptors: Listener,
    owner: u32,
    shared: Arc<Shared>,
}

impl Server {
    /// Binds both sockets in `directory`. Sockets of a launcher that died are replaced.
    pub fn bind(directory: &Path, secret: Secret, identity: Identity) -> Result<Self, BindError> {
        let failed = |socket: &str| {
            let path = directory.join(socket);
            move |source| BindError { path, source }
        };
        let owner = std::fs::metadata(directory).map_err(failed(""))?.uid();
        // The descriptor socket first: who can connect for commands can also hand over descriptors.
        let path = fresh(directory, DESCRIPTOR_SOCKET).map_err(failed(DESCRIPTOR_SOCKET))?;
        let descriptors = Listener::bind(path.as_path()).map_err(failed(DESCRIPTOR_SOCKET))?;
        restrict(&path).map_err(failed(DESCRIPTOR_SOCKET))?;
        let path = fresh(directory, COMMAND_SOCKET).map_err(failed(COMMAND_SOCKET))?;
        let commands = UnixListener::bind(path.as_path()).map_err(failed(COMMAND_SOCKET))?;
        restrict(&path).map_err(failed(COMMAND_SOCKET))?;
        let shared = Shared { secret: Mutex::new(secret), batches: Mutex::new(Batches::default()), identity };
        Ok(Self { commands, descriptors, owner, shared: Arc::new(shared) })
    }

    /// Serves `supervisor` until the future is dropped.
    pub async fn run<S: Supervisor>(self, supervisor: Arc<S>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.commands.accept() => match accepted {
                    Ok((stream, _)) => {
                        if self.admits(&stream) {
                            let session = Session {
                                supervisor: Arc::clone(&supervisor),
                                shared: Arc::clone(&self.shared),
                                open: AtomicBool::new(false),
                            };
                            connections.spawn(serve_commands(stream, session));
                        }
                    }
                    Err(error) => tracing::warn!(%error, "accept an agent's connection"),
                },
                accepted = self.descriptors.accept() => match accepted {
                    Ok(socket) => {
                        if self.admits(&socket) {
                            connections.spawn(serve_descriptors(socket, Arc::clone(&self.shared)));
                        }
                    }
                    Err(error) => tracing::warn!(%error, "accept a descriptor connection"),
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn admits(&self, socket: impl std::os::fd::AsFd) -> bool {
        match Peer::of(socket) {
            Ok(peer) if peer.may_command(self.owner) => true,
            Ok(peer) => {
                tracing::warn!(uid = peer.uid, pid = peer.pid, "refuse a connection of a foreign user");
                false
            }
            Err(error) => {
                tracing::warn!(%error, "read a peer's credentials");
                false
            }
        }
    }
}

/// Removes what a dead launcher left and returns the path to bind.
fn fresh(directory: &Path, socket: &str) -> std::io::Result<SocketPath> {
    let path = SocketPath::new(directory, socket)?;
    match std::fs::remove_file(path.as_path()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(path),
    }
}

fn restrict(path: &SocketPath) -> std::io::Result<()> {
    Ok(rustix::fs::chmod(path.as_path(), Mode::RUSR | Mode::WUSR)?)
}

async fn serve_commands<S: Supervisor>(stream: UnixStream, session: Session<S>) {
    let service = TowerToHyperService::new(LauncherServer::new(session));
    let served =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "an agent's connection ended");
    }
}

async fn serve_descriptors(socket: Socket, shared: Arc<Shared>) {
    loop {
        let answer = match receive_batch(&socket, &shared).await {
            Ok(Some(descriptors)) => Answer::Token(shared.batches().keep(descriptors)),
            Ok(None) => return,
            Err(reason) => Answer::Refused(reason),
        };
        let refused = matches!(answer, Answer::Refused(_));
        if socket.send(&answer, &[]).await.is_err() || refused {
            return;
        }
    }
}

async fn receive_batch(socket: &Socket, shared: &Shared) -> Result<Option<Descriptors>, String> {
    let mut batch = Descriptors::new();
    loop {
        let Some((header, fds)) = socket.receive::<Header>().await.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        if !shared.secret().matches(&header.secret) {
            return Err("the secret is not this session's".to_owned());
        }
        batch.extend(pair(header.names, fds)?);
        if batch.len() > PER_BATCH {
            return Err(format!("a batch holds at most {PER_BATCH} descriptors"));
        }
        if !header.more {
            return Ok(Some(batch));
        }
    }
}
