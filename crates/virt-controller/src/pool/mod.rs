//! Pools: sees to it that there are as many machines as there should be, and that they are what the template says. Judgement:
//! [`plan::pool`].

mod disks;
mod leaving;
mod revisions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::kubevirt::v1::VirtualMachine;
use api::names::{event, label, reason};
use api::pool::v1beta1::VirtualMachinePool;
use kube_ext::{
    Api, ApiError, Context, Delete, Key, Kind, Patch, Problem, Propagation, Recorder, Tasks, resources,
};
use parking_lot::Mutex;
use plan::pool::{self, Action, Observed, Pool, Revisions, Trouble};
use plan::vm::RunStrategy;
use serde_json::{Value, json};

use self::revisions::Library;
use crate::caches::{Caches, InstanceView, MachineView, PoolView, Queues};
use crate::config::Config;
use crate::frame::{self, Deleted};

/// Until a pool is looked at again whose last refusal is over.
const SOON: Duration = Duration::from_secs(1);

struct Controller {
    context: Context,
    caches: Caches,
    recorder: Recorder,
    pools: Api<PoolView>,
    whole_pools: Api<VirtualMachinePool>,
    machines: Api<MachineView>,
    whole_machines: Api<VirtualMachine>,
    instances: Api<InstanceView>,
    library: Library,
    /// What was refused last, per pool. Lost with the process: the next attempt finds out again.
    troubles: Mutex<BTreeMap<Key, Trouble>>,
    /// Machines.
    deleted: Deleted,
    /// Instances.
    ended: Deleted,
}

/// Adds the controller to `tasks`.
pub(crate) fn start(
    context: &Context,
    config: &Config,
    caches: &Caches,
    queues: &Queues,
    recorder: &Recorder,
    tasks: &mut Tasks,
) {
    let controller = Controller {
        context: context.clone(),
        caches: caches.clone(),
        recorder: recorder.clone(),
        pools: Api::new(&context.client),
        whole_pools: Api::new(&context.client),
        machines: Api::new(&context.client),
        whole_machines: Api::new(&context.client),
        instances: Api::new(&context.client),
        library: Library::new(&context.client),
        troubles: Mutex::default(),
        deleted: Deleted::default(),
        ended: Deleted::default(),
    };
    frame::serve(controller, (queues.pools.clone(), config.parallel), ready(caches), tasks);
    leaving::start(context, config, caches, queues, tasks);
}

/// Waits until machines, instances and pools are known.
fn ready(caches: &Caches) -> impl Future<Output = ()> + Send + 'static {
    let caches = caches.clone();
    async move {
        caches.synced().await;
        caches.pools.synced().await;
    }
}

impl frame::Controller for Controller {
    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let Some((facts, revision)) = self.caches.pools.read(key) else {
            self.troubles.lock().remove(key);
            self.deleted.forget(key);
            self.ended.forget(key);
            self.library.forget(key);
            return Ok(None);
        };
        let pool = &facts.pool;
        let revisions = self.library.read(key, pool, &self.whole_pools).await?;
        let plan = pool::step(&self.observe(key, pool, &revisions), self.context.now());
        tracing::debug!(pool = %key, %plan, "planned");
        let mut act = Act { controller: self, key, pool, revision, revisions, whole: None };
        for action in &plan.actions {
            if let Err(error) = act.perform(action).await {
                self.note(key, action, &error);
                return Err(error);
            }
        }
        // What was refused may stand in the status, and nothing else calls for another look.
        let mended = self.troubles.lock().remove(key).map(|_| SOON);
        Ok(plan.again.map(|again| again.after).into_iter().chain(mended).min())
    }
}

impl Controller {
    fn observe(&self, key: &Key, pool: &Pool, revisions: &Arc<Revisions>) -> Observed {
        let machines = self.caches.machines.in_namespace(&key.namespace);
        let wanted = format!("{}-", pool.name);
        let (mut members, mut taken) = (Vec::new(), BTreeSet::new());
        for (machine, facts) in machines {
            if facts.pool().is_some_and(|(_, uid)| *uid == pool.uid) {
                let instance = self.caches.instances.get(&machine);
                members.extend(facts.for_pool(pool, instance.as_deref()));
            } else if machine.name.starts_with(&wanted) {
                taken.insert(machine.name);
            }
        }
        self.deleted.mark(key, &mut members, |member| (&member.uid, &mut member.deleting));
        let mut instances: Vec<_> =
            members.iter_mut().filter_map(|member| member.instance.as_mut()).collect();
        self.ended.mark(key, &mut instances, |instance| (&instance.uid, &mut instance.deleting));
        let trouble = self.troubles.lock().get(key).cloned();
        Observed { pool: pool.clone(), members, taken, revisions: Arc::clone(revisions), trouble }
    }

