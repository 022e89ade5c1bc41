//! What is asked of a running machine and its guest, and changes nothing in what is known of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hypervisor::{AgentError, GuestAgent, Machine};
use launcher_channel::Refusal;
use wire::launcher::v1::{
    AgentCommand, AskGuestRequest, CredentialsRequest, FileSystem, FileSystemDisk, GuestAnswer, GuestOs,
    GuestUser, UserKeys, UserPassword,
};

use super::supervisor::failed;
use crate::files;

/// Name of a picture while it is taken.
const PICTURE: &str = "screen.png";
/// The largest picture that is passed on, in bytes.
const LARGEST_PICTURE: u64 = 64 << 20;

pub(super) fn agent(machine: &dyn Machine) -> Result<Arc<dyn GuestAgent>, Refusal> {
    machine.agent().ok_or_else(|| Refusal::NotNow("the machine has no channel to a guest agent".to_owned()))
}

pub(super) fn refused(error: AgentError) -> Refusal {
    Refusal::Failed(error.to_string())
}

/// What an agent may leave unsaid.
fn if_told<T: Default>(what: &'static str, told: Result<T, AgentError>) -> Result<T, Refusal> {
    match told {
        Ok(told) => Ok(told),
        Err(error @ (AgentError::Silent | AgentError::Channel(_))) => Err(refused(error)),
        Err(error) => {
            tracing::debug!(%error, what, "the guest agent does not tell");
            Ok(T::default())
        }
    }
}

/// Asks the agent what is wanted.
pub(super) async fn ask(machine: &dyn Machine, wanted: AskGuestRequest) -> Result<GuestAnswer, Refusal> {
    let agent = agent(machine)?;
    let mut answer = GuestAnswer::default();
    if wanted.system {
        let facts = agent.facts().await.map_err(refused)?;
        answer.agent_version = facts.version;
        let command = |(name, enabled)| AgentCommand { name, enabled };
        answer.commands = facts.commands.into_iter().map(command).collect();
        answer.timezone = if_told("the time zone", agent.timezone().await)?;
        let frozen = if_told("whether file systems are held", agent.is_frozen().await.map(Some))?;
        answer.freeze_status = match frozen {
            Some(true) => "frozen".to_owned(),
            Some(false) => "thawed".to_owned(),
            None => String::new(),
        };
        let os = if_told("the operating system", agent.os().await)?;
        answer.os = Some(GuestOs {
            id: os.id,
            name: os.name,
            pretty_name: os.pretty_name,
            version: os.version,
            version_id: os.version_id,
            kernel_release: os.kernel_release,
            kernel_version: os.kernel_version,
            machine: os.machine,
            hostname: if_told("the host name", agent.hostname().await)?,
        });
    }
    if wanted.users {
        let users = agent.users().await.map_err(refused)?.into_iter();
        answer.users = users
            .map(|user| GuestUser { name: user.name, domain: user.domain, login_time: user.login_time })
            .collect();
    }
    if wanted.file_systems {
        let systems = agent.file_systems().await.map_err(refused)?.into_iter();
        let disk = |(serial, bus_type)| FileSystemDisk { serial, bus_type };
        answer.file_systems = systems
            .map(|system| FileSystem {
                device: system.device,
                mount_point: system.mount_point,
                r#type: system.kind,
                used_bytes: system.used_bytes,
                total_bytes: system.total_bytes,
                disks: system.disks.into_iter().map(disk).collect(),
            })
            .collect();
    }
    Ok(answer)
}

/// Has the guest hold its file systems; they are released again after `seconds`, unless that is 0.
pub(super) async fn freeze(machine: Arc<dyn Machine>, seconds: u64) -> Result<(), Refusal> {
    let agent = agent(&*machine)?;
    // Held already is as good as held now.
    if !if_told("whether file systems are held", agent.is_frozen().await)? {
        agent.freeze().await.map_err(refused)?;
    }
    if seconds > 0 {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            if let Ok(true) = agent.is_frozen().await
                && let Err(error) = agent.thaw().await
            {
                tracing::error!(%error, "release the guest's file systems");
            }
        });
    }
    Ok(())
}

/// Releases held file systems.
pub(super) async fn unfreeze(machine: &dyn Machine) -> Result<(), Refusal> {
    let agent = agent(machine)?;
    // Thawing may take a minute; that nobody is there to do it is known sooner.
    agent.ping().await.map_err(refused)?;
    agent.thaw().await.map_err(refused)
}

/// Has the agent set keys and passwords, one after the other.
pub(super) async fn give_credentials(
    machine: &dyn Machine,
    credentials: CredentialsRequest,
) -> Result<(), Refusal> {
    let agent = agent(machine)?;
    for UserKeys { user, keys } in credentials.keys {
        let failed = |error| Refusal::Failed(format!("set the authorized keys of {user}: {error}"));
        agent.authorize_keys(&user, &keys).await.map_err(failed)?;
    }
    for UserPassword { user, password } in credentials.passwords {
        let failed = |error| Refusal::Failed(format!("set the password of {user}: {error}"));
        agent.set_password(&user, &password).await.map_err(failed)?;
    }
    Ok(())
}

/// Takes a picture of the screen.
pub(super) async fn screenshot(machine: &dyn Machine, run_dir: &Path) -> Result<Vec<u8>, Refusal> {
    let path = run_dir.join(PICTURE);
    let unreadable = |error: std::io::Error| Refusal::Failed(format!("read the picture: {error}"));
    machine.screenshot(&path).await.map_err(failed)?;
    let size = std::fs::metadata(&path).map_err(unreadable)?.len();
    let picture = if size > LARGEST_PICTURE {
        Err(Refusal::Failed(format!("the picture has {size} bytes; at most {LARGEST_PICTURE} are passed on")))
    } else {
        std::fs::read(&path).map_err(unreadable)
    };
    files::remove(&path).map_err(unreadable)?;
    picture
}
