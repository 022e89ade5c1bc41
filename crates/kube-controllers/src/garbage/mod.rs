//! Follows owner references over all kinds of objects. Judgement: [`plan::gc`].
//!
//! The kinds are discovered; when definitions of custom resources or aggregated APIs come or go, the picture is built anew.
//! Of the one before, it keeps the owners that were seen to go: their kind may have gone with them.

mod graph;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube_ext::{
    Api, ApiError, Cache, Context, Delete, Event, Key, Kind as _, Meta, Owner, PartialObject, Patch,
    Propagation, Queue, Resource, Select, Tasks, discover, follow, resources, work,
};
use parking_lot::Mutex;
use plan::gc::{self, Action, FOREGROUND, Manner, ORPHAN, Observed, OwnerState};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::sync::{Notify, mpsc};

use self::graph::{Facts, Graph, Place};
use crate::namespace::full_name;

/// Kinds that are many, short-lived and never own or are owned.
const LEFT_OUT: [&str; 2] = ["Event", "Lease"];
/// How long a change of definitions is given to settle.
const SETTLE: Duration = Duration::from_millis(200);
/// How long an aggregated API is given to list its objects before the work on everybody else's begins.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Deserialize)]
struct ApiServiceView {
    metadata: Meta,
    spec: ApiServiceSpec,
}

#[derive(Clone, Debug, Deserialize)]
struct ApiServiceSpec {
    #[serde(default)]
    group: String,
    version: String,
    service: Option<IgnoredAny>,
}

kube_ext::view!(ApiServiceView => resources::API_SERVICE);

/// Groups with their versions that other programs serve.
type Aggregated = Cache<(String, String)>;

struct Collector {
    context: Context,
    kinds: Vec<Resource>,
    graph: Arc<Mutex<Graph>>,
}

/// Adds the collector to `tasks`.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let changed = Arc::new(Notify::new());
    let notify = Arc::clone(&changed);
    let definitions = Api::<PartialObject>::of(&context.client, resources::CUSTOM_RESOURCE_DEFINITION);
    let definitions = Cache::builder(definitions, |object| Some(object.metadata.uid))
        .on_change(move |_| notify.notify_one())
        .start(context, tasks);
    let notify = Arc::clone(&changed);
    let aggregated: Aggregated = Cache::builder(Api::<ApiServiceView>::new(&context.client), |view| {
        view.spec.service.map(|_| (view.spec.group, view.spec.version))
    })
    .on_change(move |_| notify.notify_one())
    .start(context, tasks);
    let context = context.clone();
    tasks.add(async move {
        definitions.synced().await;
        aggregated.synced().await;
        // What the first lists have shown is no change.
        tokio::select! {
            biased;
            () = changed.notified() => context.clock.sleep(SETTLE).await,
            () = std::future::ready(()) => {}
        }
        let graph = Arc::default();
        loop {
            let mut round = Tasks::new();
            match prepare(&context, &aggregated, &graph, &mut round).await {
                // While the change settles, what goes with a kind is still heard of.
                Ok(()) => {
                    let settled = async {
                        changed.notified().await;
                        context.clock.sleep(SETTLE).await;
                    };
                    round.run(settled).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot find out which kinds there are");
                    context.clock.sleep(SETTLE).await;
                }
            }
        }
    });
}

