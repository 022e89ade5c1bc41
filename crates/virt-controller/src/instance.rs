//! Instances: makes their launcher Pods and reads their state from them. Judgement: [`plan::vmi`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::kubevirt::v1::VirtualMachineInstance;
use api::names::{condition, finalizer};
use kube_ext::{Api, ApiError, Context, Delete, Key, Kind, Patch, Problem, Recorder, Tasks, resources};
use parking_lot::Mutex;
use plan::vmi::{self, Action, Observed, Refusal, launcher};
use serde_json::{Value, json};

use crate::caches::{Caches, InstanceFacts, InstanceView, PodFacts, PodView, Queues};
use crate::config::Config;
use crate::frame;
use crate::installation::Installation;
use crate::{limits, state_claim};

struct Controller {
    context: Context,
    config: Config,
    installation: Installation,
    caches: Caches,
    recorder: Recorder,
    instances: Api<InstanceView>,
    whole_instances: Api<VirtualMachineInstance>,
    pods: Api<PodView>,
    /// Why the Pod could not be created, per instance. Lost with the process: the next attempt finds out again.
    refused: Mutex<BTreeMap<Key, String>>,
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
        config: config.clone(),
        installation: installation.clone(),
        caches: caches.clone(),
        recorder: recorder.clone(),
        instances: Api::new(&context.client),
        whole_instances: Api::new(&context.client),
        pods: Api::new(&context.client),
        refused: Mutex::default(),
    };
    let caches = caches.clone();
    let ready = async move {
        caches.synced().await;
        installation.synced().await;
    };
    frame::serve(controller, (queues.instances.clone(), config.parallel), ready, tasks);
}

impl frame::Controller for Controller {
    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let Some((facts, revision)) = self.caches.instances.read(key) else {
            self.refused.lock().remove(key);
            return Ok(None);
        };
        let instance = &facts.instance;
        let pods = self.caches.pods.by_index(&instance.uid);
        let mut act = Act {
            controller: self,
            key,
            uid: &instance.uid,
            finalizers: &instance.finalizers,
            revision,
            whole: None,
        };
        let waits = pods.is_empty() && instance.awaits_pod() && instance.deleting_since.is_none();
        let observed = Observed {
            refusals: if waits { act.refusals().await? } else { Vec::new() },
            pod_refused: self.refused.lock().get(key).cloned(),
            instance: instance.clone(),
            pods: pods.into_iter().map(|(_, facts)| facts.pod.clone()).collect(),
            node_problems: if instance.waits_for_node() { self.node_problems() } else { Vec::new() },
            launcher_version: self.config.launcher_version.clone(),
        };
        let plan = vmi::step(&observed, self.context.now());
        tracing::debug!(instance = %key, %plan, "planned");
        for action in &plan.actions {
            act.perform(action).await?;
        }
        Ok(plan.again.map(|again| again.after))
    }
}

impl Controller {
    fn node_problems(&self) -> Vec<String> {
        self.caches.nodes.all().into_iter().filter_map(|(_, node)| node.problem.clone()).collect()
    }
}

/// One plan being carried out.
struct Act<'a> {
    controller: &'a Controller,
    key: &'a Key,
    uid: &'a str,
    finalizers: &'a [String],
    /// Revision that the plan is true for.
    revision: String,
    whole: Option<VirtualMachineInstance>,
}

