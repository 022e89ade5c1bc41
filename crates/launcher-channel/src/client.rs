//! The agent's end: one session with one launcher.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use wire::launcher::{VERSIONS, v1};
use wire::machine::MachineRecord;

use crate::descriptors::{Answer, Header, PER_BATCH, PER_MESSAGE};
use crate::path::SocketPath;
use crate::peer::Peer;
use crate::rpc::launcher_client::LauncherClient;
use crate::seqpacket::Socket;
use crate::{COMMAND_SOCKET, DESCRIPTOR_SOCKET, Descriptors};

/// How long a launcher may take to answer a hello or a descriptor batch.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest picture of a screen that is taken, in bytes.
const LARGEST_PICTURE: usize = 64 << 20;

/// Why a launcher could not be commanded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The launcher's socket does not exist or nobody listens on it (yet).
    #[error("connect to the launcher at {path}: is the launcher up?")]
    Connect {
        /// Path of the socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The launcher speaks no protocol version that this release knows.
    #[error(
        "the launcher chose protocol version {chosen}, which this agent does not speak (it speaks {VERSIONS:?})"
    )]
    Version {
        /// The launcher's choice.
        chosen: u32,
    },
    /// The launcher went away or did not answer in time.
    #[error("the launcher does not answer: {0}")]
    Gone(String),
    /// The launcher refuses the session: another agent's secret is set.
    #[error("the launcher refuses this session: {0}")]
    Denied(String),
    /// The launcher understood the command and refuses it.
    #[error("the launcher refuses: {0}")]
    Refused(String),
    /// The launcher does not know the command: it was started by an earlier release.
    #[error(
        "the machine's launcher is of release {release} and cannot do that yet; stop the machine and start it again, and it gets a newer one"
    )]
    Unknown {
        /// Release of the launcher.
        release: String,
    },
    /// The command failed inside the launcher.
    #[error("the launcher failed: {0}")]
    Failed(String),
    /// The descriptors could not be handed over.
    #[error("hand descriptors to the launcher: {0}")]
    Descriptors(String),
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        let message = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => Self::Denied(message),
            Code::InvalidArgument | Code::FailedPrecondition => Self::Refused(message),
            // Said of the very hello.
            Code::Unimplemented => Self::Refused("it does not speak this protocol".to_owned()),
            Code::Internal => Self::Failed(message),
            _ => Self::Gone(message),
        }
    }
}

/// One session with one launcher. Clones share the connection; when it breaks every call fails with
/// [`Error::Gone`] and the agent connects anew.
#[derive(Clone, Debug)]
pub struct Client {
    root: PathBuf,
    /// Directory of the sockets in `root`.
    inside: PathBuf,
    secret: Arc<[u8]>,
    peer_pid: i32,
    hello: Arc<v1::HelloResponse>,
    rpc: LauncherClient<Channel>,
}

impl Client {
    /// Connects to the sockets in `directory` and says hello with `secret`.
    ///
    /// The secret is at least 16 random bytes; the first one that a launcher receives stays valid for its
    /// life, also for launchers that replace it in the same Pod.
    pub async fn connect(directory: &Path, secret: &[u8]) -> Result<Self, Error> {
        Self::connect_beneath(directory, Path::new(""), secret).await
    }

