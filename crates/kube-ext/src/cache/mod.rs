//! A local picture of one resource, reduced to what its user needs.
//!
//! A [`Cache`] keeps a projection `P` of each object instead of the object. Changes that the projection does not
//! show are not told, so a heartbeat or a managed-fields update wakes nobody.
//!
//! Reads are as old as the watch. So that a controller does not act on a state from before its own write, the
//! answer of a write is put in with [`Cache::observe`]; revisions decide which of the two is newer. Kubernetes
//! guarantees since 1.35 that revisions of one resource can be compared as numbers.

mod state;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use tokio::sync::Notify;

pub use self::state::Change;
use self::state::{Indexer, Item, State};
use crate::{Api, Context, Event, Key, Kind, Select, Tasks, follow};

type Project<K, P> = Arc<dyn Fn(K) -> Option<P> + Send + Sync>;
type Listener<P> = Box<dyn Fn(&Change<P>) + Send + Sync>;

/// A shared, always ordered picture of one resource. Cheap to clone.
pub struct Cache<P> {
    shared: Arc<Shared<P>>,
}

struct Shared<P> {
    state: RwLock<State<P>>,
    index: Option<Indexer<P>>,
    listeners: Vec<Listener<P>>,
    synced: AtomicBool,
    /// Wakes who waits for the first list, in the order in which they began to wait.
    listed: Notify,
}

/// Describes a cache before it starts.
pub struct Builder<K, P> {
    api: Api<K>,
    select: Select,
    project: Project<K, P>,
    index: Option<Indexer<P>>,
    listeners: Vec<Listener<P>>,
}

impl<P: PartialEq + Send + Sync + 'static> Cache<P> {
    /// Begins to describe a cache of `K` that keeps `project(object)`, where that is something.
    pub fn builder<K: Kind>(
        api: Api<K>,
        project: impl Fn(K) -> Option<P> + Send + Sync + 'static,
    ) -> Builder<K, P> {
        Builder {
            api,
            select: Select::default(),
            project: Arc::new(project),
            index: None,
            listeners: Vec::new(),
        }
    }

    /// Returns what is known of an object.
    pub fn get(&self, key: &Key) -> Option<Arc<P>> {
        self.shared.state.read().items.get(key).map(|item| item.value.clone())
    }

    /// Returns what is known of an object and the revision that this is true for, for conditional writes. The
    /// revision may be newer than the last change of the projection.
    pub fn read(&self, key: &Key) -> Option<(Arc<P>, String)> {
        let state = self.shared.state.read();
        state.items.get(key).map(|item| (item.value.clone(), item.revision.to_string()))
    }

    /// Returns all objects in the order of their keys.
    pub fn all(&self) -> Vec<(Key, Arc<P>)> {
        self.shared.state.read().items.iter().map(|(key, item)| (key.clone(), item.value.clone())).collect()
    }

    /// Returns the objects of a namespace in the order of their names.
    pub fn in_namespace(&self, namespace: &str) -> Vec<(Key, Arc<P>)> {
        let state = self.shared.state.read();
        state
            .items
            .range(Key::first_of(namespace)..)
            .take_while(|(key, _)| key.namespace == namespace)
            .map(|(key, item)| (key.clone(), item.value.clone()))
            .collect()
    }

    /// Returns the objects whose index value is `value`, in the order of their keys.
    pub fn by_index(&self, value: &str) -> Vec<(Key, Arc<P>)> {
        let state = self.shared.state.read();
        let keys = state.by_index.get(value).into_iter().flatten();
        keys.filter_map(|key| Some((key.clone(), state.items.get(key)?.value.clone()))).collect()
    }

    /// Returns how many objects are known.
    pub fn len(&self) -> usize {
        self.shared.state.read().items.len()
    }

    /// Tells whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for the first list to be complete. Does not end when the cache's task was dropped before that.
    pub fn synced(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move {
            loop {
                let mut listed = std::pin::pin!(shared.listed.notified());
                // From here on the end of the list is not missed; what came before shows in the flag.
                listed.as_mut().enable();
                if shared.synced.load(Ordering::Acquire) {
                    return;
                }
                listed.await;
            }
        }
    }

    fn apply(&self, key: Key, revision: u64, value: Option<P>) {
        let change = self.shared.state.write().apply(key, revision, value, self.shared.index.as_ref());
        self.tell(change);
    }

    fn tell(&self, change: Option<Change<P>>) {
        if let Some(change) = change {
            for listener in &self.shared.listeners {
                listener(&change);
            }
        }
    }

    fn handle<K: Kind>(&self, event: Event<K>, project: &Project<K, P>) {
        match event {
            Event::Rewound => self.shared.state.write().rewind(),
            Event::Restarted => self.shared.state.write().listing = Some(BTreeSet::new()),
            Event::Found(object) => {
                let (key, revision) = (object.key(), number(object.resource_version()));
                if let Some(listing) = &mut self.shared.state.write().listing {
                    listing.insert(key.clone());
                }
                self.apply(key, revision, project(object));
            }
            Event::Listed(revision) => self.listed(number(&revision)),
            Event::Applied(object) => {
                let (key, revision) = (object.key(), number(object.resource_version()));
                self.shared.state.write().told = revision;
                self.apply(key, revision, project(object));
            }
            Event::Removed(object) => {
                let revision = number(object.resource_version());
                self.shared.state.write().told = revision;
                self.apply(object.key(), revision, None);
            }
            Event::Progress(revision) => self.shared.state.write().told = number(&revision),
        }
    }

    /// Ends a list: what it did not show is gone, unless we wrote it after the list was made.
    fn listed(&self, revision: u64) {
        let gone: Vec<Key> = {
            let mut state = self.shared.state.write();
            state.told = revision;
            let seen = state.listing.take().unwrap_or_default();
            let old = |item: &Item<P>| revision == 0 || item.revision <= revision;
            let items = state.items.iter().filter(|(key, item)| !seen.contains(*key) && old(item));
            items.map(|(key, _)| key.clone()).collect()
        };
        for key in gone {
            let change = self.shared.state.write().remove(key, self.shared.index.as_ref());
            self.tell(change);
        }
        self.shared.synced.store(true, Ordering::Release);
        self.shared.listed.notify_waiters();
    }
}

