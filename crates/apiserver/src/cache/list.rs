//! Selecting objects by namespace, labels and fields.

use std::borrow::Cow;
use std::sync::Arc;

use machinery::selector::{FieldSelector, LabelSelector};

use super::{Cache, Entry, Facets, ObjectKey};

/// What a list or watch asks for.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Namespace; empty for all.
    pub namespace: Box<str>,
    /// Condition on labels.
    pub labels: LabelSelector,
    /// Condition on fields.
    pub fields: FieldSelector,
}

impl Selection {
    /// Returns whether an object is meant. `names` are the paths whose values `facets` holds.
    pub fn matches(&self, key: &ObjectKey, facets: &Facets, names: &[Box<str>]) -> bool {
        (self.namespace.is_empty() || *self.namespace == *key.namespace)
            && (self.labels.is_everything() || self.labels.matches_labels(|label| facets.label(label)))
            && (self.fields.is_everything() || self.fields.matches(|field| value(field, key, facets, names)))
    }

    /// Returns whether all objects of the namespace are meant.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// Returns the one name that the selection can mean, if it says one.
    pub fn name(&self) -> Option<&str> {
        self.fields.exact("metadata.name")
    }
}

/// Some consecutive objects of a selection.
#[derive(Debug, Default)]
pub struct Part {
    /// The objects, ordered by key.
    pub entries: Vec<Arc<Entry>>,
    /// The revision whose state this is.
    pub revision: u64,
    /// Whether more objects follow.
    pub has_more: bool,
    /// How many follow, where that is known: objects are not looked at to be counted.
    pub rest: Option<u64>,
}

impl Cache {
    /// Returns up to `limit` objects (all, when it is 0) that `selection` means and that stand behind `after`.
    ///
    /// With `at`, in the state of that revision; nothing where this is not the state of the collection (any more).
    pub fn part(
        &self,
        selection: &Selection,
        after: Option<&ObjectKey>,
        limit: usize,
        at: Option<u64>,
    ) -> Option<Part> {
        let state = self.state.read();
        let (applied, changed) = (self.applied.get(), state.history.latest());
        let revision = match at {
            // Changes are applied in order, so all up to the newest of this collection are in.
            None => applied.max(changed),
            Some(at) if changed <= at && at <= applied => at,
            Some(_) => return None,
        };
        let names = self.fields();
        let meant = |entry: &&Arc<Entry>| selection.matches(&entry.key, &entry.facets, &names);
        let mut found = state.behind(&selection.namespace, after).map(|(_, entry)| entry).filter(meant);
        let limit = if limit == 0 { usize::MAX } else { limit };
        let entries: Vec<_> = found.by_ref().take(limit).map(Arc::clone).collect();
        let Some(last) = entries.last().filter(|_| entries.len() == limit) else {
            return Some(Part { entries, revision, ..Part::default() });
        };
        let (has_more, rest) = if selection.is_everything() {
            let rest = state.behind(&selection.namespace, Some(&last.key)).count() as u64;
            (rest > 0, Some(rest))
        } else {
            (found.next().is_some(), None)
        };
        Some(Part { entries, revision, has_more, rest })
    }
}

fn value<'a>(
    field: &str,
    key: &'a ObjectKey,
    facets: &'a Facets,
    names: &[Box<str>],
) -> Option<Cow<'a, str>> {
    match field {
        "metadata.name" => Some(Cow::Borrowed(&key.name)),
        "metadata.namespace" => Some(Cow::Borrowed(&key.namespace)),
        field => {
            let at = names.iter().position(|name| **name == *field)?;
            facets.fields.get(at).map(|value| Cow::Borrowed(&**value))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selections_match() {
        let names: Vec<Box<str>> = vec!["status.phase".into()];
        let object = json!({"metadata": {"labels": {"a": "b"}}, "status": {"phase": "Running"}});
        let facets = Facets::of(&object, &names);
        let key = ObjectKey::new("n", "x");
        let select = |namespace: &str, labels: &str, fields: &str| Selection {
            namespace: namespace.into(),
            labels: LabelSelector::parse(labels).expect("labels"),
            fields: FieldSelector::parse(fields).expect("fields"),
        };
        for (selection, expected) in [
            (select("", "", ""), true),
            (select("n", "a=b", "status.phase=Running,metadata.name=x"), true),
            (select("m", "", ""), false),
            (select("", "a!=b", ""), false),
            (select("", "", "status.phase!=Running"), false),
        ] {
            assert_eq!(selection.matches(&key, &facets, &names), expected, "{selection:?}");
        }
    }
}
