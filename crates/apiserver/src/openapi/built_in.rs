//! Schemas of built-in kinds, taken from the facts as text.

use std::collections::BTreeSet;

use serde_json::Value;

use super::descriptions;
use super::form::Form;
use crate::registry::facts;

const REFERENCE: &str = "\"$ref\":\"";

/// Definitions that a document needs, with all that they refer to.
#[derive(Debug, Default)]
pub(super) struct Needed(BTreeSet<&'static str>);

impl Needed {
    /// Takes in a definition of the facts, and those that it refers to; no other name counts.
    pub(super) fn need(&mut self, name: &str) {
        let Some(entry) = facts::definition_entry(name) else { return };
        let mut waiting = vec![entry];
        while let Some((name, text)) = waiting.pop() {
            if self.0.insert(name) {
                waiting.extend(references(text).filter_map(facts::definition_entry));
            }
        }
    }

    /// Takes in what another document needs.
    pub(super) fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Writes the schemas, one by one.
    pub(super) fn each(&self, form: Form, put: &mut dyn FnMut(&str, Value)) {
        for name in &self.0 {
            put(name, schema(name, form));
        }
    }
}

/// The schema of a definition, with descriptions for people.
fn schema(name: &str, form: Form) -> Value {
    let text = facts::definition(name).unwrap_or_default();
    let mut schema: Value = serde_json::from_str(text).unwrap_or_default();
    // What is a number or a text, amounts and ports, is called a text where there are no alternatives.
    let is_text = |branch: &Value| branch["type"] == "string";
    if form == Form::V2 && schema["oneOf"].as_array().is_some_and(|branches| branches.iter().any(is_text)) {
        schema["type"] = "string".into();
    }
    descriptions::describe(name, &mut schema);
    form.settle(&mut schema);
    schema
}

/// The definitions that a schema's text refers to. A property named `$ref` has an object as its value, so the quoted
/// form is always a reference.
fn references(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(REFERENCE).filter_map(|(at, _)| text[at + REFERENCE.len()..].split('"').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(needed: &Needed, form: Form) -> Value {
        let mut all = Value::Null;
        needed.each(form, &mut |name, schema| all[name] = schema);
        all
    }

    #[test]
    fn a_pod_brings_all_that_it_refers_to() {
        let mut needed = Needed::default();
        needed.need("io.k8s.api.core.v1.Pod");
        needed.need("none");
        for form in [Form::V2, Form::V3] {
            let all = all(&needed, form);
            assert!(all.get("io.k8s.api.core.v1.Container").is_some());
            let pod = &all["io.k8s.api.core.v1.Pod"];
            assert!(pod["description"].is_string() && pod["properties"]["spec"]["description"].is_string());
            assert_eq!(pod["properties"]["kind"]["type"], "string");
            for target in references(&all.to_string()) {
                let name = target.strip_prefix(&form.reference("")).expect("a place in the document");
                assert!(all.get(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn every_definition_has_a_schema() {
        for name in facts::definition_names() {
            for form in [Form::V2, Form::V3] {
                assert!(schema(name, form).is_object(), "{name}");
            }
        }
        let quantity = schema("io.k8s.apimachinery.pkg.api.resource.Quantity", Form::V2);
        assert_eq!(quantity["type"], "string");
        assert_eq!(quantity.get("oneOf"), None);
    }
}