impl<P: PartialEq + Send + Sync + 'static> Cache<P> {
    /// Takes in the answer of a write, so that the next read shows it. The object's kind and the projection must
    /// be those of the cache.
    ///
    /// An answer that is older than what the watch has told is ignored; that way an object that was deleted in
    /// the meantime does not come back.
    pub fn observe(&self, key: Key, revision: &str, value: Option<P>) {
        let revision = number(revision);
        let change = {
            let mut state = self.shared.state.write();
            if !state.items.contains_key(&key) && revision <= state.told {
                return;
            }
            state.apply(key, revision, value, self.shared.index.as_ref())
        };
        self.tell(change);
    }
}

impl<K: Kind, P: PartialEq + Send + Sync + 'static> Builder<K, P> {
    /// Narrows the cache to what `select` matches.
    #[must_use]
    pub fn select(mut self, select: Select) -> Self {
        self.select = select;
        self
    }

    /// Makes objects findable by one value that their projection shows.
    #[must_use]
    pub fn index(mut self, index: impl Fn(&P) -> Option<String> + Send + Sync + 'static) -> Self {
        self.index = Some(Arc::new(index));
        self
    }

    /// Calls `listener` after every change. It must not block; putting keys into a queue is what it is for.
    #[must_use]
    pub fn on_change(mut self, listener: impl Fn(&Change<P>) + Send + Sync + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Adds the cache's task to `tasks` and returns the (still empty) cache.
    pub fn start(self, context: &Context, tasks: &mut Tasks) -> Cache<P> {
        let cache = Cache {
            shared: Arc::new(Shared {
                state: RwLock::new(State::new()),
                index: self.index,
                listeners: self.listeners,
                synced: AtomicBool::new(false),
                listed: Notify::new(),
            }),
        };
        let (clock, picture) = (Arc::clone(&context.clock), cache.clone());
        let (api, select, project) = (self.api, self.select, self.project);
        tasks.add(async move {
            follow(&api, &select, &*clock, |event| picture.handle(event, &project)).await;
        });
        cache
    }
}

impl<P> Clone for Cache<P> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<P> std::fmt::Debug for Cache<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.shared.state.read();
        f.debug_struct("Cache").field("objects", &state.items.len()).field("told", &state.told).finish()
    }
}

impl<K, P> std::fmt::Debug for Builder<K, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("api", &self.api)
            .field("select", &self.select)
            .finish_non_exhaustive()
    }
}

/// Reads a revision; zero (unknown) where a server's revisions are not numbers.
fn number(revision: &str) -> u64 {
    revision.parse().unwrap_or(0)
}
