//! The store in memory: no threads, no files, the same answers every time.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch::{Receiver, Sender, channel};

use crate::watch::{Batch, Feed};
use crate::{
    Change, Committed, Entry, Error, Event, Expected, List, Page, Result, Revision, Store, Then, Watch, Write,
};

/// A [`Store`] that lives and dies with the process. Cloning shares it.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    log: Arc<Log>,
    latest: Receiver<Revision>,
}

#[derive(Debug)]
struct Log {
    state: Mutex<State>,
    publish: Sender<Revision>,
}

#[derive(Debug, Default)]
struct State {
    current: BTreeMap<Arc<str>, Entry>,
    history: BTreeMap<Revision, Event>,
    revision: Revision,
    floor: Revision,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// Opens an empty store. It keeps its whole history until [`compact`](Store::compact) is called.
    pub fn new() -> Self {
        let (publish, latest) = channel(0);
        Self { log: Arc::new(Log { state: Mutex::default(), publish }), latest }
    }
}

impl State {
    fn check(&self, revision: Revision) -> Result<()> {
        if revision < self.floor {
            return Err(Error::Compacted { requested: revision, floor: self.floor });
        }
        if revision > self.revision {
            return Err(Error::Future { requested: revision, current: self.revision });
        }
        Ok(())
    }

    fn commit(&mut self, write: Write) -> Result<Committed> {
        let previous = self.current.get(&write.key).cloned();
        if !holds(&write, previous.as_ref()) {
            return Err(Error::Conflict {
                key: write.key,
                expected: write.expected,
                actual: previous.map(Box::new),
            });
        }
        self.revision += 1;
        let revision = self.revision;
        let current = match write.change {
            Change::Put(value) => Some(Entry {
                key: Arc::clone(&write.key),
                value,
                created: previous.as_ref().map_or(revision, |entry| entry.created),
                modified: revision,
            }),
            Change::Delete => None,
        };
        match &current {
            Some(entry) => self.current.insert(Arc::clone(&write.key), entry.clone()),
            None => self.current.remove(&write.key),
        };
        let event = Event { revision, key: write.key, current, previous: previous.clone() };
        self.history.insert(revision, event);
        Ok(Committed { revision, previous })
    }

    /// Rebuilds the state of `revision` by undoing the changes after it.
    fn as_of(&self, revision: Revision) -> BTreeMap<Arc<str>, Entry> {
        let mut state = self.current.clone();
        for event in self.history.range(revision + 1..).rev().map(|(_, event)| event) {
            match &event.previous {
                Some(entry) => state.insert(Arc::clone(&event.key), entry.clone()),
                None => state.remove(&event.key),
            };
        }
        state
    }
}

/// Says whether the expectation of `write` holds for what is there.
pub(crate) fn holds(write: &Write, actual: Option<&Entry>) -> bool {
    match write.expected {
        Expected::Any => actual.is_some() || write.change != Change::Delete,
        Expected::Absent => actual.is_none() && write.change != Change::Delete,
        Expected::Revision(revision) => actual.is_some_and(|entry| entry.modified == revision),
    }
}

/// Cuts one page out of a complete state.
fn page(state: &BTreeMap<Arc<str>, Entry>, list: &List, revision: Revision) -> Page {
    let from = match &list.after {
        Some(after) if after.as_str() >= list.prefix.as_str() => Bound::Excluded(after.as_str()),
        _ => Bound::Included(list.prefix.as_str()),
    };
    let mut rest = state
        .range::<str, _>((from, Bound::Unbounded))
        .take_while(|(key, _)| key.starts_with(&list.prefix))
        .map(|(_, entry)| entry);
    let limit = if list.limit == 0 { usize::MAX } else { list.limit };
    let entries: Vec<Entry> = rest.by_ref().take(limit).cloned().collect();
    let remaining = rest.count() as u64;
    let next = entries.last().filter(|_| remaining > 0).map(|entry| entry.key.to_string());
    Page { entries, revision, next, remaining }
}

#[async_trait::async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        Ok(self.log.state.lock().current.get(key).cloned())
    }

    async fn list(&self, list: &List) -> Result<Page> {
        let state = self.log.state.lock();
        match list.at {
            None => Ok(page(&state.current, list, state.revision)),
            Some(at) => {
                state.check(at)?;
                Ok(page(&state.as_of(at), list, at))
            }
        }
    }

    fn submit(&self, write: Write, then: Then) {
        let mut state = self.log.state.lock();
        let outcome = state.commit(write);
        if let Ok(committed) = &outcome {
            self.log.publish.send_replace(committed.revision);
        }
        // The next change waits until this one is handed over.
        then(outcome);
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch> {
        self.log.state.lock().check(after)?;
        let feed: Arc<dyn Feed> = Arc::<Log>::clone(&self.log);
        Ok(Watch::new(feed, prefix, after, self.latest.clone()))
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        let mut state = self.log.state.lock();
        if revision > state.revision {
            return Err(Error::Future { requested: revision, current: state.revision });
        }
        if revision > state.floor {
            state.floor = revision;
            state.history = state.history.split_off(&(revision + 1));
        }
        Ok(())
    }

    fn revision(&self) -> Revision {
        self.log.state.lock().revision
    }
}

#[async_trait::async_trait]
impl Feed for Log {
    async fn read(&self, prefix: &str, after: Revision, limit: usize) -> Result<Batch> {
        let state = self.state.lock();
        state.check(after)?;
        let matching = state.history.range(after + 1..).map(|(_, event)| event);
        let events: Vec<Event> =
            matching.filter(|event| event.key.starts_with(prefix)).take(limit).cloned().collect();
        let full = events.len() == limit;
        let through = events.last().filter(|_| full).map_or(state.revision, |event| event.revision);
        Ok(Batch { events, through })
    }
}
