//! Follows owner references over all kinds of objects. Judgement: [`plan::gc`].
//!
//! The kinds are discovered; when definitions of custom resources come or go, the picture is built anew.

mod graph;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kube_ext::{
    Api, ApiError, Cache, Change, Context, Delete, Key, Owner, PartialObject, Patch, Propagation, Queue,
    Resource, Tasks, discover, resources, work,
};
use parking_lot::Mutex;
use plan::gc::{self, Action, FOREGROUND, Manner, ORPHAN, Observed, OwnerState};
use serde_json::json;
use tokio::sync::Notify;

use self::graph::{Facts, Graph, Place};

/// Kinds that are many, short-lived and never own or are owned.
const LEFT_OUT: [&str; 2] = ["Event", "Lease"];
/// How long a change of definitions is given to settle.
const SETTLE: Duration = Duration::from_millis(200);

struct Collector {
    context: Context,
    kinds: Vec<Resource>,
    graph: Mutex<Graph>,
}

/// Adds the collector to `tasks`.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let changed = Arc::new(Notify::new());
    let notify = Arc::clone(&changed);
    let definitions = Api::<PartialObject>::of(&context.client, resources::CUSTOM_RESOURCE_DEFINITION);
    let definitions = Cache::builder(definitions, |object| Some(object.metadata.uid))
        .on_change(move |_| notify.notify_one())
        .start(context, tasks);
    let context = context.clone();
    tasks.add(async move {
        definitions.synced().await;
        loop {
            let mut round = Tasks::new();
            match prepare(&context, &mut round).await {
                Ok(()) => round.run(changed.notified()).await,
                Err(error) => tracing::warn!(%error, "cannot find out which kinds there are"),
            }
            context.clock.sleep(SETTLE).await;
        }
    });
}

/// Builds caches of all kinds and the worker on top of them.
async fn prepare(context: &Context, tasks: &mut Tasks) -> Result<(), ApiError> {
    let mut kinds = discover(&context.client, &["list", "watch", "delete"]).await?;
    kinds.retain(|kind| !LEFT_OUT.contains(&&*kind.kind));
    let collector =
        Arc::new(Collector { context: context.clone(), kinds: kinds.clone(), graph: Mutex::default() });
    let queue: Queue<String> = Queue::new(context.clock.clone());
    let mut synced = Vec::new();
    for (number, kind) in kinds.into_iter().enumerate() {
        let (graph, ready) = (Arc::clone(&collector), queue.clone());
        let cache =
            Cache::builder(Api::<PartialObject>::of(&context.client, kind), |object| Some(facts(object)))
                .on_change(move |change| graph.note(number, change, &ready))
                .start(context, tasks);
        synced.push(cache);
    }
    tasks.add(async move {
        for cache in &synced {
            pin!(cache.synced()).await;
        }
        work(queue, 4, |uid| {
            let collector = Arc::clone(&collector);
            async move { collector.reconcile(&uid).await }
        })
        .await;
    });
    Ok(())
}

fn facts(object: PartialObject) -> Facts {
    let meta = object.metadata;
    let has = |name: &str| meta.finalizers.iter().any(|finalizer| finalizer == name);
    Facts {
        deleting: meta.is_deleting(),
        foreground: has(FOREGROUND),
        orphan: has(ORPHAN),
        uid: meta.uid.clone(),
        owners: meta.owner_references,
    }
}

impl Collector {
    /// Takes a change in and calls for a look at the object, its owners and its dependents.
    fn note(&self, kind: usize, change: &Change<Facts>, queue: &Queue<String>) {
        let mut graph = self.graph.lock();
        match change {
            Change::Applied { key, before, after } => {
                if let Some(before) = before.as_ref().filter(|before| before.uid != after.uid) {
                    graph.remove(&before.uid);
                    graph.dependents_of(&before.uid).into_iter().for_each(|uid| queue.add(uid));
                }
                graph.insert((kind, key.clone()), (**after).clone());
                if after.deleting || !after.owners.is_empty() {
                    queue.add(after.uid.clone());
                }
                if after.deleting {
                    graph.dependents_of(&after.uid).into_iter().for_each(|uid| queue.add(uid));
                }
            }
            Change::Removed { before, .. } => {
                graph.remove(&before.uid);
                graph.dependents_of(&before.uid).into_iter().for_each(|uid| queue.add(uid));
            }
        }
        for side in change.sides() {
            for owner in &side.owners {
                queue.add(owner.uid.clone());
            }
        }
    }

