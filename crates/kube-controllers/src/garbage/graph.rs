//! Who owns whom, over all kinds.

use std::collections::{BTreeMap, BTreeSet};

use kube_ext::{Key, Owner};
use plan::gc;

/// An object as the graph keeps it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Facts {
    pub(super) uid: String,
    pub(super) owners: Vec<Owner>,
    pub(super) deleting: bool,
    pub(super) foreground: bool,
    pub(super) orphan: bool,
}

/// Where an object is: the number of its resource, and its key.
pub(super) type Place = (usize, Key);

/// All objects by identity, and by the identities of their owners.
#[derive(Debug, Default)]
pub(super) struct Graph {
    objects: BTreeMap<String, (Place, Facts)>,
    dependents: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Puts an object in, in its newest state.
    pub(super) fn insert(&mut self, place: Place, facts: Facts) {
        if let Some((_, before)) = self.objects.get(&facts.uid) {
            let before = before.clone();
            self.unlink(&before);
        }
        for owner in &facts.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(facts.uid.clone());
        }
        self.objects.insert(facts.uid.clone(), (place, facts));
    }

    /// Takes an object out.
    pub(super) fn remove(&mut self, uid: &str) {
        if let Some((_, facts)) = self.objects.remove(uid) {
            self.unlink(&facts);
        }
    }

    /// Returns an object.
    pub(super) fn get(&self, uid: &str) -> Option<&(Place, Facts)> {
        self.objects.get(uid)
    }

    /// Returns the identities of what refers to `uid` as its owner, in order.
    pub(super) fn dependents_of(&self, uid: &str) -> Vec<String> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Returns what is known of the dependents of `uid`.
    pub(super) fn describe_dependents(&self, uid: &str) -> Vec<gc::Dependent> {
        let known = self.dependents_of(uid);
        let known = known.iter().filter_map(|dependent| self.objects.get(dependent));
        known
            .map(|((_, key), facts)| gc::Dependent {
                name: key.to_string(),
                uid: facts.uid.clone(),
                deleting: facts.deleting,
                blocks: facts.owners.iter().any(|owner| owner.uid == uid && owner.block_owner_deletion),
            })
            .collect()
    }

    fn unlink(&mut self, facts: &Facts) {
        for owner in &facts.owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(&facts.uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
    }
}
