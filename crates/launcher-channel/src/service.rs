//! What a launcher serves: the commands, apart from how they arrive.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};
use wire::launcher::{VERSIONS, v1};
use wire::machine::{MachineRecord, RECORD_VERSION};

use crate::batch::Batches;
use crate::rpc::launcher_server::Launcher;
use crate::server::Identity;
use crate::{Descriptors, Secret};

/// Why a supervisor does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The command can never work as it was given.
    #[error("{0}")]
    Invalid(String),
    /// The command does not fit the machine's present state.
    #[error("{0}")]
    NotNow(String),
    /// The command was right and failed.
    #[error("{0}")]
    Failed(String),
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(message) => Self::invalid_argument(message),
            Refusal::NotNow(message) => Self::failed_precondition(message),
            Refusal::Failed(message) => Self::internal(message),
        }
    }
}

/// An order to start a machine.
#[derive(Debug)]
pub struct StartOrder {
    /// The machine.
    pub record: MachineRecord,
    /// The record's bytes as they arrived.
    pub bytes: Vec<u8>,
    /// The open descriptors that the record names.
    pub descriptors: Descriptors,
}

/// One machine's supervisor, as its commands see it.
#[tonic::async_trait]
pub trait Supervisor: Send + Sync + 'static {
    /// Starts the machine and returns when its hypervisor runs or could not be started (the state says which).
    /// The record that runs already changes nothing; another one is refused.
    async fn start(&self, order: StartOrder) -> Result<v1::MachineState, Refusal>;
    /// Presses the power button and returns; kills after the grace period.
    async fn shutdown(&self, grace_period_seconds: u64) -> Result<(), Refusal>;
    /// Ends the hypervisor and returns when it has ended.
    async fn kill(&self) -> Result<(), Refusal>;
    /// Stops the virtual processors.
    async fn pause(&self) -> Result<(), Refusal>;
    /// Lets the virtual processors run.
    async fn resume(&self) -> Result<(), Refusal>;
    /// Resets the machine.
    async fn reset(&self) -> Result<(), Refusal>;
    /// Has the guest restart in order; returns once that is under way.
    async fn soft_reboot(&self) -> Result<(), Refusal>;
    /// Has the guest's agent hold its file systems, for so many seconds at most; 0 is for ever.
    async fn freeze(&self, unfreeze_after_seconds: u64) -> Result<(), Refusal>;
    /// Releases held file systems.
    async fn unfreeze(&self) -> Result<(), Refusal>;
    /// Asks the guest's agent what is wanted.
    async fn ask_guest(&self, wanted: v1::AskGuestRequest) -> Result<v1::GuestAnswer, Refusal>;
    /// Has the guest's agent set authorized keys and passwords.
    async fn give_credentials(&self, credentials: v1::CredentialsRequest) -> Result<(), Refusal>;
    /// Asks the guest's agent whether it answers, or has it run a program.
    async fn probe_guest(&self, wanted: v1::ProbeGuestRequest) -> Result<v1::ProbeGuestAnswer, Refusal>;
    /// Connects or disconnects the cables of interfaces.
    async fn set_links(&self, links: Vec<v1::Link>) -> Result<(), Refusal>;
    /// Takes a picture of the screen, as PNG.
    async fn screenshot(&self) -> Result<Vec<u8>, Refusal>;
    /// The machine's state, now and from now on.
    fn states(&self) -> tokio::sync::watch::Receiver<v1::MachineState>;
}

/// What all sessions of a launcher share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) secret: Mutex<Secret>,
    pub(crate) batches: Mutex<Batches>,
    pub(crate) identity: Identity,
}

impl Shared {
    pub(crate) fn secret(&self) -> std::sync::MutexGuard<'_, Secret> {
        self.secret.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn batches(&self) -> std::sync::MutexGuard<'_, Batches> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The service of one connection: it answers nothing but `Hello` until that succeeds.
#[derive(Debug)]
pub(crate) struct Session<S> {
    pub(crate) supervisor: Arc<S>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) open: AtomicBool,
}

impl<S: Supervisor> Session<S> {
    fn supervisor(&self) -> Result<&S, Status> {
        if self.open.load(Ordering::Acquire) {
            Ok(&self.supervisor)
        } else {
            Err(Status::unauthenticated("say hello with the session's secret first"))
        }
    }
}

#[tonic::async_trait]
impl<S: Supervisor> Launcher for Session<S> {
    async fn hello(&self, request: Request<v1::HelloRequest>) -> Result<Response<v1::HelloResponse>, Status> {
        let request = request.into_inner();
        let version =
            VERSIONS.iter().copied().find(|version| request.versions.contains(version)).ok_or_else(|| {
                Status::failed_precondition(format!(
                    "the agent speaks protocol versions {:?}, this launcher {VERSIONS:?}",
                    request.versions
                ))
            })?;
        let admitted = self.shared.secret().admit(&request.secret);
        match admitted {
            Ok(true) => {}
            Ok(false) => return Err(Status::unauthenticated("the secret is not this session's")),
            Err(error) => return Err(Status::internal(format!("keep the session's secret: {error}"))),
        }
        self.open.store(true, Ordering::Release);
        let identity = &self.shared.identity;
        Ok(Response::new(v1::HelloResponse {
            version,
            release: identity.release.clone(),
            pid: std::process::id().cast_signed(),
            incarnation: identity.incarnation,
        }))
    }

