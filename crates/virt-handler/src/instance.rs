//! One instance: observe it and its launcher, ask `plan::handler`, act.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::kubevirt::v1::VirtualMachineInstance;
use kube_ext::{
    Api, ApiError, Backoff, Cache, Context, Key, ObjectRef, Patch, Queue, Recorder, Severity, resources,
};
use network::binding::PendingRules;
use parking_lot::Mutex;
use plan::Notice;
use plan::handler::{self, Action, LONGEST_WAIT, Launcher, MachinePhase, Observed, Trouble};
use wire::launcher::v1::{Link, machine_state::Phase};
use wire::machine::Accelerator;

use crate::credentials::Givings;
use crate::identities::Identities;
use crate::installation::Installation;
use crate::keep::{Keep, Kept};
use crate::observe::machine;
use crate::prepare::{self, Prepared};
use crate::session::{Session, Sessions, has_begun};
use crate::stall::Stalls;
use crate::trouble::Error;
use crate::view::View;
use crate::{Config, farewell, gather, node, room, want};

/// A launcher that is on its way answers within milliseconds; one that is being replaced within seconds.
const SOON: Duration = Duration::from_millis(10);
/// How many quick looks there are before the patient ones.
const QUICK_LOOKS: u32 = 200;
/// Between two patient looks.
const LATER: Duration = Duration::from_millis(500);
/// After how many looks in vain people are told; about half a minute.
const TELL_AFTER: u32 = QUICK_LOOKS + 56;
/// Wait after the first failure of a start; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// All instances of this node.
pub(crate) struct Instances {
    config: Arc<Config>,
    context: Context,
    cache: Cache<View>,
    queue: Queue,
    keep: Keep,
    recorder: Recorder,
    sessions: Arc<Sessions>,
    /// Whose name is whose, to clean up when the object is gone.
    identities: Identities,
    /// Looks in vain since the launcher last answered.
    looks: Mutex<BTreeMap<Key, u32>>,
    /// What stopped the last attempt, and how many there were in a row.
    troubles: Mutex<BTreeMap<Key, (Trouble, u32)>>,
    /// Machines that stand still because a disk failed.
    stalls: Stalls,
    /// Credentials that were given to guests.
    givings: Arc<Givings>,
    installation: Installation,
}

impl Instances {
    pub(crate) fn new(
        config: Arc<Config>,
        context: Context,
        cache: Cache<View>,
        queue: Queue,
        keep: Keep,
        recorder: Recorder,
        installation: Installation,
    ) -> Self {
        Self {
            config,
            context,
            cache,
            queue,
            keep,
            recorder,
            sessions: Arc::default(),
            identities: Identities::default(),
            looks: Mutex::default(),
            troubles: Mutex::default(),
            stalls: Stalls::default(),
            givings: Arc::default(),
            installation,
        }
    }

    /// Returns the sessions with launchers.
    pub(crate) fn sessions(&self) -> Arc<Sessions> {
        self.sessions.clone()
    }

    /// Forgets instances that went while no agent ran, before the first look at the others.
    pub(crate) fn take_stock(&self) {
        let present = self.cache.all().into_iter().map(|(key, view)| (key, view.metadata.uid.clone()));
        for uid in self.identities.take_stock(self.keep.known(), present) {
            self.keep.forget(&uid);
        }
    }

