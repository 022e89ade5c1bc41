//! What keeps an instance from being as it should, and what people are told of it.

use jiff::Timestamp;
use kube_ext::ApiError;
use plan::handler::Trouble;

use crate::{keep, prepare};

/// Why a look at an instance did not lead to what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Launcher(#[from] launcher_channel::Error),
    #[error("what spec.domain.devices.interfaces[].state says cannot be done: {0}")]
    Links(launcher_channel::Error),
    #[error(transparent)]
    Keep(#[from] keep::Error),
    #[error(transparent)]
    Prepare(#[from] prepare::Error),
    #[error("the preparation of the machine was broken off")]
    BrokenOff,
    #[error("the machine's disks have no room: {0}")]
    NoRoom(plan::room::Room),
    #[error(
        "the API server takes back what this agent writes into the instance's status: it acts with somebody else's rights; \
         give it credentials of {}",
        api::names::account::HANDLER
    )]
    NotTaken,
    #[error("{message}")]
    NotStarted { reason: String, message: String },
    #[error(
        "the launcher in Pod {pod} does not answer: {why}; look at the Pod, and delete it if it does not recover"
    )]
    Silent { pod: String, why: String },
}

impl Error {
    /// What people are told, and when the next attempt is made.
    pub(crate) fn trouble(&self, retry_at: Timestamp) -> Trouble {
        let reason = match self {
            Self::Api(_) => "ApiUnavailable",
            Self::Launcher(_) | Self::Links(_) => "LauncherFailed",
            Self::Keep(_) => "StateDirectoryFailed",
            Self::Prepare(error) => error.reason(),
            Self::BrokenOff => "PreparationFailed",
            Self::NoRoom(_) => "NoSpace",
            Self::NotTaken => "StatusNotTaken",
            Self::NotStarted { reason, .. } => reason.as_str(),
            Self::Silent { .. } => "LauncherSilent",
        };
        Trouble { reason: reason.to_owned(), message: self.to_string(), retry_at }
    }
}
