//! Binds Pods to nodes. Judgement: [`plan::scheduler`].

mod convert;
mod node;
mod pod;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube_ext::{
    Api, ApiError, Cache, Context, Key, Kind, ObjectRef, Patch, Queue, Recorder, Severity, Tasks, resources,
    work,
};
use parking_lot::Mutex;
use plan::scheduler::{self, Action, Node, Observed};
use serde_json::json;

use self::node::{NodeFacts, NodeView};
use self::pod::{PodFacts, PodView};
use self::usage::Usage;

/// Name of this scheduler in `spec.schedulerName`.
pub(super) const NAME: &str = "default-scheduler";

struct Scheduler {
    context: Context,
    recorder: Recorder,
    pods: Cache<PodFacts>,
    nodes: Cache<NodeFacts>,
    usage: Arc<Mutex<Usage>>,
    views: Api<PodView>,
    whole: Api<Pod>,
}

/// Adds the scheduler to `tasks`.
pub(crate) fn start(context: &Context, recorder: &Recorder, tasks: &mut Tasks) {
    let usage = Arc::new(Mutex::new(Usage::default()));
    let queue: Queue = Queue::new(context.clock.clone());
    let waiting = Arc::new(Mutex::new(std::collections::BTreeSet::<Key>::new()));

    let (sums, ready, others) = (Arc::clone(&usage), queue.clone(), Arc::clone(&waiting));
    let pods = Cache::builder(Api::<PodView>::new(&context.client), |view| Some(PodFacts::from(view)))
        .on_change(move |change| {
            sums.lock().apply(change);
            let freed = matches!(change, kube_ext::Change::Removed { .. })
                || change.sides().last().is_some_and(|pod| pod.ended);
            if freed {
                // Room was made: whoever waits gets another look.
                others.lock().iter().cloned().for_each(|key| ready.add(key));
            }
            if change.sides().last().is_some_and(PodFacts::needs_node) {
                ready.add(change.key().clone());
            }
        })
        .start(context, tasks);
    let (ready, others) = (queue.clone(), Arc::clone(&waiting));
    let nodes = Cache::builder(Api::<NodeView>::new(&context.client), |view| Some(NodeFacts::from(view)))
        .on_change(move |_| others.lock().iter().cloned().for_each(|key| ready.add(key)))
        .start(context, tasks);

    let scheduler = Arc::new(Scheduler {
        context: context.clone(),
        recorder: recorder.clone(),
        pods,
        nodes,
        usage,
        views: Api::new(&context.client),
        whole: Api::new(&context.client),
    });
    tasks.add(async move {
        scheduler.pods.synced().await;
        scheduler.nodes.synced().await;
        // One at a time: each decision must see the one before.
        work(queue, 1, |key| {
            let (scheduler, waiting) = (Arc::clone(&scheduler), Arc::clone(&waiting));
            async move {
                // Before the look: a node that changes while it lasts calls for another one.
                waiting.lock().insert(key.clone());
                if let Outcome::Settled = scheduler.schedule(&key).await? {
                    waiting.lock().remove(&key);
                }
                Ok(None::<Duration>)
            }
        })
        .await;
    });
}

/// What became of a Pod.
enum Outcome {
    /// It has a node, or needs none.
    Settled,
    /// No node will have it for now.
    Waits,
}

impl Scheduler {
    async fn schedule(&self, key: &Key) -> Result<Outcome, ApiError> {
        let Some(facts) = self.pods.get(key) else { return Ok(Outcome::Settled) };
        if !facts.needs_node() {
            return Ok(Outcome::Settled);
        }
        let Some(whole) = self.whole.find(key).await? else { return Ok(Outcome::Settled) };
        if whole.uid() != facts.uid {
            return Ok(Outcome::Settled);
        }
        let pod = convert::pod(&whole);
        let with_pods = !pod.near.is_empty() || !pod.apart.is_empty();
        let observed = Observed { pod, nodes: self.observe_nodes(with_pods) };
        let plan = scheduler::step(&observed);
        tracing::debug!(pod = %key, %plan, "planned");
        let mut outcome = Outcome::Waits;
        for action in &plan.actions {
            match action {
                Action::Bind { node } => {
                    self.bind(key, &facts, node).await?;
                    outcome = Outcome::Settled;
                }
                Action::Unschedulable { message } => {
                    self.mark(key, whole.resource_version(), message).await?;
                }
                Action::Tell(notice) => {
                    let object = ObjectRef::new(&resources::POD, key.clone(), facts.uid.clone());
                    let severity = if notice.warning { Severity::Warning } else { Severity::Normal };
                    self.recorder.record(&object, severity, notice.reason, &notice.message);
                }
            }
        }
        Ok(outcome)
    }

    fn observe_nodes(&self, with_pods: bool) -> Vec<Node> {
        let usage = self.usage.lock();
        let nodes = self.nodes.all().into_iter().map(|(key, facts)| {
            let mut node = facts.node.clone();
            node.used = usage.of(&key.name);
            node
        });
        let mut nodes: Vec<Node> = nodes.collect();
        drop(usage);
        if with_pods {
            for (key, pod) in self.pods.all() {
                let node =
                    pod.node.as_ref().and_then(|name| nodes.iter_mut().find(|node| node.name == *name));
                if let Some(node) = node.filter(|_| !pod.ended) {
                    node.pods.push((key.namespace, pod.labels.clone()));
                }
            }
        }
        nodes
    }

    async fn bind(&self, key: &Key, facts: &PodFacts, node: &str) -> Result<(), ApiError> {
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": facts.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        match self.views.create_subresource(key, "binding", &binding).await {
            Err(error) if error.is_not_found() => return Ok(()),
            // A conflict may mean that an attempt whose answer got lost has bound it: the next look tells.
            other => other?,
        }
        // The watch will tell; until then the next decision must count this one.
        if let Some((_, revision)) = self.pods.read(key) {
            let bound = PodFacts { node: Some(node.to_owned()), ..facts.clone() };
            self.pods.observe(key.clone(), &revision, Some(bound));
        }
        Ok(())
    }

    async fn mark(&self, key: &Key, revision: &str, message: &str) -> Result<(), ApiError> {
        let now = plan::time::stamp(self.context.now());
        let patch = json!({
            "metadata": {"resourceVersion": revision},
            "status": {"conditions": [{
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": message,
                "lastTransitionTime": now,
            }]},
        });
        match self.views.patch_status(key, &Patch::Strategic(patch)).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}