    /// Brings one instance closer to what it should be.
    pub(crate) async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let Some(view) = self.cache.get(key) else {
            self.forget(key);
            return Ok(None);
        };
        let uid = view.metadata.uid.clone();
        if let Some(before) = self.identities.seen(key, &uid) {
            self.sessions.close(&before);
            self.keep.forget(&before);
        }
        let instance = view.observed();
        if instance.is_final() {
            self.sessions.close(&uid);
            return Ok(None);
        }
        if !instance.is_handed_over() {
            return Ok(None);
        }
        let session = self.session(key, &view).await;
        let kept = self.keep.machine(&uid);
        let pod = self.pod_directory(view.pod_on(&self.config.node_name).unwrap_or_default());
        // A launcher that is gone has left word of how its machine ended.
        let state = session.as_ref().map_or_else(|_| farewell::read(&pod), Session::state);
        let launcher = state.map_or(Launcher::Silent, |state| {
            let mut machine = machine(&state, kept.as_ref());
            if let Ok(session) = &session {
                want::explain(&mut machine, session.client.peer_pid());
                machine.granted_seconds = session.granted_seconds();
            }
            Launcher::Connected(machine)
        });
        let disks = kept.iter().flat_map(|kept| &kept.record.disks).map(|disk| disk.name.as_str());
        let stall = self.stalls.observe(key, &launcher, &pod, disks, self.context.now());
        let credentials = self.givings.observe(key, &uid, &view.spec.access_credentials, &launcher);
        let silent = launcher == Launcher::Silent;
        let trouble = self.troubles.lock().get(key).map(|(trouble, _)| trouble.clone());
        let observed = Observed {
            instance,
            launcher,
            trouble,
            stall,
            credentials,
            accelerated: self.config.hypervisor.accelerator == Accelerator::Kvm,
            boot_patience: self.config.boot_patience,
        };
        let plan = handler::step(&observed, self.context.now());
        for action in &plan.actions {
            tracing::debug!(instance = %key, %action, "acting");
            if let Err(error) = self.act(key, &view, session.as_ref().ok(), action).await {
                return self.report(key, &view, error);
            }
        }
        if silent {
            return self.look_again(key, &view, session.err());
        }
        let was_silent = self.looks.lock().remove(key).is_some_and(|looks| looks >= TELL_AFTER);
        // Nothing failed this time, and there is nothing left to start: what was wrong is over.
        let started = matches!(
            &observed.launcher,
            Launcher::Connected(machine)
                if !matches!(machine.phase, MachinePhase::Idle | MachinePhase::Starting | MachinePhase::Failed)
        );
        let done = started && !handler::links_differ(&observed);
        if (done || was_silent) && self.troubles.lock().remove(key).is_some() {
            return Ok(Some(Duration::ZERO));
        }
        Ok(plan.again.map(|again| again.after))
    }

    fn forget(&self, key: &Key) {
        self.looks.lock().remove(key);
        self.troubles.lock().remove(key);
        self.stalls.forget(key);
        self.givings.forget(key);
        if let Some(uid) = self.identities.gone(key) {
            self.sessions.close(&uid);
            self.keep.forget(&uid);
        }
    }

    /// Keeps a failure for the instance's condition, and has it tried again with growing waits.
    fn report(&self, key: &Key, view: &View, error: Error) -> Result<Option<Duration>, ApiError> {
        match error {
            Error::Api(error) => return Err(error),
            Error::NotTaken => {
                // It cannot be written down, so it is said where nobody can take it back.
                let message = error.to_string();
                tracing::error!(instance = %key, "{message}");
                self.tell(key, view, &Notice { reason: "StatusNotTaken", message, warning: true });
                return Ok(Some(LONGEST_WAIT));
            }
            _ => {}
        }
        let mut troubles = self.troubles.lock();
        let failures = troubles.get(key).map_or(0, |(_, failures)| *failures).saturating_add(1);
        let wait = Backoff { first: FIRST_WAIT, limit: LONGEST_WAIT }.after(failures);
        let now = self.context.now();
        let trouble = error.trouble(now.checked_add(wait).unwrap_or(now));
        tracing::warn!(instance = %key, reason = trouble.reason, ?wait, "{}", trouble.message);
        troubles.insert(key.clone(), (trouble, failures));
        // It is written down at once; the step after that waits.
        Ok(Some(Duration::ZERO))
    }

    /// Waits for a launcher that does not answer; one that takes long is told of, once.
    fn look_again(&self, key: &Key, view: &View, error: Option<Error>) -> Result<Option<Duration>, ApiError> {
        let looks = {
            let mut looks = self.looks.lock();
            let count = looks.entry(key.clone()).or_default();
            *count = count.saturating_add(1);
            *count
        };
        if looks == TELL_AFTER
            && let Some(error) = error
        {
            let pod = view.pod_on(&self.config.node_name).unwrap_or_default().to_owned();
            return self.report(key, view, Error::Silent { pod, why: error.to_string() });
        }
        Ok(Some(if looks < QUICK_LOOKS { SOON } else { LATER }))
    }

    async fn session(&self, key: &Key, view: &View) -> Result<Session, Error> {
        let uid = &view.metadata.uid;
        let pod = view.pod_on(&self.config.node_name).unwrap_or_default();
        if let Some(session) = self.sessions.find(uid, pod) {
            return Ok(session);
        }
        let secret = self.keep.secret(uid, &*self.context.entropy)?;
        let directory = self.pod_directory(pod).join("volumes/kubernetes.io~empty-dir/sockets");
        let session = self.sessions.open(uid, pod, &directory, &secret, key, &self.queue).await?;
        if let Some(kept) = self.keep.machine(uid).filter(|kept| !kept.wired)
            && session.state().is_some_and(|state| has_begun(&state))
        {
            // The agent before this one ended before it knew that the network's rules are in force.
            self.wire_again(&session, key, uid, kept).await?;
        }
        Ok(session)
    }

    /// Puts the rules of the network of a machine that runs into force once more. What the machine holds open is its
    /// own: the shim keeps it from launcher to launcher.
    async fn wire_again(&self, session: &Session, key: &Key, uid: &str, kept: Kept) -> Result<(), Error> {
        let instance = Api::<VirtualMachineInstance>::new(&self.context.client).get(key).await?;
        let (helper, pid) = (self.config.helper.clone(), session.client.peer_pid());
        let nics = tokio::task::spawn_blocking(move || prepare::nics(&instance, pid, &helper))
            .await
            .map_err(|_| Error::BrokenOff)??;
        self.wire(uid, kept, nics.rules).await
    }

    /// Waits until the rules of a machine's network are in force, and remembers that they are.
    async fn wire(&self, uid: &str, kept: Kept, rules: Option<PendingRules>) -> Result<(), Error> {
        if let Some(rules) = rules {
            let waited = tokio::task::spawn_blocking(move || rules.wait());
            waited.await.map_err(|_| Error::BrokenOff)?.map_err(prepare::Error::from)?;
        }
        self.keep.remember_wired(uid, kept)?;
        Ok(())
    }

    async fn act(
        &self,
        key: &Key,
        view: &View,
        session: Option<&Session>,
        action: &Action,
    ) -> Result<(), Error> {
        match action {
            Action::Start => {
                let Some(session) = session else { return Ok(()) };
                self.start(key, view, session).await?;
            }
            Action::Shutdown { grace_seconds } => {
                let Some(session) = session else { return Ok(()) };
                session.shutdown(*grace_seconds).await?;
            }
            Action::SuspectAccelerator { message } => {
                node::suspect_accelerator(&self.config, &self.context, &self.recorder, message).await?;
            }
            Action::Resume => {
                let Some(session) = session else { return Ok(()) };
                self.stalls.tried(key, self.context.now());
                session.client.resume().await?;
            }
            Action::SetLinks { links } => {
                let Some(session) = session else { return Ok(()) };
                let links = links.iter().map(|(name, up)| Link { name: name.clone(), up: *up }).collect();
                session.client.set_links(links).await.map_err(Error::Links)?;
            }
            Action::GiveCredentials => {
                let Some(session) = session else { return Ok(()) };
                self.givings.give(&self.context, key, &session.client, &self.queue);
            }
            Action::Write { patch } => {
                let mut patch = patch.clone();
                patch["metadata"]["resourceVersion"] = serde_json::json!(view.metadata.resource_version);
                let written = Api::<View>::new(&self.context.client).patch(key, &Patch::Merge(patch)).await?;
                let version = written.metadata.resource_version.clone();
                // Every patch of a plan changes something, and what changes has a new version.
                if version == view.metadata.resource_version {
                    return Err(Error::NotTaken);
                }
                self.cache.observe(key.clone(), &version, Some(written));
            }
            Action::Tell(notice) => self.tell(key, view, notice),
        }
        Ok(())
    }

    fn tell(&self, key: &Key, view: &View, notice: &Notice) {
        let uid = view.metadata.uid.clone();
        let object = ObjectRef::new(&resources::VIRTUAL_MACHINE_INSTANCE, key.clone(), uid);
        let severity = if notice.warning { Severity::Warning } else { Severity::Normal };
        self.recorder.record(&object, severity, notice.reason, &notice.message);
    }

    /// Prepares everything that the machine needs, remembers it, and has the launcher start it.
    async fn start(&self, key: &Key, view: &View, session: &Session) -> Result<(), Error> {
        let uid = &view.metadata.uid;
        let instance = Api::<VirtualMachineInstance>::new(&self.context.client).get(key).await?;
        let launcher = view.pod_on(&self.config.node_name).unwrap_or_default();
        let gathered = gather::gather(&self.context.client, key, &instance, launcher).await?;
        let pod = self.pod_directory(view.pod_on(&self.config.node_name).unwrap_or_default());
        let short = room::of_disks(&pod, std::iter::empty()).into_iter().find(plan::room::Room::is_short);
        if let Some(room) = short {
            return Err(Error::NoRoom(room));
        }
        let (config, pid) = (self.config.clone(), session.client.peer_pid());
        let previous = self.keep.machine(uid).map(|kept| kept.record);
        let defaults = self.installation.defaults();
        let volumes = instance.spec.volumes.clone();
        let prepared = tokio::task::spawn_blocking(move || {
            prepare::machine(&config, defaults, &instance, &gathered, &pod, pid, previous.as_ref())
        })
        .await
        .map_err(|_| Error::BrokenOff)?;
        let prepared = match prepared {
            Err(prepare::Error::Busy { volume, problem, .. }) => {
                let by = match volumes.iter().find(|one| one.name == volume) {
                    Some(volume) => gather::users_of(&self.context.client, key, volume).await?,
                    None => Vec::new(),
                };
                return Err(prepare::Error::Busy { volume, problem, by }.into());
            }
            other => other?,
        };
        let Prepared { record, descriptors, rules, pod_ips, volume_sizes, claims, moving, notices } =
            prepared;
        for notice in &notices {
            self.tell(key, view, notice);
        }
        let kept = Kept { record, pod_ips, volume_sizes, claims, moving, wired: false };
        self.keep.remember(uid, &kept)?;
        let state = session.client.start(&kept.record, descriptors).await?;
        if state.phase() == Phase::Failed {
            return Err(Error::NotStarted { reason: state.reason, message: state.message });
        }
        self.wire(uid, kept, rules).await
    }

    fn pod_directory(&self, pod: &str) -> PathBuf {
        self.config.kubelet_root.join("pods").join(pod)
    }
}
