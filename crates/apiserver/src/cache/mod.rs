//! The watch cache: what the store holds, in memory, and what changed lately.
//!
//! Reads and watches are served from here. One [`Collection`](crate::registry::Collection) has one [`Cache`]; the store hands
//! all changes to [`Caches::apply`] in the order of their revisions.

mod entry;
mod history;
mod list;
mod signal;
mod skim;
mod watcher;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use self::signal::Signal;
use parking_lot::{Mutex, RwLock};

pub use entry::{Entry, Facets, ObjectKey, field, stored_bytes, without_revision};
pub use history::{Change, ChangeKind};
pub use list::{Part, Selection};
pub use watcher::{Expired, Watcher};

use crate::registry::Collection;
use history::History;

/// The caches of all collections.
#[derive(Debug)]
pub struct Caches {
    caches: RwLock<HashMap<Collection, Arc<Cache>>>,
    applied: Arc<Signal>,
}

/// Objects that tell how large objects of their kind are.
const SAMPLE: usize = 64;

impl Default for Caches {
    fn default() -> Self {
        Self { caches: RwLock::default(), applied: Arc::new(Signal::new(0)) }
    }
}

impl Caches {
    /// Returns the cache of a collection, made when it is first asked for.
    pub fn of(&self, collection: &Collection) -> Arc<Cache> {
        if let Some(cache) = self.caches.read().get(collection) {
            return Arc::clone(cache);
        }
        let mut caches = self.caches.write();
        let made = caches.entry(collection.clone()).or_insert_with(|| {
            // A cache that comes late has seen nothing, but nothing was there to see either.
            Arc::new(Cache::new(collection, self.applied.get(), Arc::clone(&self.applied)))
        });
        Arc::clone(made)
    }

    /// Counts the objects of each collection, ordered by name.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let caches = self.caches.read();
        caches.iter().map(|(collection, cache)| (collection.to_string(), cache.len())).collect()
    }

    /// Forgets the cache of a collection whose kind is gone. Its watchers end.
    pub fn remove(&self, collection: &Collection) {
        if let Some(cache) = self.caches.write().remove(collection) {
            cache.close();
        }
    }

    /// Fills the caches at start, before any change is applied.
    pub fn load(&self, collections: impl IntoIterator<Item = (Collection, Vec<Arc<Entry>>)>, revision: u64) {
        self.applied.set(revision);
        // Kinds are made known before there is anything in them. Their caches have seen none of what is loaded now happen:
        // who watches from an earlier revision has to list again.
        for cache in self.caches.read().values() {
            cache.state.write().history = History::new(revision);
            cache.changed.set(revision);
        }
        for (collection, entries) in collections {
            let objects = entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
            self.of(&collection).state.write().objects = objects;
        }
    }

    /// Applies a committed change. Each is applied once, after those of all earlier revisions.
    pub fn apply(&self, collection: &Collection, change: Change) {
        let revision = change.entry.revision;
        self.of(collection).apply(change);
        self.applied.set(revision);
    }

    /// Returns the revision up to which all changes are applied.
    pub fn applied(&self) -> u64 {
        self.applied.get()
    }

    /// Waits until all changes up to `revision` are applied.
    pub async fn wait_for(&self, revision: u64) {
        loop {
            let seen = self.applied.version();
            if self.applied.get() >= revision {
                return;
            }
            self.applied.beyond(seen).await;
        }
    }
}

/// One collection in memory.
#[derive(Debug)]
pub struct Cache {
    state: RwLock<State>,
    changed: Signal,
    applied: Arc<Signal>,
    keeps_objects: bool,
    fields: RwLock<Arc<[Box<str>]>>,
    /// The schema that the objects held are in the form of.
    settled: Mutex<String>,
}

#[derive(Debug)]
struct State {
    objects: BTreeMap<ObjectKey, Arc<Entry>>,
    history: History,
    closed: bool,
}

impl Cache {
    fn new(collection: &Collection, floor: u64, applied: Arc<Signal>) -> Self {
        Self {
            state: RwLock::new(State {
                objects: BTreeMap::new(),
                history: History::new(floor),
                closed: false,
            }),
            changed: Signal::new(floor),
            applied,
            keeps_objects: keeps_objects(collection),
            fields: RwLock::new(selectable_fields(collection)),
            settled: Mutex::default(),
        }
    }

    /// Returns whether objects are held here; if not, lists read the store.
    pub fn keeps_objects(&self) -> bool {
        self.keeps_objects
    }

    /// Returns the paths whose values the facets of this collection's objects hold, in order.
    pub fn fields(&self) -> Arc<[Box<str>]> {
        Arc::clone(&self.fields.read())
    }

