//! Who owns whom, over all kinds.
//!
//! Most objects neither have owners nor are being deleted, and there may be very many: of these, only the identity is kept.

use std::collections::{BTreeMap, BTreeSet};

use kube_ext::{Key, Owner, Resource};
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

impl Facts {
    /// Whether there is nothing to be done about the object by itself.
    fn is_plain(&self) -> bool {
        self.owners.is_empty() && !self.deleting && !self.foreground && !self.orphan
    }
}

/// Where an object is: the number of its resource, and its key.
pub(super) type Place = (usize, Key);

/// Group and name of a kind: whoever serves it serves all its versions.
type GroupKind = (String, String);

/// All objects by identity, and by the identities of their owners.
#[derive(Debug, Default)]
pub(super) struct Graph {
    objects: BTreeMap<String, (Place, Facts)>,
    /// Identities of plain objects, with the numbers of their resources.
    plain: BTreeMap<u128, usize>,
    dependents: BTreeMap<String, BTreeSet<String>>,
    /// Identities of owners that were seen to go, with their kinds, as long as something refers to them.
    gone: BTreeMap<String, BTreeSet<GroupKind>>,
    /// Whether all objects were listed: before, somebody unknown yet may refer to what goes.
    is_whole: bool,
}

impl Graph {
    /// Forgets all objects, for kinds are followed anew; the owners that were seen to go are not seen again.
    pub(super) fn begin_anew(&mut self) {
        *self = Self { gone: std::mem::take(&mut self.gone), ..Self::default() };
    }

    /// Takes note that everything was listed.
    pub(super) fn complete(&mut self) {
        self.is_whole = true;
        self.gone.retain(|uid, _| self.dependents.contains_key(uid));
    }

    /// Puts an object in, in its newest state; returns whether that is another one than before.
    pub(super) fn insert(&mut self, place: Place, facts: Facts) -> bool {
        if facts.is_plain() {
            let was_plain =
                number(&facts.uid).is_some_and(|number| self.plain.insert(number, place.0).is_some());
            return self.forget(&facts.uid) || !was_plain;
        }
        if self.objects.get(&facts.uid).is_some_and(|(_, before)| *before == facts) {
            return false;
        }
        if let Some(number) = number(&facts.uid) {
            self.plain.remove(&number);
        }
        for owner in &facts.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(facts.uid.clone());
        }
        // Linked before the old links go: an owner that stays one has a dependent at each moment.
        let kept: BTreeSet<String> = facts.owners.iter().map(|owner| owner.uid.clone()).collect();
        if let Some((_, before)) = self.objects.insert(facts.uid.clone(), (place, facts)) {
            self.unlink(&before, &kept);
        }
        true
    }

    /// Takes an object out; returns whether it was there.
    pub(super) fn remove(&mut self, uid: &str) -> bool {
        let was_plain = number(uid).is_some_and(|number| self.plain.remove(&number).is_some());
        self.forget(uid) || was_plain
    }

    /// Takes out an object of the resource `number` that was seen to go. Who serves a kind tells of its own objects only,
    /// whatever identities it makes up.
    pub(super) fn bury(&mut self, number: usize, resource: &Resource, uid: &str) {
        if self.resource_of(uid).is_some_and(|known| known != number) {
            return;
        }
        self.remove(uid);
        if !self.is_whole || self.dependents.contains_key(uid) {
            let kind = (resource.group.to_string(), resource.kind.to_string());
            self.gone.entry(uid.to_owned()).or_default().insert(kind);
        }
    }

    /// Returns whether an owner was seen to go: its kind need not be served any more to know that.
    pub(super) fn is_gone(&self, owner: &Owner) -> bool {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let kinds = self.gone.get(&owner.uid);
        kinds.is_some_and(|kinds| kinds.contains(&(group.to_owned(), owner.kind.clone())))
    }

    fn resource_of(&self, uid: &str) -> Option<usize> {
        let plain = || number(uid).and_then(|number| self.plain.get(&number).copied());
        self.objects.get(uid).map(|(place, _)| place.0).or_else(plain)
    }

    /// Takes out what is there of a resource, but for the objects `listed`.
    pub(super) fn keep_only(&mut self, resource: usize, listed: &BTreeSet<String>) {
        let numbers: BTreeSet<u128> = listed.iter().filter_map(|uid| number(uid)).collect();
        self.plain.retain(|number, of| *of != resource || numbers.contains(number));
        let gone =
            self.objects.iter().filter(|(uid, (place, _))| place.0 == resource && !listed.contains(*uid));
        for uid in gone.map(|(uid, _)| uid.clone()).collect::<Vec<_>>() {
            self.forget(&uid);
        }
    }

    /// Returns an object that is not plain.
    pub(super) fn get(&self, uid: &str) -> Option<&(Place, Facts)> {
        self.objects.get(uid)
    }

    /// Returns whether there is a plain object of this identity.
    pub(super) fn has_plain(&self, uid: &str) -> bool {
        number(uid).is_some_and(|number| self.plain.contains_key(&number))
    }

    /// Returns the identities of all objects that have owners, in order.
    pub(super) fn owned(&self) -> Vec<String> {
        let owned = self.objects.iter().filter(|(_, (_, facts))| !facts.owners.is_empty());
        owned.map(|(uid, _)| uid.clone()).collect()
    }

    /// Takes out an object that is not plain.
    fn forget(&mut self, uid: &str) -> bool {
        let Some((_, facts)) = self.objects.remove(uid) else { return false };
        self.unlink(&facts, &BTreeSet::new());
        true
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

    /// Takes out the links of an object to its owners, but for those `kept`.
    fn unlink(&mut self, facts: &Facts, kept: &BTreeSet<String>) {
        for owner in facts.owners.iter().filter(|owner| !kept.contains(&owner.uid)) {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(&facts.uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                    if self.is_whole {
                        self.gone.remove(&owner.uid);
                    }
                }
            }
        }
    }
}

