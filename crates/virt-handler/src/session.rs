//! Sessions with launchers: one for each machine, followed in the background.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use kube_ext::{Key, Queue};
use launcher_channel::Client;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio_stream::StreamExt as _;
use wire::launcher::v1::MachineState;
use wire::launcher::v1::machine_state::Phase;

use crate::until::MachineEnd;

/// All sessions of this agent, by instance.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Session>>);

/// One session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pod: String,
    latest: Arc<Mutex<Latest>>,
    /// Seconds that the guest was last granted to shut down.
    granted: Arc<Mutex<Option<u64>>>,
    /// The end of the machine, which may have another launcher before.
    pub(crate) end: MachineEnd,
    /// Follows the machine; ended with the session.
    follower: AbortHandle,
}

#[derive(Debug)]
struct Latest {
    state: MachineState,
    live: bool,
}

impl Session {
    /// Returns the last known state, as long as it means something: while the launcher answers, and for ever when
    /// the machine has ended.
    pub(crate) fn state(&self) -> Option<MachineState> {
        let latest = self.latest.lock();
        (latest.live || has_ended(&latest.state)).then(|| latest.state.clone())
    }

    /// Presses the machine's power button, and has it killed after so many seconds.
    pub(crate) async fn shutdown(&self, grace_seconds: u64) -> Result<(), launcher_channel::Error> {
        self.client.shutdown(grace_seconds).await?;
        *self.granted.lock() = Some(grace_seconds);
        Ok(())
    }

    /// Returns the seconds that the guest was last granted to shut down, by this session.
    pub(crate) fn granted_seconds(&self) -> Option<u64> {
        *self.granted.lock()
    }

    fn is_of(&self, pod: &str) -> bool {
        self.pod == pod && self.state().is_some()
    }
}

/// Says whether there is a machine, or is about to be.
pub(crate) fn has_begun(state: &MachineState) -> bool {
    !matches!(state.phase(), Phase::Unspecified | Phase::Idle) && !has_ended(state)
}

/// Says whether the machine is over for good; a start that failed is tried again in the same Pod.
fn is_over(state: &MachineState) -> bool {
    matches!(state.phase(), Phase::ShutOff | Phase::Crashed)
}

fn has_ended(state: &MachineState) -> bool {
    matches!(state.phase(), Phase::ShutOff | Phase::Crashed | Phase::Failed)
}

impl Sessions {
    /// Returns the session with the launcher in `pod`, if it stands.
    pub(crate) fn find(&self, uid: &str, pod: &str) -> Option<Session> {
        self.0.lock().get(uid).filter(|session| session.is_of(pod)).cloned()
    }

    /// Opens a session; every later change of the machine asks `queue` for a look at `key`.
    pub(crate) async fn open(
        &self,
        uid: &str,
        pod: &str,
        directory: &Path,
        secret: &[u8],
        key: &Key,
        queue: &Queue,
    ) -> Result<Session, launcher_channel::Error> {
        let client = Client::connect(directory, secret).await?;
        let mut states = client.watch().await?;
        let state = client.state().await?;
        let before = self.0.lock().get(uid).map(|session| (session.pod == pod, session.end.clone()));
        let end = match before {
            Some((true, end)) => end,
            Some((false, end)) => {
                end.has_come();
                MachineEnd::default()
            }
            None => MachineEnd::default(),
        };
        if is_over(&state) {
            end.has_come();
        }
        let latest = Arc::new(Mutex::new(Latest { state, live: true }));
        let (shared, ended, key, queue) = (latest.clone(), end.clone(), key.clone(), queue.clone());
        let follower = tokio::spawn(async move {
            while let Some(state) = states.next().await {
                if is_over(&state) {
                    ended.has_come();
                }
                shared.lock().state = state;
                queue.add(key.clone());
            }
            shared.lock().live = false;
            queue.add(key);
        });
        let (granted, follower) = (Arc::default(), follower.abort_handle());
        let session = Session { client, pod: pod.to_owned(), latest, granted, end, follower };
        if let Some(old) = self.0.lock().insert(uid.to_owned(), session.clone()) {
            old.follower.abort();
        }
        Ok(session)
    }

    /// Ends a session, with the machine that it was about.
    pub(crate) fn close(&self, uid: &str) {
        if let Some(session) = self.0.lock().remove(uid) {
            session.end.has_come();
            session.follower.abort();
        }
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        for session in self.0.lock().values() {
            session.follower.abort();
        }
    }
}
