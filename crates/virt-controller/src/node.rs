//! Nodes: notices when an agent falls silent. Judgement: [`plan::node`].

use std::collections::BTreeMap;
use std::time::Duration;

use api::names::phase;
use jiff::Timestamp;
use kube_ext::{Api, ApiError, Context, Key, ObjectRef, Patch, Recorder, Severity, Tasks, resources};
use parking_lot::Mutex;
use plan::node::{self, Action, Instance, Observed};
use serde_json::json;

use crate::caches::{Caches, InstanceView, NodeView, Queues};
use crate::frame;

/// A node's last sign of life, as it was written, and when it was new by the clock that nobody sets.
type Sign = (Timestamp, Duration);

struct Controller {
    context: Context,
    caches: Caches,
    recorder: Recorder,
    nodes: Api<NodeView>,
    instances: Api<InstanceView>,
    /// By node. Lost with the process: the next one gives each node its whole time again.
    signs: Mutex<BTreeMap<String, Sign>>,
}

/// Adds the controller to `tasks`.
pub(crate) fn start(
    context: &Context,
    caches: &Caches,
    queues: &Queues,
    recorder: &Recorder,
    tasks: &mut Tasks,
) {
    let controller = Controller {
        context: context.clone(),
        caches: caches.clone(),
        recorder: recorder.clone(),
        nodes: Api::new(&context.client),
        instances: Api::new(&context.client),
        signs: Mutex::default(),
    };
    let caches = caches.clone();
    let ready = async move { caches.synced().await };
    frame::serve(controller, (queues.nodes.clone(), 1), ready, tasks);
}

impl frame::Controller for Controller {
    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let Some((facts, revision)) = self.caches.nodes.read(key) else {
            self.signs.lock().remove(&key.name);
            return Ok(None);
        };
        let observed = Observed {
            name: key.name.clone(),
            schedulable: facts.schedulable,
            heartbeat: facts.heartbeat,
            silent_for: facts.heartbeat.map(|beat| self.silent_for(&key.name, beat)).unwrap_or_default(),
            instances: self.instances_on(&key.name),
        };
        let plan = node::step(&observed);
        for action in &plan.actions {
            match action {
                Action::MarkNode { patch } => {
                    let mut patch = patch.clone();
                    patch["metadata"]["resourceVersion"] = json!(revision);
                    self.nodes.patch(key, &Patch::Merge(patch)).await?;
                }
                Action::FailInstance { namespace, name } => {
                    self.fail(&Key::new(namespace.clone(), name.clone()), &key.name).await?;
                }
                Action::Tell(notice) => {
                    frame::tell(&self.recorder, &resources::NODE, key, &facts.uid, notice);
                }
            }
        }
        Ok(plan.again.map(|again| again.after))
    }
}

impl Controller {
    fn instances_on(&self, node: &str) -> Vec<Instance> {
        let on_node = self.caches.instances.by_index(node);
        let live = on_node.into_iter().filter(|(_, facts)| facts.instance.is_handed_over());
        live.map(|(key, facts)| Instance {
            namespace: key.namespace,
            name: key.name,
            has_pod: !self.caches.pods.by_index(&facts.instance.uid).is_empty(),
        })
        .collect()
    }

    /// Returns how long ago the sign of life `beat` of a node was new.
    fn silent_for(&self, node: &str, beat: Timestamp) -> Duration {
        let now = self.context.clock.elapsed();
        let mut signs = self.signs.lock();
        let sign = signs.entry(node.to_owned()).or_insert((beat, now));
        if sign.0 != beat {
            *sign = (beat, now);
        }
        now.saturating_sub(sign.1)
    }

    async fn fail(&self, key: &Key, node: &str) -> Result<(), ApiError> {
        let Some((facts, revision)) = self.caches.instances.read(key) else { return Ok(()) };
        let patch = json!({
            "metadata": {"resourceVersion": revision},
            "status": {"phase": phase::FAILED, "reason": node::UNRESPONSIVE},
        });
        match self.instances.patch(key, &Patch::Merge(patch)).await {
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
            Ok(_) => {
                let uid = facts.instance.uid.clone();
                let object = ObjectRef::new(&resources::VIRTUAL_MACHINE_INSTANCE, key.clone(), uid);
                let why = format!("virt-handler on node {node} is not responsive, marking VMI as failed");
                self.recorder.record(&object, Severity::Normal, node::UNRESPONSIVE, &why);
                Ok(())
            }
        }
    }
}
