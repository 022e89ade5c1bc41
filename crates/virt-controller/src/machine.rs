//! Virtual machines: sees to it that there is an instance when there should be one. Judgement: [`plan::vm`].

use std::collections::BTreeMap;
use std::time::Duration;

use api::kubevirt::v1::{VirtualMachine, VirtualMachineInstance};
use api::names::{annotation, finalizer, reason};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube_ext::{
    Api, ApiError, Context, Delete, Key, Kind, Owner, Patch, Problem, Recorder, Tasks, resources,
};
use parking_lot::Mutex;
use plan::vm::{self, Action, Observed, Rollout, Trouble, Vm};
use serde_json::{Value, json};

use crate::caches::{Caches, InstanceFacts, InstanceView, MachineFacts, MachineView, Queues};
use crate::config::{Config, MachineRefusals};
use crate::frame;
use crate::installation::Installation;
use crate::names::Names;

/// What a template and its instance were compared by: the generation that the instance was made from, that of the
/// machine, and whether changes are rolled out live.
type Compared = (i64, i64, bool);

struct Controller {
    context: Context,
    refusals: MachineRefusals,
    installation: Installation,
    caches: Caches,
    recorder: Recorder,
    machines: Api<MachineView>,
    whole_machines: Api<VirtualMachine>,
    instances: Api<InstanceView>,
    whole_instances: Api<VirtualMachineInstance>,
    revisions: Api<ControllerRevision>,
    names: Names,
    /// What was refused last, per machine. Lost with the process: the next attempt finds out again.
    troubles: Mutex<BTreeMap<Key, Trouble>>,
    /// What changed templates mean for instances that run, as far as it was looked up.
    rollouts: Mutex<BTreeMap<Key, (Compared, Rollout)>>,
}

/// Adds the controller to `tasks`.
pub(crate) fn start(
    context: &Context,
    config: &Config,
    installation: Installation,
    caches: &Caches,
    queues: &Queues,
    recorder: &Recorder,
    tasks: &mut Tasks,
) {
    let controller = Controller {
        context: context.clone(),
        refusals: config.machine_refusals.clone(),
        installation: installation.clone(),
        caches: caches.clone(),
        recorder: recorder.clone(),
        machines: Api::new(&context.client),
        whole_machines: Api::new(&context.client),
        instances: Api::new(&context.client),
        whole_instances: Api::new(&context.client),
        revisions: Api::new(&context.client),
        names: Names::new(&context.client),
        troubles: Mutex::default(),
        rollouts: Mutex::default(),
    };
    let caches = caches.clone();
    let ready = async move {
        caches.synced().await;
        installation.synced().await;
    };
    frame::serve(controller, (queues.machines.clone(), config.parallel), ready, tasks);
}

impl frame::Controller for Controller {
    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let Some((facts, revision)) = self.caches.machines.read(key) else {
            self.troubles.lock().remove(key);
            self.rollouts.lock().remove(key);
            return Ok(None);
        };
        let vm = &facts.vm;
        let instance = self.caches.instances.get(key);
        let observed = Observed {
            rollout: self.rollout(key, vm, instance.as_deref()).await?,
            vm: Vm {
                unbound_claims: self.caches.waits_for_claim(key, &facts),
                policy: self.installation.naming(),
                ..vm.clone()
            },
            instance: instance.map(|instance| instance.for_machine(&vm.uid)),
            trouble: self.troubles.lock().get(key).cloned(),
        };
        let plan = vm::step(&observed, self.context.now());
        tracing::debug!(machine = %key, %plan, "planned");
        let mut act = Act { controller: self, key, vm, revision, whole: None };
        for action in &plan.actions {
            if let Err(error) = act.perform(action).await {
                self.note(key, action, &error);
                return Err(error);
            }
        }
        Ok(plan.again.map(|again| again.after))
    }
}

impl Controller {
    /// Remembers a refusal, so that the next look puts it into the status.
    fn note(&self, key: &Key, action: &Action, error: &ApiError) {
        let reason = match action {
            Action::CreateInstance { .. }
            | Action::KeepRevision { .. }
            | Action::HoldNames
            | Action::ExpandNames => reason::FAILED_CREATE,
            Action::DeleteInstance { .. } => reason::FAILED_DELETE,
            _ => return,
        };
        if error.is_refused() {
            let trouble = Trouble { reason: reason.to_owned(), message: error.to_string() };
            self.troubles.lock().insert(key.clone(), trouble);
        }
    }

