//! Whose identity stands under a name: what is kept of an instance is kept by its identity, and goes with it, also when
//! another of the same name has come meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use kube_ext::Key;
use parking_lot::Mutex;

/// Identities of instances that something is kept of, by name.
#[derive(Debug, Default)]
pub(crate) struct Identities(Mutex<BTreeMap<Key, String>>);

impl Identities {
    /// Notes which of the `present` instances something is `kept` of, before any is looked at: one that goes before its
    /// first look would be forgotten by nobody. Returns the identities that are kept and not present.
    pub(crate) fn take_stock(
        &self,
        mut kept: BTreeSet<String>,
        present: impl Iterator<Item = (Key, String)>,
    ) -> BTreeSet<String> {
        let mut identities = self.0.lock();
        for (key, uid) in present {
            if kept.remove(&uid) {
                identities.entry(key).or_insert(uid);
            }
        }
        kept
    }

    /// Notes an instance that is looked at, and returns another that had its name and is therefore gone.
    pub(crate) fn seen(&self, key: &Key, uid: &str) -> Option<String> {
        self.0.lock().insert(key.clone(), uid.to_owned()).filter(|before| before != uid)
    }

    /// Returns who had a name that nobody has now.
    pub(crate) fn gone(&self, key: &Key) -> Option<String> {
        self.0.lock().remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: "default".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn an_instance_that_goes_before_its_first_look_is_known() {
        let identities = Identities::default();
        let kept = ["here", "gone"].map(str::to_owned).into();
        let present = [(key("a"), "here".to_owned()), (key("b"), "never started".to_owned())];
        assert_eq!(identities.take_stock(kept, present.into_iter()), ["gone".to_owned()].into());
        assert_eq!(identities.gone(&key("a")), Some("here".to_owned()));
        assert_eq!(identities.gone(&key("b")), None);
    }

    #[test]
    fn the_next_of_a_name_shows_that_the_one_before_is_gone() {
        let identities = Identities::default();
        assert_eq!(identities.seen(&key("a"), "first"), None);
        assert_eq!(identities.seen(&key("a"), "first"), None);
        assert_eq!(identities.seen(&key("a"), "second"), Some("first".to_owned()));
        assert_eq!(identities.gone(&key("a")), Some("second".to_owned()));
    }
}
