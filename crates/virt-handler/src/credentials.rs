//! Credentials that go into running guests by their agents: what was given, and giving it. Judgement: [`plan::handler`].

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use api::kubevirt::v1::{AccessCredential, VirtualMachineInstance};
use jiff::Timestamp;
use kube_ext::{Api, ApiError, Client, Context, Key, Queue};
use model::credentials::{self, CredentialsError};
use parking_lot::Mutex;
use plan::handler::{Credentials, Given, Launcher, MachinePhase};
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
    set: Set,
}

/// What one user gets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    KeysOf(String),
    PasswordOf(String),
}

/// What stands in a guest.
type Set = BTreeMap<Item, Digest>;

/// How an attempt ended.
struct Outcome {
    set: Set,
    /// What could not be set, and why.
    problem: Option<String>,
}

/// One attempt; which one it is, its address tells.
type Attempt = ();

/// Stands for credentials, so that the secrets themselves are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digest(u64);

impl Digest {
    fn of(secret: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        secret.hash(&mut hasher);
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
        let stands_still =
            matches!(launcher, Launcher::Connected(machine) if machine.phase == MachinePhase::Paused);
        // A guest that was started anew may have lost what an agent before set; an attempt that was under way is void. One
        // that stands still answers nobody, and loses nothing.
        if giving.uid != uid || !(connected || stands_still) {
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

    fn begin(&self, key: &Key) -> Option<(Arc<Attempt>, Set)> {
        let mut all = self.0.lock();
        let giving = all.get_mut(key)?;
        let this = Arc::new(());
        giving.under_way = Some(this.clone());
        Some((this, giving.set.clone()))
    }

    /// Notes how an attempt ended, unless it is void.
    fn end(&self, key: &Key, this: &Arc<Attempt>, outcome: Outcome, now: Timestamp) {
        let mut all = self.0.lock();
        let Some(giving) = all.get_mut(key) else { return };
        if giving.under_way.take_if(|under_way| Arc::ptr_eq(under_way, this)).is_some() {
            giving.set = outcome.set;
            giving.last = Some(Given { at: now, problem: outcome.problem });
        }
    }

    /// Forgets an instance.
    pub(crate) fn forget(&self, key: &Key) {
        self.0.lock().remove(key);
    }
}

/// Has the agent set the credentials, but for what is `set`.
async fn attempt(client: &Client, key: &Key, launcher: &launcher_channel::Client, set: Set) -> Outcome {
    match read(client, key).await {
        Ok(wanted) => {
            let ask = |request| {
                let launcher = launcher.clone();
                async move { launcher.give_credentials(request).await }
            };
            give(wanted, set, ask).await
        }
        // Nothing was sent: what stands in the guest stands there still.
        Err(error) => Outcome { set, problem: Some(error.to_string()) },
    }
}

async fn read(client: &Client, key: &Key) -> Result<credentials::Credentials, Error> {
    let instance = Api::<VirtualMachineInstance>::new(client).get(key).await?;
    let mut secrets = BTreeMap::new();
    for name in credentials::secrets(&instance) {
        secrets.extend(gather::secret(client, key, &name).await?);
    }
    Ok(credentials::of(&instance, &secrets)?)
}

/// Asks for one thing of one user at a time: a user whom the guest does not know must not keep theirs from the others.
async fn give<F, R>(wanted: credentials::Credentials, mut set: Set, ask: F) -> Outcome
where
    F: Fn(CredentialsRequest) -> R,
    R: Future<Output = Result<(), launcher_channel::Error>>,
{
    let keys = wanted.keys.into_iter().map(|(user, keys)| {
        let (item, digest) = (Item::KeysOf(user.clone()), Digest::of(&keys));
        (item, digest, CredentialsRequest { keys: vec![UserKeys { user, keys }], ..Default::default() })
    });
    let passwords = wanted.passwords.into_iter().map(|(user, password)| {
        let (item, digest) = (Item::PasswordOf(user.clone()), Digest::of(&password));
        let passwords = vec![UserPassword { user, password }];
        (item, digest, CredentialsRequest { passwords, ..Default::default() })
    });
    let requests: Vec<_> = keys.chain(passwords).collect();
    set.retain(|item, _| requests.iter().any(|(wanted, ..)| wanted == item));
    let mut problems = Vec::new();
    for (item, digest, request) in requests {
        if set.get(&item) == Some(&digest) {
            continue;
        }
        match ask(request).await {
            Ok(()) => {
                set.insert(item, digest);
            }
            Err(error) => {
                set.remove(&item);
                let is_gone = matches!(error, launcher_channel::Error::Gone(_));
                problems.push(error.to_string());
                if is_gone {
                    break;
                }
            }
        }
    }
    Outcome { set, problem: told(&problems) }
}

/// Problems that are told in full; the others are counted.
const TOLD: usize = 5;

fn told(problems: &[String]) -> Option<String> {
    let shown = problems.get(..TOLD).unwrap_or(problems).join("; ");
    let more = match problems.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let advice = "the guest's own log says more, and the next attempt follows in 15 s";
    (!problems.is_empty()).then(|| format!("{shown}{more}; {advice}"))
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
        assert_eq!(set, Set::new());
        assert_eq!(look(true), standing(true, None));
        let anns = Set::from([(Item::KeysOf("ann".into()), Digest(7))]);
        let all_set = || Outcome { set: anns.clone(), problem: None };
        givings.end(&key, &first, all_set(), now);
        let well = Some(Given { at: now, problem: None });
        assert_eq!(look(true), standing(false, well.clone()));
        let (second, set) = givings.begin(&key).unwrap();
        assert_eq!(set, anns, "only changes are given");

        // Whoever stands still answers nobody, and forgets nothing.
        let paused = Machine { phase: MachinePhase::Paused, ..Machine::default() };
        let still = givings.observe(&key, "uid", &wanted(), &Launcher::Connected(paused));
        assert_eq!(still, standing(true, well));

        // The guest restarts while it is asked: what it answered before is void.
        assert_eq!(look(false), standing(false, None));
        givings.end(&key, &second, all_set(), now);
        assert_eq!(look(true), standing(false, None));
        assert_eq!(givings.begin(&key).unwrap().1, Set::new());
        assert_eq!(givings.observe(&key, "another", &wanted(), &launcher(true)), standing(false, None));
        assert_eq!(givings.observe(&key, "another", &[], &launcher(true)), Credentials::NotWanted);
        assert!(givings.begin(&key).is_none());
    }
    #[tokio::test]
    async fn one_users_refusal_keeps_nothing_from_the_others() {
        let wanted = |bobs: &str| {
            let mut wanted = credentials::Credentials::default();
            for user in ["al", "ann", "zed"] {
                wanted.keys.insert(user.into(), vec![format!("key of {user}")]);
            }
            wanted.passwords.insert("bob".into(), bobs.into());
            wanted
        };
        let asked = Mutex::new(Vec::new());
        let ask = |request: CredentialsRequest| {
            let keys = request.keys.iter().map(|keys| keys.user.clone());
            let users = keys.chain(request.passwords.iter().map(|password| password.user.clone()));
            let users: Vec<String> = users.collect();
            asked.lock().extend(users.clone());
            let known = users.iter().all(|user| user != "ann");
            let refused = || launcher_channel::Error::Refused("no such user ann".into());
            std::future::ready(if known { Ok(()) } else { Err(refused()) })
        };
        let first = give(wanted("old"), Set::new(), ask).await;
        assert_eq!(std::mem::take(&mut *asked.lock()), ["al", "ann", "zed", "bob"]);
        assert!(first.problem.is_some_and(|problem| problem.contains("no such user ann")));

        // What stands is not written anew over what users put there since.
        let second = give(wanted("old"), first.set, ask).await;
        assert_eq!(std::mem::take(&mut *asked.lock()), ["ann"]);
        let third = give(wanted("new"), second.set, ask).await;
        assert_eq!(std::mem::take(&mut *asked.lock()), ["ann", "bob"]);

        // Whoever is not wanted any more is forgotten, and gets theirs when they are again.
        let fourth = give(credentials::Credentials::default(), third.set, ask).await;
        assert_eq!((fourth.set, fourth.problem), (Set::new(), None));
    }

    #[tokio::test]
    async fn nobody_is_asked_twice_by_a_launcher_that_is_gone() {
        let mut wanted = credentials::Credentials::default();
        wanted.passwords.extend([("ann".into(), "a".into()), ("bob".into(), "b".into())]);
        let asked = Mutex::new(0);
        let ask = |_: CredentialsRequest| {
            *asked.lock() += 1;
            std::future::ready(Err(launcher_channel::Error::Gone("it has ended".into())))
        };
        let bobs = Set::from([(Item::PasswordOf("bob".into()), Digest(7))]);
        let outcome = give(wanted, bobs.clone(), ask).await;
        assert_eq!((*asked.lock(), outcome.set), (1, bobs));
    }

    #[test]
    fn what_people_are_told_is_bounded() {
        let problems: Vec<String> = (0..100).map(|number| format!("problem {number}")).collect();
        let told = told(&problems).unwrap();
        assert!(told.contains("problem 4; and 95 more; ") && !told.contains("problem 5"), "{told}");
    }
}