    async fn reconcile(&self, uid: &str) -> Result<Option<Duration>, ApiError> {
        let known = self.graph.lock().get(uid).cloned();
        let Some((place, facts)) = known else { return Ok(None) };
        let mut owners = Vec::new();
        for owner in &facts.owners {
            owners.push(gc::Owner { uid: owner.uid.clone(), state: self.look_up(owner, &place.1).await? });
        }
        let observed = Observed {
            deleting: facts.deleting,
            foreground: facts.foreground,
            orphan: facts.orphan,
            owners,
            dependents: self.graph.lock().describe_dependents(uid),
        };
        for action in gc::step(&observed) {
            tracing::debug!(kind = %self.kinds[place.0].kind, object = %place.1, %action, "planned");
            match self.perform(uid, &place, &action).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Finds out about an owner. Absence is never believed of the graph alone: the server is asked.
    async fn look_up(&self, owner: &Owner, dependent: &Key) -> Result<OwnerState, ApiError> {
        if let Some((_, facts)) = self.graph.lock().get(&owner.uid) {
            let waits = facts.deleting && facts.foreground;
            return Ok(if waits { OwnerState::WaitsForOwned } else { OwnerState::Present });
        }
        let kind =
            self.kinds.iter().find(|kind| kind.api_version() == owner.api_version && kind.kind == owner.kind);
        // A kind (or version) that is not served here may be served again; nothing is deleted on a guess.
        let Some(kind) = kind else { return Ok(OwnerState::Present) };
        let namespace = if kind.namespaced { dependent.namespace.clone() } else { String::new() };
        let api = Api::<PartialObject>::of(&self.context.client, kind.clone());
        let found = api.find(&Key::new(namespace, owner.name.clone())).await?;
        let same = found.is_some_and(|object| object.metadata.uid == owner.uid);
        Ok(if same { OwnerState::Present } else { OwnerState::Absent })
    }

    async fn perform(&self, uid: &str, place: &Place, action: &Action) -> Result<(), ApiError> {
        let api = self.api(place.0);
        match action {
            Action::Delete(manner) => {
                let propagation = match manner {
                    Manner::Background => Propagation::Background,
                    Manner::Foreground => Propagation::Foreground,
                };
                let how = Delete { propagation: Some(propagation), ..Delete::only(uid) };
                api.delete(&place.1, &how).await
            }
            Action::DropOwners(owners) => self.drop_owners(place, uid, owners).await,
            Action::Release { uid: dependent } => {
                let found = self.graph.lock().get(dependent).map(|(place, _)| place.clone());
                match found {
                    Some(place) => self.drop_owners(&place, dependent, &[uid.to_owned()]).await,
                    None => Ok(()),
                }
            }
            Action::RemoveFinalizer(name) => {
                let object = api.get(&place.1).await?;
                if object.metadata.uid != uid {
                    return Ok(());
                }
                let mut finalizers = object.metadata.finalizers;
                finalizers.retain(|finalizer| finalizer != name);
                let patch = json!({"metadata": {
                    "resourceVersion": object.metadata.resource_version,
                    "finalizers": finalizers,
                }});
                api.patch(&place.1, &Patch::Merge(patch)).await.map(drop)
            }
        }
    }

    async fn drop_owners(&self, place: &Place, uid: &str, owners: &[String]) -> Result<(), ApiError> {
        let api = self.api(place.0);
        let object = match api.get(&place.1).await {
            Err(error) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        if object.metadata.uid != uid {
            return Ok(());
        }
        let mut left = object.metadata.owner_references;
        left.retain(|owner| !owners.contains(&owner.uid));
        let patch = json!({"metadata": {
            "resourceVersion": object.metadata.resource_version,
            "ownerReferences": left,
        }});
        api.patch(&place.1, &Patch::Merge(patch)).await.map(drop)
    }

    fn api(&self, kind: usize) -> Api<PartialObject> {
        Api::of(&self.context.client, self.kinds[kind].clone())
    }
}
