//! Taints of nodes that follow their state. Judgement: [`plan::taints`].

use std::sync::Arc;
use std::time::Duration;

use kube_ext::{Api, ApiError, Cache, Context, Key, Meta, Patch, Queue, Tasks, resources, work};
use plan::condition::Condition;
use plan::taints::{self, EFFECT, Observed, Taint};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Clone, Debug, Deserialize)]
struct NodeView {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    unschedulable: bool,
    /// Whole: those of others are written back as they are.
    taints: Vec<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

kube_ext::view!(NodeView => resources::NODE);

fn observed(view: &NodeView) -> Observed {
    let text = |taint: &Value, field: &str| taint[field].as_str().unwrap_or_default().to_owned();
    Observed {
        ready: view
            .status
            .conditions
            .iter()
            .find(|condition| condition.kind == "Ready")
            .map(|condition| condition.status.clone()),
        cordoned: view.spec.unschedulable,
        lacks_memory: plan::condition::is_true(&view.status.conditions, "MemoryPressure"),
        taints: view
            .spec
            .taints
            .iter()
            .map(|taint| Taint { key: text(taint, "key"), effect: text(taint, "effect") })
            .collect(),
    }
}

/// Adds the controller to `tasks`.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue: Queue = Queue::new(context.clock.clone());
    let ready = queue.clone();
    let nodes = Cache::builder(Api::<NodeView>::new(&context.client), |view| Some(observed(&view)))
        .on_change(move |change| ready.add(change.key().clone()))
        .start(context, tasks);
    let (nodes, context) = (Arc::new(nodes), context.clone());
    tasks.add(async move {
        nodes.synced().await;
        work(queue, 1, |key| {
            let (nodes, context) = (Arc::clone(&nodes), context.clone());
            async move {
                match nodes.get(&key) {
                    Some(node) if !taints::step(&node).actions.is_empty() => reconcile(&context, &key).await,
                    _ => Ok(None),
                }
            }
        })
        .await;
    });
}

/// Writes the taints of one node, on the condition that nobody else does meanwhile: they are one list.
async fn reconcile(context: &Context, key: &Key) -> Result<Option<Duration>, ApiError> {
    let api = Api::<NodeView>::new(&context.client);
    let Some(view) = api.find(key).await? else { return Ok(None) };
    let plan = taints::step(&observed(&view));
    let Some(action) = plan.actions.first() else { return Ok(None) };
    let mut wanted = view.spec.taints.clone();
    wanted.retain(|taint| {
        taint["effect"] != EFFECT || !action.remove.iter().any(|removed| taint["key"] == **removed)
    });
    for added in &action.add {
        let mut taint = json!({"key": added, "effect": EFFECT});
        if *added != taints::NOT_READY {
            taint["timeAdded"] = json!(context.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        }
        wanted.push(taint);
    }
    let wanted = if wanted.is_empty() { Value::Null } else { json!(wanted) };
    let patch = json!({
        "metadata": {"resourceVersion": view.metadata.resource_version},
        "spec": {"taints": wanted},
    });
    match api.patch(key, &Patch::Merge(patch)).await {
        Err(error) if error.is_not_found() => Ok(None),
        other => other.map(|_| None),
    }
}