    /// Changes which fields selectors may name, and reads them from the objects held.
    pub fn set_fields(&self, fields: Arc<[Box<str>]>) {
        let mut state = self.state.write();
        let mut current = self.fields.write();
        if *current == fields {
            return;
        }
        for entry in state.objects.values_mut() {
            if let Ok(facets) = Facets::read(&entry.bytes, &fields) {
                let facets = facets.share();
                *entry = Arc::new(Entry { facets, ..Entry::clone(entry) });
            }
        }
        *current = fields;
    }

    /// Shows the objects held in the form of the schema `mark`, which `form` brings an object into as it was written (none:
    /// shown as written). They keep their revisions: nobody wrote them.
    pub fn settle(&self, mark: String, form: impl Fn(serde_json::Value) -> Option<serde_json::Value>) {
        let mut known = self.settled.lock();
        if *known == mark {
            return;
        }
        let mut state = self.state.write();
        let fields = self.fields();
        for entry in state.objects.values_mut() {
            let Ok(written) = entry.parse_written() else { continue };
            let shown = form(written.clone()).unwrap_or(written);
            let facets = Facets::of(&shown, &fields).share();
            let shown = entry.in_form(&shown, facets);
            if shown.bytes != entry.bytes {
                *entry = Arc::new(shown);
            }
        }
        *known = mark;
    }

    /// Returns an object.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Entry>> {
        self.state.read().objects.get(key).map(Arc::clone)
    }

    /// Returns all objects of a namespace (of all, when it is empty), ordered by key, and the revision of this state.
    pub fn snapshot(&self, namespace: &str) -> (Vec<Arc<Entry>>, u64) {
        let state = self.state.read();
        let entries = state.range(namespace).map(Arc::clone).collect();
        // Changes are applied in order, so all up to the newest of this collection are in.
        let revision = self.applied.get().max(state.history.latest());
        (entries, revision)
    }

    /// Returns the revision of the latest change of this collection; it grows with every change.
    pub fn changed(&self) -> u64 {
        self.changed.get()
    }

    /// Counts the objects held.
    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    /// Returns about how many bytes an object has, by some of those held; nothing if none is.
    pub fn mean_size(&self) -> Option<usize> {
        let state = self.state.read();
        let sizes = state.objects.values().take(SAMPLE).map(|entry| entry.bytes.len());
        let (count, sum) = sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
        (count > 0).then(|| sum / count)
    }

    /// Returns whether no object is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn apply(&self, mut change: Change) {
        let revision = change.entry.revision;
        let mut state = self.state.write();
        if self.keeps_objects {
            let entry = Arc::clone(&change.entry);
            let previous = match change.kind {
                ChangeKind::Put => state.objects.insert(entry.key.clone(), entry),
                ChangeKind::Delete => state.objects.remove(&entry.key),
            };
            change.previous = previous.map(|entry| Arc::clone(&entry.facets));
        }
        state.history.push(change);
        drop(state);
        self.changed.set(revision);
    }

    fn close(&self) {
        self.state.write().closed = true;
        let latest = self.changed.get();
        self.changed.set(latest);
    }
}

impl State {
    /// Returns the objects of a namespace (of all, when it is empty), in order.
    fn range(&self, namespace: &str) -> impl Iterator<Item = &Arc<Entry>> {
        self.behind(namespace, None).map(|(_, entry)| entry)
    }

    /// Returns those of them that stand behind `after`.
    fn behind<'a>(
        &'a self,
        namespace: &str,
        after: Option<&ObjectKey>,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Arc<Entry>)> + use<'a> {
        let all = namespace.is_empty();
        let first = ObjectKey::new(namespace, "");
        let namespace = Arc::clone(&first.namespace);
        let start = match after {
            Some(after) if *after >= first => Bound::Excluded(after.clone()),
            _ => Bound::Included(first),
        };
        self.objects
            .range((start, Bound::Unbounded))
            .take_while(move |(key, _)| all || key.namespace == namespace)
    }
}

/// Events come in numbers and are seldom read: they stay in the store.
pub fn keeps_objects(collection: &Collection) -> bool {
    !(collection.group.is_empty() && &*collection.plural == "events")
}

/// Fields of built-in kinds that field selectors may name, besides `metadata.name` and `metadata.namespace`.
pub fn selectable_fields(collection: &Collection) -> Arc<[Box<str>]> {
    let fields: &[&str] = match (&*collection.group, &*collection.plural) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "events") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("", "namespaces") => &["status.phase"],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "replicationcontrollers") | ("apps", "replicasets") => &["status.replicas"],
        ("", "secrets") => &["type"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("batch", "jobs") => &["status.successful"],
        ("certificates.k8s.io", "certificatesigningrequests") => &["spec.signerName"],
        ("resource.k8s.io", "resourceslices") => &["spec.nodeName", "spec.driver"],
        _ => &[],
    };
    fields.iter().map(|field| (*field).into()).collect()
}
