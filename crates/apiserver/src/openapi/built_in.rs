//! Schemas of built-in kinds, taken from the facts as text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::descriptions;
use crate::registry::facts;

const REFERENCE: &str = "\"$ref\":\"";
const PLACE: &str = "#/components/schemas/";

/// A hash over all definitions.
pub(super) fn digest() -> &'static [u8] {
    static DIGEST: OnceLock<[u8; 32]> = OnceLock::new();
    DIGEST.get_or_init(|| {
        let mut hash = Sha256::new();
        hash.update(descriptions::TEXT);
        for name in facts::definition_names() {
            hash.update(name);
            hash.update(facts::definition(name).unwrap_or_default());
        }
        hash.finalize().into()
    })
}

/// The schemas of a document, gathered with all that they refer to.
#[derive(Default)]
pub(super) struct Schemas {
    needed: BTreeSet<&'static str>,
    own: BTreeMap<String, String>,
}

impl Schemas {
    /// Takes in a definition of the facts, and those that it refers to. Says whether there is one.
    pub(super) fn need(&mut self, name: &str) -> bool {
        let Some((name, text)) = facts::definition_entry(name) else {
            return false;
        };
        let mut waiting = vec![(name, text)];
        while let Some((name, text)) = waiting.pop() {
            if self.needed.insert(name) {
                waiting.extend(references(text).filter_map(facts::definition_entry));
            }
        }
        true
    }

    /// Adds a schema that is not in the facts; what it refers to must be needed as well.
    pub(super) fn add(&mut self, name: &str, schema: &Value) {
        let text = schema.to_string();
        for reference in references(&text) {
            self.need(reference.trim_start_matches(PLACE));
        }
        self.own.insert(name.to_owned(), text);
    }

    /// Writes the object of all schemas.
    pub(super) fn finish(self) -> String {
        let mut out = String::from("{");
        let mut put = |name: &str, text: &str| {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&Value::from(name).to_string());
            out.push(':');
            out.push_str(text);
        };
        for name in self.needed {
            put(name, &placed(&described(name)));
        }
        for (name, text) in &self.own {
            put(name, text);
        }
        out.push('}');
        out
    }
}

/// Returns a definition's schema with descriptions for people.
fn described(name: &str) -> String {
    let text = facts::definition(name).unwrap_or_default();
    let Ok(mut schema) = serde_json::from_str(text) else { return text.to_owned() };
    descriptions::describe(name, &mut schema);
    schema.to_string()
}

/// The definitions that a schema's text refers to. A property named `$ref` has an object as its value, so the quoted
/// form is always a reference.
fn references(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(REFERENCE).filter_map(|(at, _)| text[at + REFERENCE.len()..].split('"').next())
}

/// Writes references as places in the document. A reference with something beside it must be wrapped.
fn placed(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let mut rest = text;
    while let Some(at) = rest.find(REFERENCE) {
        let (before, after) = (&rest[..at], &rest[at + REFERENCE.len()..]);
        let Some((name, after)) = after.split_once('"') else {
            break;
        };
        out.push_str(before);
        if after.starts_with(',') || before.ends_with(',') {
            out.push_str("\"allOf\":[{\"$ref\":\"");
            out.push_str(PLACE);
            out.push_str(name);
            out.push_str("\"}]");
        } else {
            out.push_str(REFERENCE);
            out.push_str(PLACE);
            out.push_str(name);
            out.push('"');
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_brings_all_that_it_refers_to() {
        let mut schemas = Schemas::default();
        assert!(schemas.need("io.k8s.api.core.v1.Pod") && !schemas.need("none"));
        let all: Value = serde_json::from_str(&schemas.finish()).expect("JSON");
        let text = all.to_string();
        assert!(all.get("io.k8s.api.core.v1.Container").is_some());
        let pod = &all["io.k8s.api.core.v1.Pod"];
        assert!(pod["description"].is_string() && pod["properties"]["spec"]["description"].is_string());
        assert_eq!(pod["properties"]["kind"]["type"], "string");
        for (at, _) in text.match_indices(REFERENCE) {
            let target = text[at + REFERENCE.len()..].split('"').next().expect("a name");
            let name = target.strip_prefix(PLACE).expect("a place in the document");
            assert!(all.get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_definition_stays_json() {
        for name in facts::definition_names() {
            let text = placed(&described(name));
            let schema: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(schema.is_object(), "{name}");
        }
    }

    #[test]
    fn references_with_company_are_wrapped() {
        let text = r#"{"a":{"$ref":"x"},"b":{"$ref":"y","default":{}}}"#;
        let expected = r##"{"a":{"$ref":"#/components/schemas/x"},"b":{"allOf":[{"$ref":"#/components/schemas/y"}],"default":{}}}"##;
        assert_eq!(placed(text), expected);
    }
}
