//! What definitions and their fields are for, in our own words.
//!
//! `facts/descriptions.tsv` has a line for each: `DEFINITION`, `DEFINITION.FIELD`, or `.FIELD` for a field that means the
//! same wherever it stands.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

/// The file.
const TEXT: &str = include_str!("../../facts/descriptions.tsv");

static LINES: LazyLock<HashMap<&str, &str>> =
    LazyLock::new(|| TEXT.lines().filter_map(|line| line.split_once('\t')).collect());

/// Adds descriptions to the schema of the definition `name` and to its fields.
pub(super) fn describe(name: &str, schema: &mut Value) {
    if let Some(text) = LINES.get(name) {
        schema["description"] = Value::from(*text);
    }
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (field, schema) in fields.into_iter().flatten() {
        let own = LINES.get(format!("{name}.{field}").as_str());
        if let Some(text) = own.or_else(|| LINES.get(format!(".{field}").as_str())) {
            schema["description"] = Value::from(*text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::facts;

    #[test]
    fn every_line_describes_something_that_exists() {
        for name in LINES.keys().filter(|name| !name.starts_with('.')) {
            let field = || {
                let (definition, field) = name.rsplit_once('.')?;
                let schema: Value = serde_json::from_str(facts::definition(definition)?).expect("a schema");
                schema["properties"].get(field).cloned()
            };
            assert!(facts::definition(name).is_some() || field().is_some(), "{name}");
        }
    }

    #[test]
    fn every_kind_is_described() {
        for name in facts::definition_names().filter(|name| !name.ends_with("List")) {
            let text = facts::definition(name).unwrap_or_default();
            let kind = text.contains("x-kubernetes-group-version-kind") && !name.contains(".meta.v1.");
            assert!(!kind || LINES.contains_key(name), "{name} has no description");
        }
    }

    #[test]
    fn what_people_ask_for_is_described() {
        for kind in
            ["Container", "PersistentVolumeClaimSpec", "PodSpec", "PodStatus", "Secret", "ServiceSpec"]
        {
            let name = &format!("io.k8s.api.core.v1.{kind}");
            let mut schema =
                serde_json::from_str(facts::definition(name).expect("a definition")).expect("JSON");
            describe(name, &mut schema);
            assert!(!schema["properties"].as_object().expect("fields").is_empty());
            for (field, schema) in schema["properties"].as_object().expect("fields") {
                assert!(schema["description"].is_string(), "{name}.{field} has no description");
            }
        }
    }
}