    /// Connects to the sockets in the directory `inside` of `root`, which others may have made and named: neither links
    /// nor `..` lead out of `root`.
    pub async fn connect_beneath(root: &Path, inside: &Path, secret: &[u8]) -> Result<Self, Error> {
        let socket = inside.join(COMMAND_SOCKET);
        let refused = |source| Error::Connect { path: root.join(&socket), source };
        let path = SocketPath::existing(root, &socket).map_err(|error| refused(error.into()))?;
        let stream = UnixStream::connect(path.as_path()).await.map_err(refused)?;
        let peer_pid = Peer::of(stream.as_fd()).map_err(refused)?.pid;

        // One connection is one session, so the connector has exactly one stream to give.
        let stream = Arc::new(Mutex::new(Some(stream)));
        let connector = tower::service_fn(move |_| {
            let stream = stream.lock().ok().and_then(|mut stream| stream.take());
            async move {
                stream.map(TokioIo::new).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected))
            }
        });
        let channel = Endpoint::from_static("http://launcher")
            .connect_with_connector(connector)
            .await
            .map_err(|error| Error::Gone(error.to_string()))?;
        let mut rpc = LauncherClient::new(channel);

        let request = v1::HelloRequest { versions: VERSIONS.to_vec(), secret: secret.to_vec() };
        let hello = tokio::time::timeout(PATIENCE, rpc.hello(request))
            .await
            .map_err(|_| Error::Gone("no answer to the hello".to_owned()))??
            .into_inner();
        if !VERSIONS.contains(&hello.version) {
            return Err(Error::Version { chosen: hello.version });
        }
        Ok(Self {
            root: root.to_owned(),
            inside: inside.to_owned(),
            secret: secret.into(),
            peer_pid,
            hello: Arc::new(hello),
            rpc,
        })
    }

    /// Returns the process ID of the launcher in the caller's PID namespace (`SO_PEERCRED`).
    pub fn peer_pid(&self) -> i32 {
        self.peer_pid
    }

    /// Returns what the launcher said of itself.
    pub fn hello(&self) -> &v1::HelloResponse {
        &self.hello
    }

    /// Starts the machine of `record` with its open `descriptors`. Starting the record that runs already
    /// changes nothing.
    pub async fn start(
        &self,
        record: &MachineRecord,
        descriptors: Descriptors,
    ) -> Result<v1::MachineState, Error> {
        let record = serde_json::to_vec(record).map_err(|error| Error::Refused(error.to_string()))?;
        let token = if descriptors.is_empty() {
            String::new()
        } else {
            tokio::time::timeout(PATIENCE, self.hand_over(&descriptors))
                .await
                .map_err(|_| Error::Gone("no answer to a descriptor batch".to_owned()))??
        };
        drop(descriptors);
        let request = v1::StartRequest { record, descriptors: token };
        let response = self.answer(self.rpc.clone().start(request).await)?.into_inner();
        Ok(response.state.unwrap_or_default())
    }

    /// Presses the power button; the launcher kills the machine after the grace period.
    pub async fn shutdown(&self, grace_period_seconds: u64) -> Result<(), Error> {
        self.answer(self.rpc.clone().shutdown(v1::ShutdownRequest { grace_period_seconds }).await)?;
        Ok(())
    }

    /// Ends the hypervisor at once.
    pub async fn kill(&self) -> Result<(), Error> {
        self.answer(self.rpc.clone().kill(v1::Empty {}).await)?;
        Ok(())
    }

    /// Stops the virtual processors.
    pub async fn pause(&self) -> Result<(), Error> {
        self.answer(self.rpc.clone().pause(v1::Empty {}).await)?;
        Ok(())
    }

    /// Lets the virtual processors run.
    pub async fn resume(&self) -> Result<(), Error> {
        self.answer(self.rpc.clone().resume(v1::Empty {}).await)?;
        Ok(())
    }

    /// Resets the machine as its reset button would.
    pub async fn reset(&self) -> Result<(), Error> {
        self.answer(self.rpc.clone().reset(v1::Empty {}).await)?;
        Ok(())
    }

    /// Has the guest restart in order; returns once that is under way.
    pub async fn soft_reboot(&self) -> Result<(), Error> {
        self.answer(self.rpc.clone().soft_reboot(v1::Empty {}).await)?;
        Ok(())
    }

    /// Has the guest's agent hold its file systems, for so many seconds at most; 0 is for ever.
    pub async fn freeze(&self, unfreeze_after_seconds: u64) -> Result<(), Error> {
        self.answer(self.rpc.clone().freeze(v1::FreezeRequest { unfreeze_after_seconds }).await)?;
        Ok(())
    }

    /// Releases held file systems.
    pub async fn unfreeze(&self) -> Result<(), Error> {
        self.answer(self.rpc.clone().unfreeze(v1::Empty {}).await)?;
        Ok(())
    }

    /// Asks the guest's agent what is wanted.
    pub async fn ask_guest(&self, wanted: v1::AskGuestRequest) -> Result<v1::GuestAnswer, Error> {
        Ok(self.answer(self.rpc.clone().ask_guest(wanted).await)?.into_inner())
    }

    /// Has the guest's agent set authorized keys and passwords; returns when all are set.
    pub async fn give_credentials(&self, credentials: v1::CredentialsRequest) -> Result<(), Error> {
        self.answer(self.rpc.clone().give_credentials(credentials).await)?;
        Ok(())
    }

    /// Asks the guest's agent whether it answers, or has it run a program.
    pub async fn probe_guest(&self, wanted: v1::ProbeGuestRequest) -> Result<v1::ProbeGuestAnswer, Error> {
        Ok(self.answer(self.rpc.clone().probe_guest(wanted).await)?.into_inner())
    }

    /// Connects or disconnects the cables of interfaces, named as in the record.
    pub async fn set_links(&self, links: Vec<v1::Link>) -> Result<(), Error> {
        self.answer(self.rpc.clone().set_links(v1::LinksRequest { links }).await)?;
        Ok(())
    }

    /// Takes a picture of the machine's screen, as PNG.
    pub async fn screenshot(&self) -> Result<Vec<u8>, Error> {
        let mut rpc = self.rpc.clone().max_decoding_message_size(LARGEST_PICTURE);
        Ok(self.answer(rpc.screenshot(v1::Empty {}).await)?.into_inner().png)
    }

    /// Returns what the launcher knows of its machine now.
    pub async fn state(&self) -> Result<v1::MachineState, Error> {
        Ok(self.answer(self.rpc.clone().state(v1::Empty {}).await)?.into_inner())
    }

    /// Follows the machine's state, the current one first. A reader that is slower than the machine gets the
    /// newest state, not every one between. The stream ends when the launcher goes away.
    pub async fn watch(&self) -> Result<ReceiverStream<v1::MachineState>, Error> {
        let mut states = self.answer(self.rpc.clone().watch(v1::Empty {}).await)?.into_inner();
        let (sender, receiver) = tokio::sync::mpsc::channel(8);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    message = states.message() => match message {
                        Ok(Some(state)) => {
                            if sender.send(state).await.is_err() {
                                return;
                            }
                        }
                        Ok(None) | Err(_) => return,
                    },
                    () = sender.closed() => return,
                }
            }
        });
        Ok(ReceiverStream::new(receiver))
    }

    /// Tells an earlier launcher, which does not know a command, from one that refuses it.
    fn answer<T>(
        &self,
        answer: Result<tonic::Response<T>, tonic::Status>,
    ) -> Result<tonic::Response<T>, Error> {
        answer.map_err(|status| match status.code() {
            tonic::Code::Unimplemented => Error::Unknown { release: self.hello.release.clone() },
            _ => status.into(),
        })
    }

    /// Sends a batch over the descriptor socket and returns its token.
    async fn hand_over(&self, descriptors: &Descriptors) -> Result<String, Error> {
        if descriptors.len() > PER_BATCH {
            return Err(Error::Descriptors(format!(
                "{} descriptors, at most {PER_BATCH} fit",
                descriptors.len()
            )));
        }
        let failed = |error: std::io::Error| Error::Descriptors(error.to_string());
        let path = SocketPath::existing(&self.root, &self.inside.join(DESCRIPTOR_SOCKET))
            .map_err(|error| failed(error.into()))?;
        let socket = Socket::connect(path.as_path()).map_err(failed)?;
        // A launcher that replaced the session's would keep what it was never told to start, and a tap is held by one only.
        if Peer::of(&socket).map_err(failed)?.pid != self.peer_pid {
            return Err(Error::Gone("another one has replaced it".to_owned()));
        }
        let messages = descriptors.chunks(PER_MESSAGE).count();
        for (place, chunk) in descriptors.chunks(PER_MESSAGE).enumerate() {
            let header = Header {
                secret: self.secret.to_vec(),
                names: chunk.iter().map(|(name, _)| name.clone()).collect(),
                more: place + 1 < messages,
            };
            let fds: Vec<_> = chunk.iter().map(|(_, fd)| fd.as_fd()).collect();
            socket.send(&header, &fds).await.map_err(failed)?;
        }
        match socket.receive::<Answer>().await.map_err(failed)? {
            Some((Answer::Token(token), _)) => Ok(token),
            Some((Answer::Refused(reason), _)) => Err(Error::Descriptors(reason)),
            None => Err(Error::Descriptors("the launcher closed the descriptor socket".to_owned())),
        }
    }
}
