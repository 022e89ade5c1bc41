//! Binds Pods to nodes. Judgement: [`plan::scheduler`].

mod claims;
mod cluster;
pub(crate) mod convert;
mod node;
mod pod;
mod usage;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube_ext::{
    Api, ApiError, Cache, Change, Context, Key, Kind, ObjectRef, PartialObject, Patch, Queue, Recorder,
    Severity, Tasks, resources, work,
};
use parking_lot::Mutex;
use plan::scheduler::{self, Action, Node, Observed};
use plan::storage::annotation;
use serde_json::json;

use self::node::{NodeFacts, NodeView};
use self::pod::{PodFacts, PodView};
use self::usage::Usage;
use crate::storage::{Caches, Work};

pub(crate) use self::cluster::Cluster;

/// Name of this scheduler in `spec.schedulerName`.
pub(super) const NAME: &str = "default-scheduler";

/// How long after its start the scheduler tells nobody that there is no node: nodes are registering.
const SETTLING: Duration = Duration::from_secs(10);

struct Scheduler {
    context: Context,
    /// When nodes have had their time to register.
    settled_at: Duration,
    recorder: Recorder,
    pods: Cache<PodFacts>,
    nodes: Cache<NodeFacts>,
    usage: Arc<Mutex<Usage>>,
    views: Api<PodView>,
    whole: Api<Pod>,
    storage: Caches,
    claims: Api<PartialObject>,
}

/// Pods without a node, which get another look whenever something changes that they may wait for.
#[derive(Clone)]
pub(crate) struct Waiting {
    keys: Arc<Mutex<BTreeSet<Key>>>,
    queue: Queue,
}

impl Waiting {
    pub(crate) fn new(context: &Context) -> Self {
        Self { keys: Arc::default(), queue: Queue::new(context.clock.clone()) }
    }

    /// Has every Pod that waits looked at again.
    pub(crate) fn wake(&self) {
        self.keys.lock().iter().cloned().for_each(|key| self.queue.add(key));
    }
}

/// Adds the scheduler to `tasks`. Changes that concern claims go into `work`.
pub(crate) fn start(
    context: &Context,
    recorder: &Recorder,
    waiting: Waiting,
    storage: Caches,
    work_of_storage: Queue<Work>,
    tasks: &mut Tasks,
) -> Cluster {
    let usage = Arc::new(Mutex::new(Usage::default()));
    let queue = waiting.queue.clone();

    let (sums, others, claims) = (Arc::clone(&usage), waiting.clone(), work_of_storage.clone());
    let pods = Cache::builder(Api::<PodView>::new(&context.client), |view| Some(PodFacts::from(view)))
        .on_change(move |change| {
            sums.lock().apply(change);
            let freed = matches!(change, Change::Removed { .. })
                || change.sides().last().is_some_and(|pod| pod.ended);
            if freed {
                // Room was made: whoever waits gets another look, and a claim may be free to go.
                others.wake();
                let names = change.sides().flat_map(|pod| &pod.claims);
                let namespace = &change.key().namespace;
                names.for_each(|name| claims.add(Work::Claim(Key::new(namespace, name))));
            }
            if change.sides().last().is_some_and(PodFacts::needs_node) {
                others.queue.add(change.key().clone());
            }
        })
        .start(context, tasks);
    let (others, claims) = (waiting.clone(), work_of_storage);
    let nodes = Cache::builder(Api::<NodeView>::new(&context.client), |view| Some(NodeFacts::from(view)))
        .on_change(move |_| {
            others.wake();
            claims.add(Work::Waiting);
        })
        .start(context, tasks);
    let cluster = Cluster { pods: pods.clone(), nodes: nodes.clone() };

    let scheduler = Arc::new(Scheduler {
        context: context.clone(),
        settled_at: context.clock.elapsed().saturating_add(SETTLING),
        recorder: recorder.clone(),
        pods,
        nodes,
        usage,
        views: Api::new(&context.client),
        whole: Api::new(&context.client),
        storage,
        claims: Api::of(&context.client, resources::PERSISTENT_VOLUME_CLAIM),
    });
    tasks.add(async move {
        scheduler.pods.synced().await;
        scheduler.nodes.synced().await;
        scheduler.storage.synced().await;
        // One at a time: each decision must see the one before.
        work(queue, 1, |key| {
            let (scheduler, waiting) = (Arc::clone(&scheduler), waiting.clone());
            async move {
                // Before the look: a node that changes while it lasts calls for another one.
                waiting.keys.lock().insert(key.clone());
                let outcome = scheduler.schedule(&key).await?;
                if let Outcome::Settled = outcome {
                    waiting.keys.lock().remove(&key);
                }
                Ok(if let Outcome::Later(after) = outcome { Some(after) } else { None })
            }
        })
        .await;
    });
    cluster
}

/// What became of a Pod.
enum Outcome {
    /// It has a node, or needs none.
    Settled,
    /// No node will have it for now.
    Waits,
    /// No node will have it, but nodes may still be registering: look again after a while, or when one changes.
    Later(Duration),
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
        let mut pod = convert::pod(&whole);
        pod.claims =
            claims::of(&self.storage, &key.namespace, &facts.claims, |claim| self.is_taken(key, claim));
        let with_pods = !pod.near.is_empty() || !pod.apart.is_empty();
        let observed = Observed { pod, nodes: self.observe_nodes(with_pods) };
        let plan = scheduler::step(&observed);
        tracing::debug!(pod = %key, %plan, "planned");
        let mut outcome = Outcome::Waits;
        let has_none = plan.actions.iter().any(|action| matches!(action, Action::Unschedulable { .. }));
        let left = self.settled_at.saturating_sub(self.context.clock.elapsed());
        if has_none && !left.is_zero() {
            return Ok(Outcome::Later(left));
        }
        for action in &plan.actions {
            match action {
                Action::Bind { node } => {
                    self.bind(key, &facts, node).await?;
                    outcome = Outcome::Settled;
                }
                Action::SelectNode { claim, node } => {
                    self.select_node(&Key::new(&key.namespace, claim), node).await?;
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

    /// Says whether a Pod other than `key`, in the same namespace, has a node and uses the claim.
    fn is_taken(&self, key: &Key, claim: &str) -> bool {
        self.pods.all().into_iter().any(|(other, pod)| {
            other.namespace == key.namespace
                && other != *key
                && !pod.ended
                && pod.node.is_some()
                && pod.claims.iter().any(|name| name == claim)
        })
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

    /// Says on a claim where its volume is to be made.
    async fn select_node(&self, claim: &Key, node: &str) -> Result<(), ApiError> {
        let patch = json!({"metadata": {"annotations": {annotation::SELECTED_NODE: node}}});
        match self.claims.patch(claim, &Patch::Merge(patch)).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
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