    /// Remembers a refusal, so that the next look puts it into the status.
    fn note(&self, key: &Key, action: &Action, error: &ApiError) {
        let (reason, event) = match action {
            Action::KeepRevision { .. } | Action::Create { .. } => {
                (reason::FAILED_SCALE_OUT, event::FAILED_CREATE)
            }
            Action::KeepDisks { .. } | Action::Delete { .. } => {
                (reason::FAILED_SCALE_IN, event::FAILED_DELETE)
            }
            Action::Update { .. } | Action::Restart { .. } | Action::Relabel { .. } => {
                (reason::FAILED_UPDATE, event::FAILED_UPDATE)
            }
            Action::ForgetRevision { .. } => {
                (reason::FAILED_REVISION_PRUNING, reason::FAILED_REVISION_PRUNING)
            }
            _ => return,
        };
        if error.is_refused() {
            let trouble = Trouble { reason, event, message: error.to_string() };
            self.troubles.lock().insert(key.clone(), trouble);
        }
    }
}

/// One plan being carried out.
struct Act<'a> {
    controller: &'a Controller,
    key: &'a Key,
    pool: &'a Pool,
    /// Revision that the plan is true for; moves with our own writes.
    revision: String,
    /// Revisions of the template.
    revisions: Arc<Revisions>,
    whole: Option<VirtualMachinePool>,
}

