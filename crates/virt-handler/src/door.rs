//! The agent's door for virt-api: commands, questions and streams for the machines of its node.
//!
//! Who may was decided before. Here an instance is found by name and identity, and its launcher or its sockets are
//! asked.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use kube_ext::{Cache, Key};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::{TcpStream, UdpSocket, UnixStream};
use tokio::task::AbortHandle;
use wire::agent::{Channel, Command, Question, Target};
use wire::launcher::v1::AskGuestRequest;

use crate::guest_facts;
use crate::session::{Session, Sessions};
use crate::streams;
use crate::until::{MachineEnd, Until};
use crate::view::View;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The agent is not running yet, or no more.
    #[error("the node's agent is starting; try again")]
    Closed,
    /// The node has no such instance.
    #[error("{namespace}/{name} is not on node {node}")]
    Elsewhere {
        /// Namespace of the instance.
        namespace: String,
        /// Its name.
        name: String,
        /// The node.
        node: String,
    },
    /// Its launcher cannot be asked now.
    #[error("the launcher of the machine does not answer; try again, and look at its Pod if it stays so")]
    Silent,
    /// The launcher refused or failed.
    #[error(transparent)]
    Launcher(#[from] launcher_channel::Error),
    /// One of the machine's sockets cannot be used.
    #[error("connect to the machine's {what}: {source}")]
    Socket {
        /// What the socket leads to.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The guest could not be reached on its network.
    #[error("dial port {port} of the guest at {address}: {cause}")]
    Network {
        /// Its port.
        port: u16,
        /// Its address, as its status shows it.
        address: String,
        /// Why not.
        cause: String,
    },
    /// Somebody else is looking, and was not to be disturbed.
    #[error("the machine's screen has a viewer already, and the session was to be preserved")]
    Occupied,
}

/// An open stream.
#[derive(Debug)]
pub enum Opened {
    /// To one of the machine's sockets.
    Unix(UnixStream),
    /// To a TCP port of the guest.
    Tcp(Until<TcpStream>),
    /// To a UDP port of the guest, until the machine ends.
    Udp(UdpSocket, MachineEnd),
}

/// What the door needs of the agent behind it.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) node: String,
    pub(crate) kubelet_root: PathBuf,
    pub(crate) helper: host::Helper,
    pub(crate) cache: Cache<View>,
    pub(crate) sessions: Arc<Sessions>,
    /// The one viewer of each machine's screen, by instance.
    pub(crate) viewers: Mutex<HashMap<String, AbortHandle>>,
}

/// The door of one agent. Clones are the same door; it opens when the agent runs.
#[derive(Clone, Debug, Default)]
pub struct Door(Arc<OnceLock<Behind>>);

/// A machine that was found.
struct Found<'a> {
    behind: &'a Behind,
    session: Session,
    /// Directory of the Pod's sockets.
    sockets: PathBuf,
    /// Address that the instance shows; empty when it shows none.
    address: String,
}

impl Door {
    /// Opens the door.
    pub(crate) fn open_to(&self, behind: Behind) {
        // One door is given to one agent.
        drop(self.0.set(behind));
    }

    /// Has a machine do something.
    ///
    /// # Errors
    /// When the machine is not here, or its launcher refuses.
    pub async fn command(&self, target: &Target, command: Command) -> Result<(), DoorError> {
        let client = self.find(target)?.session.client;
        match command {
            Command::Pause => client.pause().await?,
            Command::Unpause => client.resume().await?,
            Command::Reset => client.reset().await?,
            Command::SoftReboot => client.soft_reboot().await?,
            Command::Freeze { unfreeze_after_seconds } => client.freeze(unfreeze_after_seconds).await?,
            Command::Unfreeze => client.unfreeze().await?,
        }
        Ok(())
    }

    /// Asks a guest; the answer is what the API shows.
    ///
    /// # Errors
    /// When the machine is not here, or its guest's agent does not tell.
    pub async fn ask(&self, target: &Target, question: Question) -> Result<Value, DoorError> {
        let client = self.find(target)?.session.client;
        let wanted = AskGuestRequest {
            system: question == Question::Guest,
            users: matches!(question, Question::Guest | Question::Users),
            file_systems: matches!(question, Question::Guest | Question::FileSystems),
        };
        let answer = client.ask_guest(wanted).await?;
        Ok(match question {
            Question::Guest => guest_facts::guest(&answer),
            Question::Users => guest_facts::users(&answer),
            Question::FileSystems => guest_facts::file_systems(&answer),
        })
    }

