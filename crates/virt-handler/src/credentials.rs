//! Credentials that go into running guests by their agents: what was given, and giving it. Judgement: [`plan::handler`].

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use api::kubevirt::v1::{AccessCredential, VirtualMachineInstance};
use jiff::Timestamp;
use kube_ext::{Api, ApiError, Client, Context, Key, Queue};
use model::credentials::{self, CredentialsError};
use parking_lot::Mutex;
use plan::handler::{Credentials, Given, Launcher};
use wire::launcher::v1::{CredentialsRequest, UserKeys, UserPassword};

use crate::gather;

/// What was given, by instance. Lost with the process: the next one gives it once more, which changes nothing.
#[derive(Debug, Default)]
pub(crate) struct Givings(Mutex<BTreeMap<Key, Giving>>);

#[derive(Debug, Default)]
struct Giving {
    /// The instance that it is of.
    uid: String,
    /// The attempt that is being made.
    under_way: Option<Arc<Attempt>>,
    last: Option<Given>,
    /// What the agent has set.
    set: Option<Digest>,
}

/// One attempt; which one it is, its address tells.
type Attempt = ();

/// Stands for credentials, so that the secrets themselves are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digest(u64);

impl Digest {
    fn of(credentials: &credentials::Credentials) -> Self {
        let mut hasher = DefaultHasher::new();
        credentials.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Why a guest does not have its credentials.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the Secrets cannot be read: {0}")]
    Api(#[from] ApiError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("{0}; the guest's own log says more, and the next attempt follows in 15 s")]
    Launcher(#[from] launcher_channel::Error),
}

impl Givings {
    /// Returns how the credentials of an instance stand.
    pub(crate) fn observe(
        &self,
        key: &Key,
        uid: &str,
        wanted: &[AccessCredential],
        launcher: &Launcher,
    ) -> Credentials {
        let mut all = self.0.lock();
        if !credentials::wanted(wanted) {
            all.remove(key);
            return Credentials::NotWanted;
        }
        let giving = all.entry(key.clone()).or_default();
        let connected = matches!(launcher, Launcher::Connected(machine) if machine.agent_connected);
        // A guest that was started anew may have lost what an agent before set; an attempt that was under way is void.
        if giving.uid != uid || !connected {
            *giving = Giving { uid: uid.to_owned(), ..Giving::default() };
        }
        Credentials::Wanted { under_way: giving.under_way.is_some(), last: giving.last.clone() }
    }

    /// Has the agent set what changed, in the background: guests take their time. `queue` is asked for a look when it ended.
    pub(crate) fn give(
        self: &Arc<Self>,
        context: &Context,
        key: &Key,
        launcher: &launcher_channel::Client,
        queue: &Queue,
    ) {
        let Some((this, set)) = self.begin(key) else { return };
        let (givings, context, key) = (self.clone(), context.clone(), key.clone());
        let (launcher, queue) = (launcher.clone(), queue.clone());
        tokio::spawn(async move {
            let outcome = attempt(&context.client, &key, &launcher, set).await;
            givings.end(&key, &this, outcome, context.now());
            queue.add(key);
        });
    }

    fn begin(&self, key: &Key) -> Option<(Arc<Attempt>, Option<Digest>)> {
        let mut all = self.0.lock();
        let giving = all.get_mut(key)?;
        let this = Arc::new(());
        giving.under_way = Some(this.clone());
        Some((this, giving.set))
    }

    /// Notes how an attempt ended, unless it is void.
    fn end(&self, key: &Key, this: &Arc<Attempt>, outcome: Result<Digest, Error>, now: Timestamp) {
        let mut all = self.0.lock();
        let Some(giving) = all.get_mut(key) else { return };
        if giving.under_way.take_if(|under_way| Arc::ptr_eq(under_way, this)).is_some() {
            let problem = outcome.as_ref().err().map(ToString::to_string);
            giving.set = outcome.ok();
            giving.last = Some(Given { at: now, problem });
        }
    }

    /// Forgets an instance.
    pub(crate) fn forget(&self, key: &Key) {
        self.0.lock().remove(key);
    }
}

/// Has the agent set the credentials, unless they are what is set.
async fn attempt(
    client: &Client,
    key: &Key,
    launcher: &launcher_channel::Client,
    set: Option<Digest>,
) -> Result<Digest, Error> {
    let instance = Api::<VirtualMachineInstance>::new(client).get(key).await?;
    let mut secrets = BTreeMap::new();
    for name in credentials::secrets(&instance) {
        secrets.extend(gather::secret(client, key, &name).await?);
    }
    let credentials = credentials::of(&instance, &secrets)?;
    let digest = Digest::of(&credentials);
    if set != Some(digest) {
        let keys = credentials.keys.into_iter().map(|(user, keys)| UserKeys { user, keys });
        let passwords =
            credentials.passwords.into_iter().map(|(user, password)| UserPassword { user, password });
        let request = CredentialsRequest { keys: keys.collect(), passwords: passwords.collect() };
        launcher.give_credentials(request).await?;
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use plan::handler::Machine;
    use serde_json::json;

    use super::*;

    fn wanted() -> Vec<AccessCredential> {
        serde_json::from_value(json!([{"userPassword": {
            "source": {"secret": {"secretName": "s"}}, "propagationMethod": {"qemuGuestAgent": {}},
        }}]))
        .unwrap()
    }

    fn launcher(agent_connected: bool) -> Launcher {
        Launcher::Connected(Machine { agent_connected, ..Machine::default() })
    }

    #[test]
    fn a_guest_that_starts_anew_gets_everything_anew() {
        let (givings, key, now) = (Givings::default(), Key::new("ns", "vm"), Timestamp::UNIX_EPOCH);
        let look = |agent| givings.observe(&key, "uid", &wanted(), &launcher(agent));
        let standing = |under_way, last| Credentials::Wanted { under_way, last };
        assert_eq!(look(true), standing(false, None));

        let (first, set) = givings.begin(&key).unwrap();
        assert_eq!(set, None);
        assert_eq!(look(true), standing(true, None));
        givings.end(&key, &first, Ok(Digest(7)), now);
        let well = Some(Given { at: now, problem: None });
        assert_eq!(look(true), standing(false, well.clone()));
        let (second, set) = givings.begin(&key).unwrap();
        assert_eq!(set, Some(Digest(7)), "only changes are given");

        // The guest restarts while it is asked: what it answered before is void.
        assert_eq!(look(false), standing(false, None));
        givings.end(&key, &second, Ok(Digest(7)), now);
        assert_eq!(look(true), standing(false, None));
        assert_eq!(givings.begin(&key).unwrap().1, None);
        assert_eq!(givings.observe(&key, "another", &wanted(), &launcher(true)), standing(false, None));
        assert_eq!(givings.observe(&key, "another", &[], &launcher(true)), Credentials::NotWanted);
        assert!(givings.begin(&key).is_none());
    }
}
