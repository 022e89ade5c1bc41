//! Replica sets: sees to it that there are as many instances as there should be. Judgement: [`plan::replica_set`].

use std::collections::BTreeMap;
use std::time::Duration;

use api::kubevirt::v1::VirtualMachineInstanceReplicaSet;
use api::names::reason;
use kube_ext::{
    Api, ApiError, Context, Delete, Key, Kind, Owner, Patch, Problem, Recorder, Tasks, resources,
};
use parking_lot::Mutex;
use plan::replica_set::{self, Action, Observed, Set, Trouble};
use serde_json::{Value, json};

use crate::caches::{Caches, InstanceView, Queues, SetView};
use crate::config::Config;
use crate::frame::{self, Deleted};

struct Controller {
    context: Context,
    caches: Caches,
    recorder: Recorder,
    sets: Api<SetView>,
    whole_sets: Api<VirtualMachineInstanceReplicaSet>,
    instances: Api<InstanceView>,
    /// What was refused last, per set. Lost with the process: the next attempt finds out again.
    troubles: Mutex<BTreeMap<Key, Trouble>>,
    deleted: Deleted,
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
        sets: Api::new(&context.client),
        whole_sets: Api::new(&context.client),
        instances: Api::new(&context.client),
        troubles: Mutex::default(),
        deleted: Deleted::default(),
    };
    let caches = caches.clone();
    let ready = async move {
        caches.synced().await;
        caches.sets.synced().await;
    };
    frame::serve(controller, (queues.sets.clone(), config.parallel), ready, tasks);
}

impl frame::Controller for Controller {
    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let Some((facts, revision)) = self.caches.sets.read(key) else {
            self.troubles.lock().remove(key);
            self.deleted.forget(key);
            return Ok(None);
        };
        let set = &facts.set;
        let plan = replica_set::step(&self.observe(key, set), self.context.now());
        tracing::debug!(set = %key, %plan, "planned");
        let mut act = Act { controller: self, key, set, revision, whole: None };
        for action in &plan.actions {
            if let Err(error) = act.perform(action).await {
                self.note(key, action, &error);
                return Err(error);
            }
        }
        self.troubles.lock().remove(key);
        Ok(plan.again.map(|again| again.after))
    }
}

impl Controller {
    fn observe(&self, key: &Key, set: &Set) -> Observed {
        let instances = self.caches.instances.in_namespace(&key.namespace);
        let mut members: Vec<_> = instances.iter().filter_map(|(_, facts)| facts.for_set(set)).collect();
        members.retain(|member| member.ours || member.selected);
        self.deleted.mark(key, &mut members, |member| (&member.uid, &mut member.deleting));
        Observed {
            set: set.clone(),
            members,
            taken: instances.into_iter().map(|(key, _)| key.name).collect(),
            trouble: self.troubles.lock().get(key).cloned(),
        }
    }

    /// Remembers a refusal, so that the next look puts it into the status.
    fn note(&self, key: &Key, action: &Action, error: &ApiError) {
        let reason = match action {
            Action::Create { .. } => reason::FAILED_CREATE,
            Action::Delete { .. } => reason::FAILED_DELETE,
            _ => return,
        };
        if error.is_refused() {
            self.troubles.lock().insert(key.clone(), Trouble::new(reason, error.to_string()));
        }
    }
}

/// One plan being carried out.
struct Act<'a> {
    controller: &'a Controller,
    key: &'a Key,
    set: &'a Set,
    /// Revision that the plan is true for; moves with our own writes.
    revision: String,
    whole: Option<VirtualMachineInstanceReplicaSet>,
}