    /// Takes a picture of a machine's screen, as PNG.
    ///
    /// # Errors
    /// When the machine is not here or has no screen.
    pub async fn screenshot(&self, target: &Target) -> Result<Vec<u8>, DoorError> {
        Ok(self.find(target)?.session.client.screenshot().await?)
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// When the machine is not here, or nobody answers at the other end.
    pub async fn open(&self, target: &Target, channel: Channel) -> Result<Opened, DoorError> {
        let found = self.find(target)?;
        match channel {
            Channel::Console => {
                let stream = streams::connect(&found.sockets, streams::CONSOLE).await;
                stream.map(Opened::Unix).map_err(|source| DoorError::Socket { what: "console", source })
            }
            Channel::Vnc { preserve_session } => found.view(&target.uid, preserve_session).await,
            Channel::Tcp { port } => {
                let (pid, helper) = (found.session.client.peer_pid(), found.behind.helper.clone());
                let stream = streams::tcp(pid, port, helper).await;
                let end = found.session.end.clone();
                stream
                    .map(|stream| Opened::Tcp(end.bounds(stream)))
                    .map_err(|cause| found.unreachable(port, cause))
            }
            Channel::Udp { port } => {
                let (pid, helper) = (found.session.client.peer_pid(), found.behind.helper.clone());
                let socket = streams::udp(pid, port, helper).await;
                let end = found.session.end.clone();
                socket.map(|socket| Opened::Udp(socket, end)).map_err(|cause| found.unreachable(port, cause))
            }
        }
    }

    fn find(&self, target: &Target) -> Result<Found<'_>, DoorError> {
        let behind = self.0.get().ok_or(DoorError::Closed)?;
        let elsewhere = || DoorError::Elsewhere {
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            node: behind.node.clone(),
        };
        let view = behind.cache.get(&Key::new(&target.namespace, &target.name));
        let view = view.filter(|view| view.metadata.uid == target.uid).ok_or_else(elsewhere)?;
        let pod = view.pod_on(&behind.node).ok_or_else(elsewhere)?;
        let session = behind.sessions.find(&target.uid, pod).ok_or(DoorError::Silent)?;
        let sockets =
            behind.kubelet_root.join("pods").join(pod).join("volumes/kubernetes.io~empty-dir/sockets");
        Ok(Found { behind, session, sockets, address: view.address().unwrap_or_default() })
    }
}

impl Found<'_> {
    /// Says that nobody answered on a port of the guest.
    fn unreachable(&self, port: u16, cause: String) -> DoorError {
        let address =
            if self.address.is_empty() { "no address yet".to_owned() } else { self.address.clone() };
        DoorError::Network { port, address, cause }
    }

    /// Lets somebody look at the screen, who takes the place of whoever looked before unless that is to be preserved.
    async fn view(&self, uid: &str, preserve: bool) -> Result<Opened, DoorError> {
        let broken = |source| DoorError::Socket { what: "screen", source };
        let occupied = |viewers: &HashMap<String, AbortHandle>| {
            preserve && viewers.get(uid).is_some_and(|viewer| !viewer.is_finished())
        };
        if occupied(&self.behind.viewers.lock()) {
            return Err(DoorError::Occupied);
        }
        let mut screen = streams::connect(&self.sockets, streams::SCREEN).await.map_err(broken)?;
        let (theirs, mut ours) = UnixStream::pair().map_err(broken)?;
        let mut viewers = self.behind.viewers.lock();
        if occupied(&viewers) {
            return Err(DoorError::Occupied);
        }
        let viewer = tokio::spawn(async move {
            // Either side ends it; how, is nobody's concern.
            drop(tokio::io::copy_bidirectional(&mut ours, &mut screen).await);
        });
        viewers.retain(|_, viewer| !viewer.is_finished());
        if let Some(before) = viewers.insert(uid.to_owned(), viewer.abort_handle()) {
            before.abort();
        }
        Ok(Opened::Unix(theirs))
    }
}
