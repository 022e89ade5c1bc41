//! Selecting objects by namespace, labels and fields.

use std::borrow::Cow;

use machinery::selector::{FieldSelector, LabelSelector};

use super::{Facets, ObjectKey};

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
        (self.namespace.is_empty() || self.namespace == key.namespace)
            && (self.labels.is_everything() || self.labels.matches_labels(|label| facets.label(label)))
            && (self.fields.is_everything() || self.fields.matches(|field| value(field, key, facets, names)))
    }

    /// Returns the one name that the selection can mean, if it says one.
    pub fn name(&self) -> Option<&str> {
        self.fields.exact("metadata.name")
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