impl Act<'_> {
    async fn perform(&mut self, action: &Action) -> Result<(), ApiError> {
        let controller = self.controller;
        match action {
            Action::WriteStatus { patch } => {
                let patch = json!({"metadata": {"resourceVersion": self.revision}, "status": patch});
                let written = controller.pools.patch_status(self.key, &Patch::Merge(patch)).await;
                frame::written(&controller.caches.pools, &mut self.revision, written)
            }
            // Whole pools and machines are large, and most looks need none.
            Action::KeepRevision { name } => {
                let key = self.key;
                Box::pin(async { controller.library.keep(key, name, self.whole().await?).await }).await
            }
            Action::Create { name, index, revision } => Box::pin(self.create(name, *index, revision)).await,
            Action::Update { name, uid, index, revision } => {
                Box::pin(self.update(name, uid, *index, revision)).await
            }
            Action::ForgetRevision { name } => controller.library.remove(self.key, name).await,
            Action::Release { name, uid } => self.release(name, uid).await,
            Action::KeepDisks { uid, .. } => {
                disks::keep(&controller.context.client, &self.key.namespace, uid).await
            }
            Action::Delete { name, uid, clean } => {
                let propagation = clean.then_some(Propagation::Foreground);
                let how = Delete { propagation, ..Delete::only(uid) };
                match controller.machines.delete(&self.machine(name), &how).await {
                    Err(error) if !error.is_not_found() => Err(error),
                    _ => {
                        controller.deleted.add(self.key, uid);
                        Ok(())
                    }
                }
            }
            Action::Restart { name, uid, instance } => self.restart(name, uid, instance).await,
            Action::Relabel { name, instance, revision } => {
                let labels = json!({label::POOL_REVISION: revision});
                let patch = json!({"metadata": {"uid": instance, "labels": labels}});
                let written = controller.instances.patch(&self.machine(name), &Patch::Merge(patch)).await;
                frame::written(&controller.caches.instances, &mut String::new(), written)
            }
            Action::Tell(notice) => {
                let resource = &resources::VIRTUAL_MACHINE_POOL;
                frame::tell(&controller.recorder, resource, self.key, &self.pool.uid, notice);
                Ok(())
            }
        }
    }

    async fn create(&mut self, name: &str, index: usize, revision: &str) -> Result<(), ApiError> {
        let (controller, key) = (self.controller, self.machine(name));
        let machine = pool::machine(self.whole().await?, name, index, revision);
        let found = match controller.machines.create(&key.namespace, &machine).await {
            Ok(created) => created,
            // Ours, from an attempt whose answer got lost, or somebody else's: the next look knows.
            Err(error) if error.is_already_exists() => controller.machines.get(&key).await?,
            Err(error) => return Err(error),
        };
        let ours = found.metadata.controller().is_some_and(|owner| owner.uid == self.pool.uid);
        frame::observe(&controller.caches.machines, found);
        if ours { Ok(()) } else { Err(self.conflict("create", name, "somebody else's machine has the name")) }
    }

    async fn update(&mut self, name: &str, uid: &str, index: usize, revision: &str) -> Result<(), ApiError> {
        let (controller, key) = (self.controller, self.machine(name));
        let Some(machine) = controller.whole_machines.find(&key).await? else { return Ok(()) };
        if machine.uid() != uid {
            return Err(self.conflict("update", name, "another machine has the name now"));
        }
        let labels = machine.metadata.labels.as_ref();
        let before = labels.and_then(|labels| labels.get(label::POOL_REVISION));
        let revisions = Arc::clone(&self.revisions);
        let before = before.and_then(|name| revisions.kept.get(name));
        let updated = pool::updated(self.whole().await?, &machine, before, index, revision);
        let Some(mut patch) = plan::patch::between(&machine, &updated) else { return Ok(()) };
        patch["metadata"]["resourceVersion"] = json!(machine.resource_version());
        let written = controller.machines.patch(&key, &Patch::Merge(patch)).await;
        frame::written(&controller.caches.machines, &mut String::new(), written)
    }

    /// Has a machine's instance replaced. Where the end of one does not bring another, the machine is asked for a restart, as a
    /// user asks.
    async fn restart(&self, name: &str, uid: &str, instance: &str) -> Result<(), ApiError> {
        let (controller, key) = (self.controller, self.machine(name));
        let Some((facts, revision)) = controller.caches.machines.read(&key) else { return Ok(()) };
        if facts.vm.uid != uid || !facts.vm.status.state_change_requests.is_empty() {
            return Err(self.conflict("restart", name, "it changed meanwhile"));
        }
        if matches!(facts.vm.strategy, RunStrategy::Always | RunStrategy::Once) {
            return match controller.instances.delete(&key, &Delete::only(instance)).await {
                Err(error) if !error.is_not_found() => Err(error),
                _ => {
                    controller.ended.add(self.key, instance);
                    Ok(())
                }
            };
        }
        let requests = json!([{"action": "Stop", "uid": instance}, {"action": "Start"}]);
        let patch = json!({
            "metadata": {"resourceVersion": revision},
            "status": {"stateChangeRequests": requests},
        });
        let written = controller.machines.patch_status(&key, &Patch::Merge(patch)).await;
        frame::written(&controller.caches.machines, &mut String::new(), written)
    }

    /// Takes the pool off the owners of a machine. What holds the machine for the pool goes after that.
    async fn release(&self, name: &str, uid: &str) -> Result<(), ApiError> {
        let (controller, key) = (self.controller, self.machine(name));
        let Some(found) = controller.machines.find(&key).await? else { return Ok(()) };
        if found.uid() != uid {
            return Err(self.conflict("release", name, "another machine has the name now"));
        }
        let revision = found.metadata.resource_version;
        let owners = without(found.metadata.owner_references, &self.pool.uid);
        let patch = json!({"metadata": {"resourceVersion": revision, "ownerReferences": owners}});
        let written = controller.machines.patch(&key, &Patch::Merge(patch)).await;
        frame::written(&controller.caches.machines, &mut String::new(), written)
    }

    fn machine(&self, name: &str) -> Key {
        Key::new(self.key.namespace.clone(), name)
    }

    /// Reads the whole pool, once per plan, and makes sure that it is still the one that was planned for.
    async fn whole(&mut self) -> Result<&VirtualMachinePool, ApiError> {
        if self.whole.is_none() {
            let whole = self.controller.whole_pools.get(self.key).await?;
            if whole.metadata.deletion_timestamp.is_some() || !revisions::is_same(&whole, self.pool) {
                return Err(revisions::changed(self.key));
            }
            self.whole = Some(whole);
        }
        Ok(self.whole.as_ref().expect("filled above"))
    }

    fn conflict(&self, verb: &str, name: &str, why: &str) -> ApiError {
        let operation = format!("{verb} virtualmachines {}", self.machine(name));
        ApiError { operation, problem: Problem::Conflict(why.to_owned()) }
    }
}

/// Returns owners without `uid`, as a merge patch writes them: it takes a list away by null alone.
fn without(mut owners: Vec<kube_ext::Owner>, uid: &str) -> Value {
    owners.retain(|owner| owner.uid != uid);
    if owners.is_empty() { Value::Null } else { json!(owners) }
}