impl Act<'_> {
    async fn perform(&mut self, action: &Action) -> Result<(), ApiError> {
        let controller = self.controller;
        match action {
            Action::Mark => {
                let annotations = plan::version::annotations();
                let patch = json!({
                    "metadata": {"resourceVersion": self.revision, "annotations": annotations},
                });
                let written = controller.sets.patch(self.key, &Patch::Merge(patch)).await;
                frame::written(&controller.caches.sets, &mut self.revision, written)
            }
            Action::WriteStatus { patch } => {
                let patch = json!({"metadata": {"resourceVersion": self.revision}, "status": patch});
                let written = controller.sets.patch_status(self.key, &Patch::Merge(patch)).await;
                frame::written(&controller.caches.sets, &mut self.revision, written)
            }
            Action::Claim { name, uid } => {
                // What the cache shows may be old: a set that goes takes nothing along.
                self.whole().await?;
                self.own(name, uid, true).await
            }
            Action::Release { name, uid } => self.own(name, uid, false).await,
            // Whole sets are large, and most looks need none.
            Action::Create { name } => Box::pin(self.create(name)).await,
            Action::Delete { name, uid } => {
                let instance = self.instance(name);
                match controller.instances.delete(&instance, &Delete::only(uid)).await {
                    Err(error) if !error.is_not_found() => Err(error),
                    _ => {
                        controller.deleted.add(self.key, uid);
                        Ok(())
                    }
                }
            }
            Action::Tell(notice) => {
                let resource = &resources::VIRTUAL_MACHINE_INSTANCE_REPLICA_SET;
                frame::tell(&controller.recorder, resource, self.key, &self.set.uid, notice);
                Ok(())
            }
        }
    }

    async fn create(&mut self, name: &str) -> Result<(), ApiError> {
        let (controller, key) = (self.controller, self.instance(name));
        let instance = replica_set::instance(self.whole().await?, name);
        let found = match controller.instances.create(&key.namespace, &instance).await {
            Ok(created) => created,
            // Ours, from an attempt whose answer got lost, or somebody else's: the next look knows.
            Err(error) if error.is_already_exists() => controller.instances.get(&key).await?,
            Err(error) => return Err(error),
        };
        let ours = found.metadata.controller().is_some_and(|owner| owner.uid == self.set.uid);
        frame::observe(&controller.caches.instances, found);
        if ours {
            Ok(())
        } else {
            Err(self.conflict("create", name, "somebody else's instance has the name"))
        }
    }

    /// Makes the set the controller of an instance that has none, or takes it away from the one that it controls.
    async fn own(&self, name: &str, uid: &str, claim: bool) -> Result<(), ApiError> {
        let (controller, key) = (self.controller, self.instance(name));
        let Some(found) = controller.instances.find(&key).await? else { return Ok(()) };
        let owner = found.metadata.controller().map(|owner| owner.uid.clone());
        let expected = if claim { None } else { Some(self.set.uid.clone()) };
        if found.uid() != uid || owner != expected {
            frame::observe(&controller.caches.instances, found);
            return Err(self.conflict("claim or release", name, "it changed meanwhile"));
        }
        let mut owners = found.metadata.owner_references;
        if claim {
            let resource = resources::VIRTUAL_MACHINE_INSTANCE_REPLICA_SET;
            owners.push(Owner {
                api_version: resource.api_version(),
                kind: resource.kind.into_owned(),
                name: self.set.name.clone(),
                uid: self.set.uid.clone(),
                controller: true,
                block_owner_deletion: true,
            });
        } else {
            owners.retain(|owner| owner.uid != self.set.uid);
        }
        // A merge patch takes a list away by null alone.
        let owners = if owners.is_empty() { Value::Null } else { json!(owners) };
        let revision = found.metadata.resource_version;
        let patch = json!({"metadata": {"resourceVersion": revision, "ownerReferences": owners}});
        let written = controller.instances.patch(&key, &Patch::Merge(patch)).await?;
        frame::observe(&controller.caches.instances, written);
        Ok(())
    }

    fn instance(&self, name: &str) -> Key {
        Key::new(self.key.namespace.clone(), name)
    }

    /// Reads the whole set, once per plan, and makes sure that it is still the one that was planned for.
    async fn whole(&mut self) -> Result<&VirtualMachineInstanceReplicaSet, ApiError> {
        if self.whole.is_none() {
            let whole = self.controller.whole_sets.get(self.key).await?;
            let changed = whole.metadata.generation.unwrap_or(1) != self.set.generation;
            if whole.uid() != self.set.uid || changed || whole.metadata.deletion_timestamp.is_some() {
                return Err(ApiError {
                    operation: format!("read virtualmachineinstancereplicasets {}", self.key),
                    problem: Problem::Conflict("it changed while it was acted on".to_owned()),
                });
            }
            self.whole = Some(whole);
        }
        Ok(self.whole.as_ref().expect("filled above"))
    }

    fn conflict(&self, verb: &str, name: &str, why: &str) -> ApiError {
        let operation = format!("{verb} virtualmachineinstances {}", self.instance(name));
        ApiError { operation, problem: Problem::Conflict(why.to_owned()) }
    }
}
