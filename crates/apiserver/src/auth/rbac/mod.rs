//! Role-based access control: rules, who holds them, and what they allow.

mod cover;
mod policy;
mod rule;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::cache::{Caches, ObjectKey};
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
pub(super) struct PolicyCache(RwLock<Option<Built>>);

#[derive(Debug)]
struct Built {
    applied: u64,
    /// Revision of each role and binding that went in.
    parts: [HashMap<ObjectKey, u64>; 4],
    policy: Arc<Policy>,
}

impl PolicyCache {
    /// Returns the policy of what is applied now.
    pub(super) fn current(&self, caches: &Caches) -> Arc<Policy> {
        // Read before the objects: a change in between makes the next caller look again.
        let applied = caches.applied();
        if let Some(built) = &*self.0.read()
            && built.applied == applied
        {
            return Arc::clone(&built.policy);
        }
        let states = COLLECTIONS.map(|plural| caches.of(&Collection::new(GROUP, plural)).snapshot("").0);
        let mut slot = self.0.write();
        if let Some(built) = &mut *slot {
            let same = states.iter().zip(&built.parts).all(|(entries, known)| {
                entries.len() == known.len()
                    && entries
                        .iter()
                        .all(|entry| known.get(&entry.key) == Some(&entry.revision))
            });
            if same {
                built.applied = applied;
                return Arc::clone(&built.policy);
            }
        }
        let objects = states
            .each_ref()
            .map(|entries| entries.iter().filter_map(|entry| entry.parse().ok()).collect());
        let policy = Arc::new(Policy::new(&objects));
        let parts = states.map(|entries| {
            entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.revision))
                .collect()
        });
        *slot = Some(Built {
            applied,
            parts,
            policy: Arc::clone(&policy),
        });
        policy
    }
}
