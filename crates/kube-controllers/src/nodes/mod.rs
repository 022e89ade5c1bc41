//! Life of nodes: notices those that fall silent and those that come back, and ends the Pods of those that stay away.
//! Judgement: [`plan::liveness`].

mod pods;
mod signs;
mod view;

use std::sync::Arc;
use std::time::Duration;

use kube_ext::{
    Api, ApiError, Cache, Change, Context, Key, ObjectRef, Patch, Queue, Recorder, Select, Severity, Tasks,
    resources, work,
};
use parking_lot::Mutex;
use plan::liveness::{self, Action, Fleet, Observed, Patience};
use serde_json::{Value, json};

use self::signs::Signs;
use self::view::{LeaseView, NodeFacts, NodeView, PodFacts, PodView};

/// Namespace of nodes' Leases.
const LEASES: &str = "kube-node-lease";
/// Between two nodes that lose their Pods.
const TURN: Duration = Duration::from_secs(10);

/// What is known of nodes and Pods.
#[derive(Clone)]
struct Picture {
    nodes: Cache<NodeFacts>,
    /// By node.
    pods: Cache<PodFacts>,
}

struct Controller {
    context: Context,
    patience: Patience,
    recorder: Recorder,
    picture: Picture,
    signs: Arc<Mutex<Signs>>,
    /// How the nodes were at the last look, and when the last one began to lose its Pods.
    fleet: Mutex<(Fleet, Option<Duration>)>,
    queue: Queue,
    nodes: Api<NodeView>,
    pods: Api<PodView>,
}

/// Adds the controllers to `tasks`.
pub(crate) fn start(context: &Context, patience: Patience, tasks: &mut Tasks) {
    let client = &context.client;
    let recorder = Recorder::start(context, "node-controller", tasks);
    let (queue, evictions) = (Queue::new(context.clock.clone()), Queue::new(context.clock.clone()));
    let signs: Arc<Mutex<Signs>> = Arc::default();

    let (ready, going) = (queue.clone(), evictions.clone());
    let pods = Cache::builder(Api::<PodView>::new(client), PodFacts::of)
        .index(|pod: &PodFacts| Some(pod.node.clone()))
        .on_change(move |change: &Change<PodFacts>| {
            going.add(change.key().clone());
            for pod in change.sides().filter(|pod| pod.ready) {
                ready.add(Key::cluster(pod.node.clone()));
            }
        })
        .start(context, tasks);
    let (ready, going, known) = (queue.clone(), evictions.clone(), pods.clone());
    let (heard, clock) = (signs.clone(), context.clock.clone());
    let nodes = Cache::builder(Api::<NodeView>::new(client), |view| Some(NodeFacts::from(view)))
        .on_change(move |change: &Change<NodeFacts>| {
            let name = &change.key().name;
            match change {
                Change::Applied { after, .. } => heard.lock().reported(name, after, clock.elapsed()),
                Change::Removed { .. } => heard.lock().forget(name),
            }
            ready.add(change.key().clone());
            for (pod, _) in known.by_index(name) {
                going.add(pod);
            }
        })
        .start(context, tasks);
    let (heard, clock) = (signs.clone(), context.clock.clone());
    let leases = Cache::builder(Api::<LeaseView>::new(client), |view| Some(view.spec.renew_time))
        .select(Select::default().within(LEASES))
        .on_change(move |change| {
            if let Change::Applied { key, after, .. } = change {
                heard.lock().renewed(&key.name, after, clock.elapsed());
            }
        })
        .start(context, tasks);

    let picture = Picture { nodes, pods };
    pods::start(context, &picture, &recorder, evictions, tasks);
    let controller = Arc::new(Controller {
        context: context.clone(),
        patience,
        recorder,
        picture: picture.clone(),
        signs,
        fleet: Mutex::default(),
        queue: queue.clone(),
        nodes: Api::new(client),
        pods: Api::new(client),
    });
    tasks.add(async move {
        picture.nodes.synced().await;
        picture.pods.synced().await;
        leases.synced().await;
        work(queue, 1, |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&key).await }
        })
        .await;
    });
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let fleet = self.fleet();
        let Some((facts, revision)) = self.picture.nodes.read(key) else { return Ok(None) };
        let now = self.context.clock.elapsed();
        let ready =
            |(key, pod): (Key, Arc<PodFacts>)| (pod.ready && !pod.ended).then_some((key.namespace, key.name));
        let last_turn = self.fleet.lock().1;
        let observed = Observed {
            name: key.name.clone(),
            created: facts.created,
            conditions: facts.conditions.clone(),
            taints: facts.taints.clone(),
            silent_for: self.signs.lock().silent_for(&key.name, now),
            fleet,
            turn_in: last_turn.map_or(Duration::ZERO, |last| (last + TURN).saturating_sub(now)),
            ready_pods: self.picture.pods.by_index(&key.name).into_iter().filter_map(ready).collect(),
        };
        let plan = liveness::step(&observed, self.patience, self.context.now());
        if !plan.actions.is_empty() {
            tracing::debug!(node = key.name, %plan, "planned");
        }
        let mut act = Act { controller: self, key, uid: &facts.uid, revision };
        for action in &plan.actions {
            act.perform(action).await?;
        }
        Ok(plan.again.map(|again| again.after))
    }

    /// Judges the nodes all together. A change concerns each of them.
    fn fleet(&self) -> Fleet {
        let nodes = self.picture.nodes.all();
        let ready = nodes.iter().filter(|(_, node)| node.is_ready()).count();
        let fleet = Fleet::of(nodes.len(), ready);
        let before = std::mem::replace(&mut self.fleet.lock().0, fleet);
        if before != fleet {
            if before == Fleet::Silent {
                // It was us who heard nothing: what the nodes were silent for meanwhile does not count.
                self.signs.lock().hear_all(self.context.clock.elapsed());
            }
            for (key, _) in nodes {
                self.queue.add(key);
            }
        }
        fleet
    }
}