/// Reads an identity as the number that it is; those of other servers may be something else.
fn number(uid: &str) -> Option<u128> {
    let is_uuid = uid.len() == 36 && uid.bytes().filter(|byte| *byte == b'-').count() == 4;
    if is_uuid { u128::from_str_radix(&uid.replace('-', ""), 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(number: u8, owner: Option<u8>) -> Facts {
        let owners = owner.map(|owner| Owner { uid: uid(owner), ..Owner::default() }).into_iter().collect();
        Facts { uid: uid(number), owners, deleting: false, foreground: false, orphan: false }
    }

    fn uid(number: u8) -> String {
        format!("00000000-0000-4000-8000-0000000000{number:02x}")
    }

    fn place(kind: usize, name: &str) -> Place {
        (kind, Key::new("n", name))
    }

    #[test]
    fn plain_objects_are_known_and_owned_ones_are_linked() {
        let mut graph = Graph::default();
        assert!(graph.insert(place(0, "owner"), facts(1, None)));
        assert!(!graph.insert(place(0, "owner"), facts(1, None)), "nothing new");
        assert!(graph.insert(place(1, "owned"), facts(2, Some(1))));
        assert!(!graph.insert(place(1, "owned"), facts(2, Some(1))), "nothing new");
        assert!(graph.has_plain(&uid(1)) && !graph.has_plain(&uid(2)) && graph.get(&uid(1)).is_none());
        assert_eq!((graph.dependents_of(&uid(1)), graph.owned()), (vec![uid(2)], vec![uid(2)]));

        // An object that is given up is plain from then on, one that is to go is not any more.
        assert!(graph.insert(place(1, "owned"), facts(2, None)));
        assert!(
            graph.has_plain(&uid(2)) && graph.owned().is_empty() && graph.dependents_of(&uid(1)).is_empty()
        );
        assert!(graph.insert(place(0, "owner"), Facts { deleting: true, ..facts(1, None) }));
        assert!(!graph.has_plain(&uid(1)) && graph.get(&uid(1)).is_some());
        assert!(graph.remove(&uid(1)) && !graph.remove(&uid(1)));
        assert!(graph.remove(&uid(2)) && !graph.has_plain(&uid(2)));
    }

    const OWNERS: Resource = Resource::namespaced("shop.example", "v1", "Basket", "baskets");
    const OTHERS: Resource = Resource::namespaced("else.example", "v1", "Basket", "baskets");

    /// How something refers to a basket; the version is none of the identity.
    fn owner(number: u8) -> Owner {
        Owner {
            uid: uid(number),
            api_version: "shop.example/v2".to_owned(),
            kind: "Basket".to_owned(),
            ..Owner::default()
        }
    }

    /// A graph that knows all: a basket (1), what is in it (2), and another (3) that is empty.
    fn baskets() -> Graph {
        let mut graph = Graph::default();
        graph.insert(place(0, "owner"), facts(1, None));
        graph.insert(place(1, "owned"), facts(2, Some(1)));
        graph.insert(place(0, "alone"), facts(3, None));
        graph.complete();
        graph
    }

    #[test]
    fn an_owner_that_was_seen_to_go_is_remembered_while_something_refers_to_it() {
        let mut graph = baskets();
        assert!(!graph.is_gone(&owner(1)));
        graph.bury(0, &OWNERS, &uid(1));
        graph.bury(0, &OWNERS, &uid(3));
        assert!(graph.is_gone(&owner(1)) && !graph.is_gone(&owner(3)) && !graph.has_plain(&uid(1)));
        // Its only dependent changes: that it begins to go is no end of the reference.
        graph.insert(place(1, "owned"), Facts { deleting: true, ..facts(2, Some(1)) });
        assert!(graph.is_gone(&owner(1)));
        graph.bury(1, &OTHERS, &uid(2));
        assert!(!graph.is_gone(&owner(1)) && graph.gone.is_empty());
    }

    #[test]
    fn owners_that_went_with_their_kind_are_remembered_when_all_kinds_are_followed_anew() {
        let mut graph = baskets();
        graph.bury(0, &OWNERS, &uid(1));
        graph.begin_anew();
        assert!(graph.is_gone(&owner(1)) && graph.owned().is_empty());
        // The list breaks off and begins again.
        graph.insert(place(0, "owned"), facts(2, Some(1)));
        graph.keep_only(0, &BTreeSet::new());
        // This one went before those were known that it may have owned.
        graph.bury(1, &OWNERS, &uid(4));
        graph.insert(place(0, "owned"), facts(2, Some(1)));
        graph.insert(place(0, "late"), facts(5, Some(4)));
        graph.bury(1, &OWNERS, &uid(6));
        graph.complete();
        assert!(graph.is_gone(&owner(1)) && graph.is_gone(&owner(4)));
        assert_eq!(graph.gone.len(), 2, "nothing refers to the third");
    }

    #[test]
    fn news_of_one_kind_say_nothing_of_objects_of_another() {
        let mut graph = baskets();
        graph.bury(7, &OTHERS, &uid(1));
        graph.bury(7, &OTHERS, &uid(2));
        assert!(graph.has_plain(&uid(1)) && graph.get(&uid(2)).is_some() && graph.gone.is_empty());
        // Nobody knows the owner, so that its server is asked.
        graph.remove(&uid(1));
        graph.bury(7, &OTHERS, &uid(1));
        assert!(!graph.is_gone(&owner(1)));
        graph.bury(0, &OWNERS, &uid(1));
        assert!(graph.is_gone(&owner(1)));
    }

    #[test]
    fn what_a_list_does_not_show_is_gone() {
        let mut graph = Graph::default();
        graph.insert(place(0, "gone"), facts(1, None));
        graph.insert(place(0, "stays"), facts(2, None));
        graph.insert(place(0, "goes"), facts(3, Some(2)));
        graph.insert(place(1, "other"), facts(4, None));
        graph.keep_only(0, &BTreeSet::from([uid(2)]));
        assert!(!graph.has_plain(&uid(1)) && graph.has_plain(&uid(2)) && graph.has_plain(&uid(4)));
        assert!(graph.get(&uid(3)).is_none() && graph.dependents_of(&uid(2)).is_empty());
    }

    #[test]
    fn an_identity_that_is_no_number_is_asked_for() {
        let mut graph = Graph::default();
        graph.insert(place(0, "odd"), Facts { uid: "odd".to_owned(), ..facts(1, None) });
        assert!(!graph.has_plain("odd"));
        assert!(!graph.has_plain(&"-".repeat(36)));
    }
}
