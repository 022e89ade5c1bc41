//! Role-based access control: rules, who holds them, and what they allow.

mod cover;
mod policy;
mod rule;

use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use crate::cache::{Cache, Caches};
use crate::registry::Collection;

pub use cover::missing;
pub(super) use policy::rules_in as rules_of;
pub use policy::{Decision, Policy};
pub use rule::Rule;

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// The four collections that policy is made of.
const COLLECTIONS: [&str; 4] = ["clusterroles", "roles", "clusterrolebindings", "rolebindings"];

/// The policy of the latest state, kept until a role or binding changes.
#[derive(Debug, Default)]
pub(super) struct PolicyCache {
    sources: OnceLock<[Arc<Cache>; 4]>,
    built: RwLock<Option<Built>>,
}

#[derive(Debug)]
struct Built {
    /// What [`Cache::changed`] said of each source.
    changed: [u64; 4],
    policy: Arc<Policy>,
}

impl PolicyCache {
    /// Returns the policy of what is applied now.
    pub(super) fn current(&self, caches: &Caches) -> Arc<Policy> {
        let sources =
            self.sources.get_or_init(|| COLLECTIONS.map(|plural| caches.of(&Collection::new(GROUP, plural))));
        // Read before the objects: a change in between makes the next caller build again.
        let changed = sources.each_ref().map(|source| source.changed());
        if let Some(built) = &*self.built.read()
            && built.changed == changed
        {
            return Arc::clone(&built.policy);
        }
        let objects = sources.each_ref().map(|source| {
            let (entries, _) = source.snapshot("");
            entries.iter().filter_map(|entry| entry.parse().ok()).collect()
        });
        let policy = Arc::new(Policy::new(&objects));
        *self.built.write() = Some(Built { changed, policy: Arc::clone(&policy) });
        policy
    }
}
