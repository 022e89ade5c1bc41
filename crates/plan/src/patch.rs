//! The smallest merge patch between two states: no change, no patch, no write.

use serde::Serialize;
use serde_json::{Map, Value};

/// Returns the JSON merge patch that turns `before` into `after`, or nothing when they are equal.
pub fn difference(before: &Value, after: &Value) -> Option<Value> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let mut patch = Map::new();
            for name in before.keys().filter(|name| !after.contains_key(*name)) {
                patch.insert(name.clone(), Value::Null);
            }
            for (name, value) in after {
                match before.get(name) {
                    None => {
                        patch.insert(name.clone(), value.clone());
                    }
                    Some(old) => {
                        if let Some(change) = difference(old, value) {
                            patch.insert(name.clone(), change);
                        }
                    }
                }
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ => (before != after).then(|| after.clone()),
    }
}

/// Returns the merge patch between two values of a type, by their serialised form.
pub fn between<T: Serialize>(before: &T, after: &T) -> Option<Value> {
    difference(&to_value(before), &to_value(after))
}

fn to_value<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("plain data with text keys has a JSON form")
}

/// Writes a patch for people: one indented line per leaf, conditions in words.
pub(crate) fn lines(patch: &Value, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    leaves(patch, "", f)
}

fn leaves(value: &Value, path: &str, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(value, &path, f)?;
            }
            Ok(())
        }
        Value::Array(items) if path.ends_with("conditions") => {
            for item in items {
                let condition: crate::condition::Condition =
                    serde_json::from_value(item.clone()).unwrap_or_default();
                write!(f, "\n    condition {condition}")?;
            }
            Ok(())
        }
        Value::Array(items) if path.ends_with("phaseTransitionTimestamps") => {
            let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
            items.iter().try_for_each(|item| {
                write!(f, "\n    {} since {}", text(item, "phase"), text(item, "phaseTransitionTimestamp"))
            })
        }
        Value::Null => write!(f, "\n    {path} removed"),
        Value::String(text) => write!(f, "\n    {path} = {text}"),
        other => write!(f, "\n    {path} = {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn only_differences_are_written() {
        assert_eq!(difference(&json!({"a": 1, "b": {"c": 2}}), &json!({"a": 1, "b": {"c": 2}})), None);
        let patch =
            difference(&json!({"a": 1, "b": {"c": 2, "d": 3}}), &json!({"b": {"c": 4, "d": 3}, "e": []}));
        assert_eq!(patch, Some(json!({"a": null, "b": {"c": 4}, "e": []})));
    }

    /// JSON without nulls inside, which merge patches cannot express.
    fn objects() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), (0..3i64).prop_map(Value::from)];
        let inner = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-d]", inner, 0..4)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    }

    fn apply(target: &mut Value, patch: &Value) {
        let Value::Object(changes) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        let fields = target.as_object_mut().unwrap();
        for (name, change) in changes {
            if change.is_null() {
                fields.remove(name);
            } else {
                apply(fields.entry(name.clone()).or_insert(Value::Null), change);
            }
        }
    }

    proptest! {
        #[test]
        fn applying_the_difference_gives_the_second(before in objects(), after in objects()) {
            let mut patched = before.clone();
            if let Some(patch) = difference(&before, &after) {
                apply(&mut patched, &patch);
            }
            prop_assert_eq!(patched, after);
        }
    }
}