    /// Compares the template with the one that the instance was made from, if the generations differ.
    async fn rollout(
        &self,
        key: &Key,
        vm: &Vm,
        instance: Option<&InstanceFacts>,
    ) -> Result<Rollout, ApiError> {
        let made_from = instance.and_then(InstanceFacts::machine_generation);
        let Some(made_from) = made_from.filter(|generation| *generation != vm.generation && !vm.deleting)
        else {
            self.rollouts.lock().remove(key);
            return Ok(Rollout::default());
        };
        let compared = (made_from, vm.generation, self.installation.rolls_out_live());
        if let Some((by, rollout)) = self.rollouts.lock().get(key)
            && *by == compared
        {
            return Ok(rollout.clone());
        }
        let Some(rollout) = Box::pin(self.compare(key, vm, made_from, compared.2)).await? else {
            return Ok(Rollout::default());
        };
        self.rollouts.lock().insert(key.clone(), (compared, rollout.clone()));
        Ok(rollout)
    }

    /// Compares as `rollout` does, with whole objects; nothing if one of them is gone.
    async fn compare(
        &self,
        key: &Key,
        vm: &Vm,
        made_from: i64,
        live: bool,
    ) -> Result<Option<Rollout>, ApiError> {
        let name = Key::new(key.namespace.clone(), plan::name::machine_revision(&vm.uid, made_from));
        let Some(kept) = self.revisions.find(&name).await? else { return Ok(None) };
        let Some(machine) = self.whole_machines.find(key).await? else { return Ok(None) };
        let Some(running) = self.whole_instances.find(key).await? else { return Ok(None) };
        let before = kept.data.map(|data| data.0).unwrap_or_default();
        let spec = before.get("spec").cloned().unwrap_or_default();
        let before = VirtualMachine {
            spec: serde_json::from_value(spec).unwrap_or_default(),
            metadata: machine.metadata.clone(),
            status: machine.status.clone(),
            ..VirtualMachine::default()
        };
        let names =
            |machine: &VirtualMachine| (machine.spec.instancetype.clone(), machine.spec.preference.clone());
        let restart = Rollout { restart_required: true, follow: None };
        let before = match names(&machine) {
            same if same == names(&before) => self.names.expand(key, &before, &self.installation).await,
            // They may have been replaced by what they stand for, which is no change.
            (None, None) => self.names.replace(key, &before, &self.installation).await,
            _ => return Ok(Some(restart)),
        };
        let now = self.names.expand(key, &machine, &self.installation).await;
        let (before, now) = match (before, now) {
            (Ok(before), Ok(now)) => (before, now),
            // What it names is gone: nothing can follow, and the machine must still be stopped when that is wanted.
            (Err(error), _) | (_, Err(error)) if error.is_refused() => return Ok(Some(restart)),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let value = |spec: &Option<_>| serde_json::to_value(spec).unwrap_or_default();
        let running = serde_json::to_value(&running.spec).unwrap_or_default();
        let (before, now) = (value(&before.spec.template.spec), value(&now.spec.template.spec));
        let rollout = Rollout::of(&before, &now, &running, live);
        Ok(Some(rollout))
    }
}

/// One plan being carried out.
struct Act<'a> {
    controller: &'a Controller,
    key: &'a Key,
    vm: &'a Vm,
    /// Revision that the plan is true for; moves with our own writes.
    revision: String,
    whole: Option<VirtualMachine>,
}

