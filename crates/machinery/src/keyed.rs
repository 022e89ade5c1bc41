//! Lists whose items are told apart by keys: which item was this one, before?

use std::cell::OnceCell;
use std::collections::HashMap;

use serde_json::Value;

/// The items that a list had before. Finding one costs the same wherever it stands now: who sends a list chooses its
/// order, and may choose the worst.
pub(crate) struct Keyed<'v, K> {
    keys: &'v [K],
    items: &'v [Value],
    places: OnceCell<HashMap<Vec<&'v Value>, usize>>,
}

impl<'v, K: AsRef<str>> Keyed<'v, K> {
    /// Takes the earlier items. Without keys none of them is found again.
    pub(crate) fn new(keys: &'v [K], items: &'v [Value]) -> Self {
        Self { keys, items, places: OnceCell::new() }
    }

    /// Returns the first item with all the keys of `item`, which is most often at the same place.
    pub(crate) fn same(&self, item: &Value, at: usize) -> Option<&'v Value> {
        let wanted = self.keys_of(item)?;
        if let Some(there) = self.items.get(at)
            && self.keys_of(there).as_ref() == Some(&wanted)
        {
            return Some(there);
        }
        let places = self.places.get_or_init(|| {
            let mut places = HashMap::new();
            for (at, item) in self.items.iter().enumerate() {
                if let Some(keys) = self.keys_of(item) {
                    places.entry(keys).or_insert(at);
                }
            }
            places
        });
        places.get(&wanted).and_then(|at| self.items.get(*at))
    }

    fn keys_of<'i>(&self, item: &'i Value) -> Option<Vec<&'i Value>> {
        if self.keys.is_empty() {
            return None;
        }
        self.keys.iter().map(|key| item.get(key.as_ref())).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_is_found_wherever_it_stood() {
        let before: Vec<Value> = (0..1000).map(|n| json!({"name": n, "kind": "x", "value": n})).collect();
        let known = Keyed::new(&["name", "kind"], &before);
        for (at, item) in before.iter().enumerate() {
            assert_eq!(known.same(item, at), Some(item));
            assert_eq!(known.same(item, (at + 1) % before.len()), Some(item), "{at} has moved");
        }
        assert_eq!(known.same(&json!({"name": 1000, "kind": "x"}), 0), None, "a new one");
        assert_eq!(known.same(&json!({"name": 1}), 1), None, "one that lacks a key");
        assert_eq!(Keyed::new(&[] as &[&str], &before).same(&before[0], 0), None, "no keys, no items");
    }

    #[test]
    fn of_twins_the_one_at_the_same_place_counts() {
        let before = [json!({"name": "a", "n": 1}), json!({"name": "a", "n": 2})];
        let known = Keyed::new(&["name"], &before);
        assert_eq!(known.same(&before[1], 1), Some(&before[1]));
        assert_eq!(known.same(&before[1], 5), Some(&before[0]));
    }
}