impl Act<'_> {
    async fn perform(&mut self, action: &Action) -> Result<(), ApiError> {
        let (controller, key) = (self.controller, self.key);
        match action {
            Action::CreatePod { name } => {
                let mut config = controller.installation.launcher();
                config.automatic_limits =
                    limits::automatic(&controller.context.client, &key.namespace, &config).await?;
                let instance = self.instance().await?;
                if let Some(why) = launcher::misfit(instance, &config) {
                    controller.refused.lock().insert(key.clone(), why.clone());
                    return Err(ApiError {
                        operation: format!("create pods {}/{name}", key.namespace),
                        problem: Problem::Invalid(why),
                    });
                }
                let state = state_claim::ensure(&controller.context.client, instance, &config).await;
                let state = state.inspect_err(|error| {
                    if error.is_refused() {
                        controller.refused.lock().insert(key.clone(), error.to_string());
                    }
                })?;
                let pod = launcher::pod(instance, name, state.as_deref(), &config);
                let created = controller.pods.create(&self.key.namespace, &pod).await;
                self.created(name, created).await
            }
            Action::DeletePod { name, uid } => {
                let pod = Key::new(self.key.namespace.clone(), name.clone());
                match controller.pods.delete(&pod, &Delete::only(uid)).await {
                    // Another Pod of this name is a conflict too; the next look, from a newer view, knows better what to do.
                    Err(error) if !error.is_not_found() => Err(error),
                    _ => Ok(()),
                }
            }
            Action::SetGate { name, uid, open, reason } => {
                let gate = json!({"type": condition::UNPAUSED, "status": if *open { "True" } else { "False" },
                    "reason": reason,
                    "lastTransitionTime": plan::time::stamp(controller.context.now())});
                // The identity keeps it from a Pod of the same name that came later.
                let patch = json!({"metadata": {"uid": uid}, "status": {"conditions": [gate]}});
                let pod = Key::new(self.key.namespace.clone(), name.clone());
                match controller.pods.patch_status(&pod, &Patch::Strategic(patch)).await {
                    Ok(written) => {
                        let revision = written.resource_version().to_owned();
                        controller.caches.pods.observe(pod, &revision, PodFacts::of(written));
                        Ok(())
                    }
                    Err(error) if error.is_not_found() => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Action::Write { patch } => self.change(patch.clone()).await,
            Action::RemoveFinalizers => {
                let ours = [finalizer::INSTANCE, finalizer::VIRTUAL_MACHINE];
                let left: Vec<_> =
                    self.finalizers.iter().filter(|name| !ours.contains(&name.as_str())).collect();
                match self.change(json!({"metadata": {"finalizers": left}})).await {
                    Err(error) if error.is_not_found() => Ok(()),
                    other => other,
                }
            }
            Action::Tell(notice) => {
                let resource = &resources::VIRTUAL_MACHINE_INSTANCE;
                frame::tell(&controller.recorder, resource, self.key, self.uid, notice);
                Ok(())
            }
        }
    }

    async fn created(&self, name: &str, created: Result<PodView, ApiError>) -> Result<(), ApiError> {
        let controller = self.controller;
        let pod = match created {
            Ok(pod) => pod,
            // Ours, from an attempt whose answer got lost, or somebody else's.
            Err(error) if error.is_already_exists() => {
                controller.pods.get(&Key::new(self.key.namespace.clone(), name)).await?
            }
            Err(error) => {
                if error.is_refused() {
                    controller.refused.lock().insert(self.key.clone(), error.to_string());
                }
                return Err(error);
            }
        };
        let (key, revision) = (pod.key(), pod.resource_version().to_owned());
        if let Some(facts) = PodFacts::of(pod).filter(|facts| facts.instance_uid == self.uid) {
            controller.refused.lock().remove(self.key);
            controller.caches.pods.observe(key, &revision, Some(facts));
            return Ok(());
        }
        let why = format!("a Pod named {name} exists that is not this instance's; delete it");
        controller.refused.lock().insert(self.key.clone(), why.clone());
        Err(ApiError { operation: format!("create pods {key}"), problem: Problem::Invalid(why) })
    }

    async fn change(&mut self, mut patch: Value) -> Result<(), ApiError> {
        patch["metadata"]["resourceVersion"] = json!(self.revision);
        let written = self.controller.instances.patch(self.key, &Patch::Merge(patch)).await?;
        written.resource_version().clone_into(&mut self.revision);
        // A write that takes the last finalizer off also ends the object; the watch says so.
        if !(written.metadata.is_deleting() && written.metadata.finalizers.is_empty()) {
            let key = written.key();
            let facts = InstanceFacts::from(written);
            self.controller.caches.instances.observe(key, &self.revision, Some(facts));
        }
        Ok(())
    }

    async fn refusals(&mut self) -> Result<Vec<Refusal>, ApiError> {
        let judge = Arc::clone(&self.controller.config.refusals);
        Ok(judge(self.instance().await?))
    }

    /// Reads the whole instance, once per plan.
    async fn instance(&mut self) -> Result<&VirtualMachineInstance, ApiError> {
        if self.whole.is_none() {
            let instance = self.controller.whole_instances.get(self.key).await?;
            if instance.uid() != self.uid {
                return Err(ApiError {
                    operation: format!("read virtualmachineinstances {}", self.key),
                    problem: Problem::Conflict("another instance has the name now".to_owned()),
                });
            }
            self.whole = Some(instance);
        }
        Ok(self.whole.as_ref().expect("filled above"))
    }
}