impl Act<'_> {
    async fn perform(&mut self, action: &Action) -> Result<(), ApiError> {
        let controller = self.controller;
        match action {
            Action::Adopt { places } => {
                let mut finalizers = self.vm.finalizers.clone();
                if !self.vm.has_finalizer(finalizer::VIRTUAL_MACHINE) {
                    finalizers.push(finalizer::VIRTUAL_MACHINE.to_owned());
                }
                let mut annotations = plan::version::annotations();
                annotations.extend(places.clone().map(|places| (annotation::PLACES.to_owned(), places)));
                self.change(json!({"metadata": {"finalizers": finalizers, "annotations": annotations}})).await
            }
            Action::RemoveFinalizer => {
                let mut finalizers = self.vm.finalizers.clone();
                finalizers.retain(|known| known != finalizer::VIRTUAL_MACHINE);
                self.change(json!({"metadata": {"finalizers": finalizers}})).await
            }
            // The field that the user knows stays the one that says it.
            Action::SetStrategy(vm::RunStrategy::Always) if self.vm.by_running => {
                self.change(json!({"spec": {"running": true}})).await
            }
            Action::SetStrategy(strategy) => {
                self.change(json!({"spec": {"runStrategy": strategy.as_str(), "running": null}})).await
            }
            Action::KeepRevision { name } => {
                self.check_fields().await?;
                let revision = self.revision_of(name).await?;
                let namespace = &self.key.namespace;
                match controller.revisions.create(namespace, &revision).await {
                    Err(error) if !error.is_already_exists() => Err(error),
                    _ => Ok(()),
                }
            }
            // Whole machines are large, and most looks need none.
            Action::HoldNames => Box::pin(self.hold_names()).await,
            Action::ExpandNames => Box::pin(self.expand_names()).await,
            Action::ForgetNames => Box::pin(self.forget_names()).await,
            Action::CreateInstance { paused } => Box::pin(self.create_instance(*paused)).await,
            Action::ClaimInstance { uid } => self.claim(uid).await,
            Action::UpdateInstance { uid, patch } => self.update(uid, patch).await,
            Action::DeleteInstance { uid } => {
                match controller.instances.delete(self.key, &Delete::only(uid)).await {
                    Err(error) if !error.is_not_found() => Err(error),
                    _ => {
                        controller.troubles.lock().remove(self.key);
                        Ok(())
                    }
                }
            }
            Action::WriteStatus { patch } => {
                let patch = json!({"metadata": {"resourceVersion": self.revision}, "status": patch});
                let written = controller.machines.patch_status(self.key, &Patch::Merge(patch)).await?;
                self.observe(written);
                Ok(())
            }
            Action::Tell(notice) => {
                let resource = &resources::VIRTUAL_MACHINE;
                frame::tell(&controller.recorder, resource, self.key, &self.vm.uid, notice);
                Ok(())
            }
        }
    }

    /// Keeps what the machine names and refers to it in the status.
    async fn hold_names(&mut self) -> Result<(), ApiError> {
        let (controller, key) = (self.controller, self.key);
        let status = controller.names.hold(key, self.machine().await?).await?;
        let patch = json!({"metadata": {"resourceVersion": self.revision}, "status": status});
        let written = controller.machines.patch_status(key, &Patch::Merge(patch)).await?;
        controller.troubles.lock().remove(key);
        // What was compared without these names says nothing any more.
        controller.rollouts.lock().remove(key);
        self.observe(written);
        // What is read from now on has it.
        self.whole = None;
        Ok(())
    }

    /// Writes what the machine names into it, in place of the names.
    async fn expand_names(&mut self) -> Result<(), ApiError> {
        let (controller, key) = (self.controller, self.key);
        let machine = self.machine().await?;
        let expanded = controller.names.replace(key, machine, &controller.installation).await?;
        let Some(patch) = plan::patch::between(&machine.spec, &expanded.spec) else { return Ok(()) };
        controller.troubles.lock().remove(key);
        self.change(json!({"spec": patch})).await
    }

    /// Lets go of what the machine no longer names: first in the status, so that what is named again meanwhile is kept anew.
    /// A revision that is left over goes with the machine.
    async fn forget_names(&mut self) -> Result<(), ApiError> {
        let (controller, key) = (self.controller, self.key);
        let machine = self.machine().await?.clone();
        let stale = vm::named::stale(&machine).into_iter().map(|(field, _)| (field.to_owned(), Value::Null));
        let stale: serde_json::Map<_, _> = stale.collect();
        let patch = json!({"metadata": {"resourceVersion": self.revision}, "status": stale});
        let written = controller.machines.patch_status(key, &Patch::Merge(patch)).await?;
        self.observe(written);
        self.whole = None;
        controller.names.forget(key, &machine).await
    }

    async fn create_instance(&mut self, paused: bool) -> Result<(), ApiError> {
        let (controller, key) = (self.controller, self.key);
        let machine = self.machine().await?;
        let machine = controller.names.expand(key, machine, &controller.installation).await?;
        self.create(&vm::instance(&machine, paused)).await
    }

    /// Refuses a machine that asks, beside its template, for what this installation cannot honour.
    async fn check_fields(&mut self) -> Result<(), ApiError> {
        let refusals = (self.controller.refusals)(self.machine().await?);
        if refusals.is_empty() {
            return Ok(());
        }
        let all: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        let operation = format!("start the machine {}", self.key);
        Err(ApiError { operation, problem: Problem::Invalid(all.join(". ")) })
    }

    async fn create(&self, instance: &VirtualMachineInstance) -> Result<(), ApiError> {
        let controller = self.controller;
        let created = controller.instances.create(&self.key.namespace, instance).await;
        controller.troubles.lock().remove(self.key);
        match created {
            Ok(view) => {
                frame::observe(&controller.caches.instances, view);
                Ok(())
            }
            // The watch brings it; whose it is shows then.
            Err(error) if error.is_already_exists() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes the machine the controller of an instance, unless it has got one meanwhile or is another.
    async fn claim(&self, uid: &str) -> Result<(), ApiError> {
        let controller = self.controller;
        let found = controller.instances.get(self.key).await?;
        if found.uid() != uid || found.metadata.controller().is_some() {
            return Err(ApiError {
                operation: format!("claim virtualmachineinstances {}", self.key),
                problem: Problem::Conflict("it changed while it was claimed".to_owned()),
            });
        }
        let mut owners = found.metadata.owner_references;
        owners.push(Owner {
            api_version: "kubevirt.io/v1".to_owned(),
            kind: "VirtualMachine".to_owned(),
            name: self.vm.name.clone(),
            uid: self.vm.uid.clone(),
            controller: true,
            block_owner_deletion: true,
        });
        let patch = json!({
            "metadata": {"resourceVersion": found.metadata.resource_version, "ownerReferences": owners},
        });
        let written = controller.instances.patch(self.key, &Patch::Merge(patch)).await?;
        frame::observe(&controller.caches.instances, written);
        Ok(())
    }

    /// Changes the specification of an instance, unless another one has its name by now.
    async fn update(&self, uid: &str, patch: &Value) -> Result<(), ApiError> {
        let controller = self.controller;
        let patch = json!({"metadata": {"uid": uid}, "spec": patch});
        let written = controller.instances.patch(self.key, &Patch::Merge(patch)).await;
        // What is to follow is found out again, whatever became of this.
        controller.rollouts.lock().remove(self.key);
        let written = written?;
        frame::observe(&controller.caches.instances, written);
        Ok(())
    }

    async fn change(&mut self, mut patch: Value) -> Result<(), ApiError> {
        patch["metadata"]["resourceVersion"] = json!(self.revision);
        match self.controller.machines.patch(self.key, &Patch::Merge(patch)).await {
            Ok(written) => {
                self.observe(written);
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn observe(&mut self, written: MachineView) {
        written.resource_version().clone_into(&mut self.revision);
        let key = written.key();
        // A write that takes the last finalizer off also ends the object; the watch says so.
        if written.metadata.is_deleting() && written.metadata.finalizers.is_empty() {
            return;
        }
        let facts = MachineFacts::from(written);
        self.controller.caches.machines.observe(key, &self.revision, Some(facts));
    }

    /// Reads the whole machine, once per plan, and makes sure that it is still the one that was planned for.
    async fn machine(&mut self) -> Result<&VirtualMachine, ApiError> {
        if self.whole.is_none() {
            let machine = self.controller.whole_machines.get(self.key).await?;
            if machine.uid() != self.vm.uid || machine.metadata.generation != Some(self.vm.generation) {
                return Err(ApiError {
                    operation: format!("read virtualmachines {}", self.key),
                    problem: Problem::Conflict("the specification changed while it was acted on".to_owned()),
                });
            }
            self.whole = Some(machine);
        }
        Ok(self.whole.as_ref().expect("filled above"))
    }

    async fn revision_of(&mut self, name: &str) -> Result<ControllerRevision, ApiError> {
        let machine = self.machine().await?;
        let data = json!({"spec": machine.spec});
        Ok(ControllerRevision {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: machine.metadata.namespace.clone(),
                owner_references: Some(vec![OwnerReference {
                    api_version: "kubevirt.io/v1".to_owned(),
                    block_owner_deletion: Some(true),
                    controller: Some(true),
                    kind: "VirtualMachine".to_owned(),
                    name: machine.metadata.name.clone().unwrap_or_default(),
                    uid: machine.metadata.uid.clone().unwrap_or_default(),
                }]),
                ..ObjectMeta::default()
            },
            data: Some(k8s_openapi::apimachinery::pkg::runtime::RawExtension(data)),
            revision: machine.metadata.generation.unwrap_or(1),
        })
    }
}
