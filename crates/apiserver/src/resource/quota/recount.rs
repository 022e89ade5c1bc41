//! Counting anew what a namespace uses, after something changed that was not charged, or not rightly.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use machinery::quantity::{Format, Quantity};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Notify, OwnedRwLockReadGuard, RwLock};

use super::{Amounts, QUOTAS, add, measure, of_namespace, read, scope, write};
use crate::ApiServer;
use crate::cache::{Caches, ChangeKind, Entry};
use crate::registry::Collection;
use crate::resource::storage::{self, Intent};
use crate::server::WeakServer;

/// Changes that come within this time are counted together.
const GATHER: Duration = Duration::from_millis(100);

/// Namespaces in which something changed that quotas may have to know of.
#[derive(Debug, Default)]
pub(crate) struct Recount {
    namespaces: Mutex<BTreeSet<String>>,
    changed: Notify,
    /// Held by writes between their charge and the store, and alone by counting, which would take back a charge whose
    /// object it does not see yet.
    gate: Arc<RwLock<()>>,
}

/// A write that is charged and not yet stored.
pub(crate) type Charged = OwnedRwLockReadGuard<()>;

impl Recount {
    /// Begins a charge; counting waits until what is returned is gone.
    pub(super) async fn begin(&self) -> Charged {
        Arc::clone(&self.gate).read_owned().await
    }

    /// Notes a stored change of an object. `new` says that the object was not there before.
    pub(crate) fn note(
        &self,
        caches: &Caches,
        collection: &Collection,
        entry: &Entry,
        kind: ChangeKind,
        new: bool,
    ) {
        let core = |plurals: &[&str]| collection.group.is_empty() && plurals.contains(&&*collection.plural);
        let own = core(&["resourcequotas"]);
        // Other kinds only count by being there.
        let matters =
            own || new || kind == ChangeKind::Delete || core(&["pods", "services", "persistentvolumeclaims"]);
        let namespace = &*entry.key.namespace;
        if matters && (own || !of_namespace(caches, namespace).is_empty()) {
            self.namespaces.lock().insert(namespace.to_owned());
            self.changed.notify_one();
        }
    }
}

/// Keeps the status of all quotas right until the server is gone.
pub(crate) async fn run(server: WeakServer, recount: Arc<Recount>) {
    if let Some(server) = server.upgrade() {
        let _alone = recount.gate.write().await;
        for entry in server.caches().of(&QUOTAS).snapshot("").0 {
            renew(&server, &entry).await;
        }
    }
    loop {
        recount.changed.notified().await;
        let Some(clock) = server.upgrade().map(|server| Arc::clone(server.clock())) else { return };
        clock.sleep(GATHER).await;
        let Some(server) = server.upgrade() else { return };
        let namespaces = std::mem::take(&mut *recount.namespaces.lock());
        let _alone = recount.gate.write().await;
        for namespace in namespaces {
            for entry in of_namespace(server.caches(), &namespace) {
                renew(&server, &entry).await;
            }
        }
    }
}

/// Writes a quota's status if it is not right. A quota that changes meanwhile is noted, and comes up again.
async fn renew(server: &ApiServer, entry: &Entry) {
    let Ok(mut quota) = entry.parse() else { return };
    let status = count(server, &quota);
    if quota["status"] == status {
        return;
    }
    quota["status"] = status;
    // A conflict means that the quota was written, which is noted; a store that fails says so itself.
    let _ = storage::commit(server, &QUOTAS, &entry.key, Some(entry.revision), Intent::Put(&quota)).await;
}

/// Returns the status of a quota: its limits, and what is used of them.
pub(super) fn count(server: &ApiServer, quota: &Value) -> Value {
    let namespace = quota["metadata"]["namespace"].as_str().unwrap_or_default();
    let hard = read(&quota["spec"]["hard"]);
    let zero = Quantity::new(0, Format::Decimal);
    let mut used: Amounts = hard.keys().map(|name| (name.clone(), zero)).collect();
    let mut of_collections: BTreeMap<(Box<str>, Box<str>), Vec<&String>> = BTreeMap::new();
    for name in hard.keys() {
        let Collection { group, plural } = measure::tracked(name);
        of_collections.entry((group, plural)).or_default().push(name);
    }
    let scoped = quota["spec"]["scopes"].is_array() || quota["spec"]["scopeSelector"].is_object();
    for ((group, plural), names) in of_collections {
        let collection = Collection { group, plural };
        let objects = server.caches().of(&collection).snapshot(namespace).0;
        if !scoped && names.iter().all(|name| measure::counts_only(name)) {
            for name in names {
                used.insert(name.clone(), Quantity::new(objects.len() as i64, Format::Decimal));
            }
            continue;
        }
        for object in objects.iter().filter_map(|entry| entry.parse().ok()) {
            if !scope::covers(quota, &collection, &object) {
                continue;
            }
            for (name, amount) in measure::usage(&collection, &object) {
                if hard.contains_key(&name) {
                    add(&mut used, name, amount);
                }
            }
        }
    }
    json!({"hard": quota["spec"]["hard"], "used": write(&used)})
}