/// Follows all kinds, and does the work once all of them are known. One that somebody else serves is not waited for without
/// end: an API that refuses to list would keep everything that anybody has left behind.
async fn prepare(
    context: &Context,
    aggregated: &Aggregated,
    graph: &Arc<Mutex<Graph>>,
    tasks: &mut Tasks,
) -> Result<(), ApiError> {
    let discovered = discover(&context.client, &["list", "watch", "delete"]).await?;
    for (group, error) in discovered.unknown {
        tracing::warn!(group, %error, "what depends on objects of this group, or owns them, is not collected");
    }
    let mut kinds = discovered.resources;
    kinds.retain(|kind| !LEFT_OUT.contains(&&*kind.kind));
    let aggregated = aggregated.all();
    let is_foreign =
        |kind: &Resource| aggregated.iter().any(|(_, of)| *of.0 == *kind.group && *of.1 == *kind.version);
    let (mut foreign, mut own): (BTreeSet<usize>, BTreeSet<usize>) =
        (0..kinds.len()).partition(|number| is_foreign(&kinds[*number]));
    graph.lock().begin_anew();
    let graph = Arc::clone(graph);
    let collector = Arc::new(Collector { context: context.clone(), kinds: kinds.clone(), graph });
    let queue: Queue<String> = Queue::new(context.clock.clone());
    let (listed, mut lists) = mpsc::unbounded_channel();
    for (number, kind) in kinds.into_iter().enumerate() {
        let (collector, ready, listed) = (Arc::clone(&collector), queue.clone(), listed.clone());
        let api = Api::<PartialObject>::of(&context.client, kind);
        tasks.add(async move {
            let clock = Arc::clone(&collector.context.clock);
            let mut list = None;
            let mut first = Some(listed);
            follow(&api, &Select::default(), &*clock, |event| {
                collector.note(number, event, &mut list, &mut first, &ready);
            })
            .await;
        });
    }
    tasks.add(async move {
        let mut patience = std::pin::pin!(collector.context.clock.sleep(PATIENCE));
        let mut is_patient = true;
        while !own.is_empty() || (is_patient && !foreign.is_empty()) {
            tokio::select! {
                biased;
                Some(number) = lists.recv() => {
                    own.remove(&number);
                    foreign.remove(&number);
                }
                () = &mut patience, if is_patient => is_patient = false,
            }
        }
        for number in foreign {
            let kind = full_name(&collector.kinds[number]);
            tracing::warn!(
                kind,
                "an aggregated API does not list them: none of them is collected until it does"
            );
        }
        collector.graph.lock().complete();
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
    /// Takes news of a kind in. `list` is what the list in progress has shown; `first` hears of the first one's end.
    fn note(
        &self,
        kind: usize,
        event: Event<PartialObject>,
        list: &mut Option<BTreeSet<String>>,
        first: &mut Option<mpsc::UnboundedSender<usize>>,
        queue: &Queue<String>,
    ) {
        match event {
            Event::Restarted => {
                if first.is_some() {
                    // The first list may have broken off before.
                    self.graph.lock().keep_only(kind, &BTreeSet::new());
                }
                *list = Some(BTreeSet::new());
            }
            Event::Found(object) => {
                // Nothing is known yet that the first list could fail to show.
                if let Some(list) = list.as_mut().filter(|_| first.is_none()) {
                    list.insert(object.metadata.uid.clone());
                }
                self.applied(kind, object, queue);
            }
            Event::Applied(object) => self.applied(kind, object, queue),
            Event::Removed(object) => self.removed(kind, &facts(object), queue),
            Event::Listed(_) => {
                if let Some(first) = first.take() {
                    // Whoever waits for it may have gone.
                    let _ = first.send(kind);
                    return;
                }
                let mut graph = self.graph.lock();
                graph.keep_only(kind, &list.take().unwrap_or_default());
                // Their owners may be among what went unseen.
                graph.owned().into_iter().for_each(|uid| queue.add(uid));
            }
            Event::Progress(_) | Event::Rewound => {}
        }
    }

    /// Takes an object in and calls for a look at it, its owners and its dependents, if there is something new.
    fn applied(&self, kind: usize, object: PartialObject, queue: &Queue<String>) {
        let (key, after) = (object.key(), facts(object));
        let mut graph = self.graph.lock();
        let before = graph.get(&after.uid).map(|(_, facts)| facts.owners.clone()).unwrap_or_default();
        if !graph.insert((kind, key), after.clone()) {
            return;
        }
        if after.deleting || !after.owners.is_empty() {
            queue.add(after.uid.clone());
        }
        if after.deleting {
            graph.dependents_of(&after.uid).into_iter().for_each(|uid| queue.add(uid));
        }
        before.into_iter().chain(after.owners).for_each(|owner| queue.add(owner.uid));
    }

    /// Takes an object out and calls for a look at its owners and its dependents.
    fn removed(&self, kind: usize, last: &Facts, queue: &Queue<String>) {
        let mut graph = self.graph.lock();
        graph.bury(kind, &self.kinds[kind], &last.uid);
        graph.dependents_of(&last.uid).into_iter().for_each(|uid| queue.add(uid));
        last.owners.iter().for_each(|owner| queue.add(owner.uid.clone()));
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
            match self.perform(&place, &facts, &action).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Finds out about an owner. That the graph does not know it is no absence: it was seen to go, or the server is asked.
    async fn look_up(&self, owner: &Owner, dependent: &Key) -> Result<OwnerState, ApiError> {
        {
            let graph = self.graph.lock();
            if let Some((_, facts)) = graph.get(&owner.uid) {
                let waits = facts.deleting && facts.foreground;
                return Ok(if waits { OwnerState::WaitsForOwned } else { OwnerState::Present });
            }
            if graph.has_plain(&owner.uid) {
                return Ok(OwnerState::Present);
            }
            if graph.is_gone(owner) {
                return Ok(OwnerState::Absent);
            }
        }
        let kind =
            self.kinds.iter().find(|kind| kind.api_version() == owner.api_version && kind.kind == owner.kind);
        // A kind (or version) that is not served here may be served again; nothing is deleted on a guess.
        let Some(kind) = kind else { return Ok(OwnerState::Present) };
        let namespace = if kind.namespaced { dependent.namespace.clone() } else { String::new() };
        let api = Api::<PartialObject>::of(&self.context.client, kind.clone());
        match api.get(&Key::new(namespace, owner.name.clone())).await {
            Ok(object) if object.metadata.uid == owner.uid => Ok(OwnerState::Present),
            Ok(_) => Ok(OwnerState::Absent),
            Err(error) if error.is_absent() => Ok(OwnerState::Absent),
            // That nobody serves the kind just now (its API may have died) says nothing of the owner.
            Err(error) if error.is_not_found() => Ok(OwnerState::Present),
            Err(error) => Err(error),
        }
    }

    async fn perform(&self, place: &Place, known: &Facts, action: &Action) -> Result<(), ApiError> {
        let (api, uid) = (self.api(place.0), known.uid.as_str());
        match action {
            Action::Delete(manner) => {
                let propagation = match manner {
                    Manner::Background => Propagation::Background,
                    Manner::Foreground => Propagation::Foreground,
                };
                let Some(object) = api.find(&place.1).await? else { return Ok(()) };
                let resource_version = Some(object.metadata.resource_version.clone());
                let now = facts(object);
                // An owner that went may have let it go before, in news that is still to come; they call for another look.
                if now.uid != known.uid || now.owners != known.owners {
                    return Ok(());
                }
                let propagation = Some(propagation);
                api.delete(&place.1, &Delete { propagation, resource_version, ..Delete::only(uid) }).await
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
