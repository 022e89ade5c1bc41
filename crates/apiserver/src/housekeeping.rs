//! Work that a server does by itself, now and then: Events go after an hour.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use store::List;

use crate::ApiServer;
use crate::registry::Collection;
use crate::resource::storage::{self, Intent};
use crate::server::WeakServer;

/// How long Events are kept.
const EVENT_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// How often old Events are looked for.
const EVERY: Duration = Duration::from_secs(300);

/// How many Events are looked at between two breaths.
const PAGE: usize = 256;

/// Keeps house until the server is gone.
pub(crate) async fn run(server: WeakServer) {
    loop {
        let Some(clock) = server.upgrade().map(|server| Arc::clone(server.clock())) else { return };
        clock.sleep(EVERY).await;
        let Some(server) = server.upgrade() else { return };
        remove_old_events(&server).await;
    }
}

/// Removes Events that nothing has happened to for an hour.
async fn remove_old_events(server: &ApiServer) {
    let collection = Collection::new("", "events");
    let Ok(oldest) = server.now().checked_sub(EVENT_LIFE) else { return };
    let mut after = None;
    loop {
        let list = List { prefix: storage::prefix(&collection, ""), after, limit: PAGE, at: None };
        let Ok(page) = server.store().list(&list).await else { return };
        for entry in &page.entries {
            let Ok(event) = serde_json::from_slice::<Value>(&entry.value) else { continue };
            if last_seen(&event).is_some_and(|seen| seen < oldest) {
                remove(server, &collection, entry).await;
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return,
        }
    }
}

/// When an Event happened last.
fn last_seen(event: &Value) -> Option<Timestamp> {
    let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    times.iter().find_map(|pointer| event.pointer(pointer)?.as_str()?.parse().ok())
}

async fn remove(server: &ApiServer, collection: &Collection, entry: &store::Entry) {
    let fields = server.caches().of(collection).fields();
    let Ok(last) = storage::from_store(collection, entry, &fields) else { return };
    // An Event that happened again meanwhile stays; a store that fails says so itself.
    let intent = Intent::Remove(&last);
    let _ = storage::commit(server, collection, &last.key, Some(entry.modified), intent).await;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_time_counts() {
        let event = json!({"metadata": {"creationTimestamp": "2024-01-01T00:00:00Z"}, "lastTimestamp": "2024-01-02T00:00:00Z", "eventTime": null});
        assert_eq!(last_seen(&event), "2024-01-02T00:00:00Z".parse().ok());
    }
}
