//! The latest changes in memory, so that a watcher that keeps up never touches the disk.
//!
//! The bytes are those of the entries themselves; a watch cache that holds the same entries shares them.

use std::collections::VecDeque;

use parking_lot::RwLock;
use tokio::sync::watch::{Receiver, Sender, channel};

use crate::watch::Batch;
use crate::{Error, Event, Result, Revision};

/// How many changes stay in memory, and how many bytes of values at most.
const EVENTS: usize = 512;
const BYTES: usize = 512 << 10;

#[derive(Debug)]
pub(super) struct Recent {
    window: RwLock<Window>,
    publish: Sender<Revision>,
}

#[derive(Debug)]
struct Window {
    events: VecDeque<Event>,
    bytes: usize,
    /// Every change above this is in `events`.
    after: Revision,
    latest: Revision,
    floor: Revision,
}

impl Recent {
    pub(super) fn new(latest: Revision, floor: Revision) -> Self {
        let window = Window { events: VecDeque::new(), bytes: 0, after: latest, latest, floor };
        Self { window: RwLock::new(window), publish: channel(latest).0 }
    }

    pub(super) fn subscribe(&self) -> Receiver<Revision> {
        self.publish.subscribe()
    }

    pub(super) fn latest(&self) -> Revision {
        self.window.read().latest
    }

    pub(super) fn floor(&self) -> Revision {
        self.window.read().floor
    }

    /// Says whether the state at `revision` can be read.
    pub(super) fn check(&self, revision: Revision) -> Result<()> {
        self.window.read().check(revision)
    }

    /// Adds changes that are durable, then tells the watchers.
    pub(super) fn publish(&self, events: Vec<Event>) {
        let mut window = self.window.write();
        for event in events {
            window.latest = event.revision;
            window.bytes += size(&event);
            window.events.push_back(event);
        }
        while window.events.len() > EVENTS || window.bytes > BYTES {
            let Some(event) = window.events.pop_front() else {
                break;
            };
            window.bytes -= size(&event);
            window.after = event.revision;
        }
        let latest = window.latest;
        drop(window);
        self.publish.send_replace(latest);
    }

    pub(super) fn set_floor(&self, floor: Revision) {
        self.window.write().floor = floor;
    }

    /// Reads from the window, or returns nothing when it does not reach back that far.
    pub(super) fn read(&self, prefix: &str, after: Revision, limit: usize) -> Result<Option<Batch>> {
        let window = self.window.read();
        window.check(after)?;
        if after < window.after {
            return Ok(None);
        }
        let start = window.events.partition_point(|event| event.revision <= after);
        let matching = window.events.range(start..).filter(|event| event.key.starts_with(prefix));
        let events: Vec<Event> = matching.take(limit).cloned().collect();
        let full = events.len() == limit;
        let through = events.last().filter(|_| full).map_or(window.latest, |event| event.revision);
        Ok(Some(Batch { events, through }))
    }
}

impl Window {
    fn check(&self, revision: Revision) -> Result<()> {
        if revision < self.floor {
            return Err(Error::Compacted { requested: revision, floor: self.floor });
        }
        if revision > self.latest {
            return Err(Error::Future { requested: revision, current: self.latest });
        }
        Ok(())
    }
}

fn size(event: &Event) -> usize {
    let value = |entry: &Option<crate::Entry>| entry.as_ref().map_or(0, |entry| entry.value.len());
    value(&event.current) + value(&event.previous)
}