/// One plan being carried out.
struct Act<'a> {
    controller: &'a Controller,
    key: &'a Key,
    uid: &'a str,
    /// Revision that the plan is true for.
    revision: String,
}

impl Act<'_> {
    async fn perform(&mut self, action: &Action) -> Result<(), ApiError> {
        let controller = self.controller;
        match action {
            Action::Report { patch } => {
                let mut patch = patch.clone();
                patch["metadata"]["resourceVersion"] = json!(self.revision);
                let written = controller.nodes.patch_status(self.key, &Patch::Strategic(patch)).await?;
                self.observe(written);
            }
            Action::Taint { taints, begins } => {
                let taints = if taints.is_empty() { Value::Null } else { json!(taints) };
                let patch = json!({
                    "metadata": {"resourceVersion": self.revision},
                    "spec": {"taints": taints},
                });
                let written = controller.nodes.patch(self.key, &Patch::Merge(patch)).await?;
                if *begins {
                    controller.fleet.lock().1 = Some(controller.context.clock.elapsed());
                }
                self.observe(written);
            }
            Action::Doubt { namespace, name } => {
                self.doubt(&Key::new(namespace.clone(), name.clone())).await?;
            }
            Action::Tell(notice) => {
                let object = ObjectRef::new(&resources::NODE, self.key.clone(), self.uid);
                let severity = if notice.warning { Severity::Warning } else { Severity::Normal };
                controller.recorder.record(&object, severity, notice.reason, &notice.message);
            }
        }
        Ok(())
    }

    fn observe(&mut self, written: NodeView) {
        self.revision.clone_from(&written.metadata.resource_version);
        let nodes = &self.controller.picture.nodes;
        nodes.observe(self.key.clone(), &self.revision, Some(NodeFacts::from(written)));
    }

    /// Shows a Pod as not ready: nobody should be sent there.
    async fn doubt(&self, key: &Key) -> Result<(), ApiError> {
        let controller = self.controller;
        let Some((facts, revision)) = controller.picture.pods.read(key) else { return Ok(()) };
        let now = plan::time::stamp(controller.context.now());
        let patch = json!({
            "metadata": {"resourceVersion": revision},
            "status": {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": now}]},
        });
        match controller.pods.patch_status(key, &Patch::Strategic(patch)).await {
            Ok(written) => {
                let revision = written.metadata.resource_version.clone();
                controller.picture.pods.observe(key.clone(), &revision, PodFacts::of(written));
                let object = ObjectRef::new(&resources::POD, key.clone(), facts.uid.clone());
                controller.recorder.record(&object, Severity::Warning, "NodeNotReady", "Node is not ready");
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}