    async fn start(&self, request: Request<v1::StartRequest>) -> Result<Response<v1::StartResponse>, Status> {
        let supervisor = self.supervisor()?;
        let v1::StartRequest { record: bytes, descriptors: token } = request.into_inner();
        let descriptors = if token.is_empty() {
            Vec::new()
        } else {
            let claimed = self.shared.batches().claim(&token);
            claimed.ok_or_else(|| {
                Status::failed_precondition(format!("no descriptor batch waits under {token:?}"))
            })?
        };
        let record: MachineRecord = serde_json::from_slice(&bytes).map_err(|error| {
            Status::invalid_argument(format!("the machine record does not parse: {error}"))
        })?;
        if record.version == 0 || record.version > RECORD_VERSION {
            return Err(Status::invalid_argument(format!(
                "the machine record has version {}; this launcher reads versions up to {RECORD_VERSION}",
                record.version
            )));
        }
        let state = supervisor.start(StartOrder { record, bytes, descriptors }).await?;
        Ok(Response::new(v1::StartResponse { state: Some(state) }))
    }

    async fn shutdown(&self, request: Request<v1::ShutdownRequest>) -> Result<Response<v1::Empty>, Status> {
        self.supervisor()?.shutdown(request.into_inner().grace_period_seconds).await?;
        Ok(Response::new(v1::Empty {}))
    }

    async fn kill(&self, _: Request<v1::Empty>) -> Result<Response<v1::Empty>, Status> {
        self.supervisor()?.kill().await?;
        Ok(Response::new(v1::Empty {}))
    }

    async fn pause(&self, _: Request<v1::Empty>) -> Result<Response<v1::Empty>, Status> {
        self.supervisor()?.pause().await?;
        Ok(Response::new(v1::Empty {}))
    }

    async fn resume(&self, _: Request<v1::Empty>) -> Result<Response<v1::Empty>, Status> {
        self.supervisor()?.resume().await?;
        Ok(Response::new(v1::Empty {}))
    }

    async fn reset(&self, _: Request<v1::Empty>) -> Result<Response<v1::Empty>, Status> {
        self.supervisor()?.reset().await?;
        Ok(Response::new(v1::Empty {}))
    }

    async fn soft_reboot(&self, _: Request<v1::Empty>) -> Result<Response<v1::Empty>, Status> {
        self.supervisor()?.soft_reboot().await?;
        Ok(Response::new(v1::Empty {}))
    }

    async fn freeze(&self, request: Request<v1::FreezeRequest>) -> Result<Response<v1::Empty>, Status> {
        self.supervisor()?.freeze(request.into_inner().unfreeze_after_seconds).await?;
        Ok(Response::new(v1::Empty {}))
    }

    async fn unfreeze(&self, _: Request<v1::Empty>) -> Result<Response<v1::Empty>, Status> {
        self.supervisor()?.unfreeze().await?;
        Ok(Response::new(v1::Empty {}))
    }

    async fn ask_guest(
        &self,
        request: Request<v1::AskGuestRequest>,
    ) -> Result<Response<v1::GuestAnswer>, Status> {
        Ok(Response::new(self.supervisor()?.ask_guest(request.into_inner()).await?))
    }

    async fn give_credentials(
        &self,
        request: Request<v1::CredentialsRequest>,
    ) -> Result<Response<v1::Empty>, Status> {
        self.supervisor()?.give_credentials(request.into_inner()).await?;
        Ok(Response::new(v1::Empty {}))
    }

    async fn probe_guest(
        &self,
        request: Request<v1::ProbeGuestRequest>,
    ) -> Result<Response<v1::ProbeGuestAnswer>, Status> {
        Ok(Response::new(self.supervisor()?.probe_guest(request.into_inner()).await?))
    }

    async fn set_links(&self, request: Request<v1::LinksRequest>) -> Result<Response<v1::Empty>, Status> {
        self.supervisor()?.set_links(request.into_inner().links).await?;
        Ok(Response::new(v1::Empty {}))
    }

    async fn screenshot(&self, _: Request<v1::Empty>) -> Result<Response<v1::Picture>, Status> {
        Ok(Response::new(v1::Picture { png: self.supervisor()?.screenshot().await? }))
    }

    async fn state(&self, _: Request<v1::Empty>) -> Result<Response<v1::MachineState>, Status> {
        let state = self.supervisor()?.states().borrow().clone();
        Ok(Response::new(state))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::MachineState, Status>> + Send>>;

    async fn watch(&self, _: Request<v1::Empty>) -> Result<Response<Self::WatchStream>, Status> {
        let states = WatchStream::new(self.supervisor()?.states()).map(Ok);
        Ok(Response::new(Box::pin(states)))
    }
}

/// Pairs the names of a batch with its descriptors.
pub(crate) fn pair(names: Vec<String>, fds: Vec<std::os::fd::OwnedFd>) -> Result<Descriptors, String> {
    if names.len() == fds.len() {
        Ok(names.into_iter().zip(fds).collect())
    } else {
        Err(format!("{} names came with {} descriptors", names.len(), fds.len()))
    }
}
