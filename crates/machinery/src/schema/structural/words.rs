//! Words of a schema that contradict each other, or that structural schemas do without.

use serde_json::Value;

use super::{META, Node, branches, flag, lists, properties, text};
use crate::field::{FieldError, Path};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// Words of JSON Schema that structural schemas do without.
const FOREIGN: [&str; 6] =
    ["$ref", "additionalItems", "definitions", "dependencies", "id", "patternProperties"];

/// Where in a resource a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It describes the resource.
    Root,
    /// It describes what the resource is known by, where nothing has a default.
    RootMeta,
    /// The same of a resource inside of another one.
    Meta,
    /// Anywhere else.
    Field,
}

impl Place {
    fn below(self, node: &Node, name: &str) -> Self {
        match self {
            Self::Root if META.contains(&name) => Self::RootMeta,
            Self::Field if META.contains(&name) && flag(node, "x-kubernetes-embedded-resource") => Self::Meta,
            Self::Root => Self::Field,
            other => other,
        }
    }

    fn inside(self) -> Self {
        if self == Self::Root { Self::Field } else { self }
    }
}

/// Whether a schema, or one inside of it, is written in foreign words.
pub(super) fn has_foreign(json: &Value) -> bool {
    let Some(node) = json.as_object() else { return false };
    FOREIGN.into_iter().any(|word| node.contains_key(word))
        || node.get("items").is_some_and(Value::is_array)
        || properties(node).any(|(_, schema)| has_foreign(schema))
        || inner(node).any(|(_, schema)| has_foreign(schema))
}

/// The schemas directly inside of another one, each with its path below that.
fn inner(node: &Node) -> impl Iterator<Item = (Path, &Value)> {
    let single = ["items", "additionalProperties", "not"].into_iter();
    let single = single.filter_map(|word| Some((Path::new(word), node.get(word)?)));
    let listed = ["allOf", "anyOf", "oneOf", "items"].into_iter();
    let listed = listed
        .flat_map(|word| branches(node, word).map(move |(at, schema)| (Path::new(word).index(at), schema)));
    single.chain(listed).filter(|(_, schema)| schema.is_object())
}

/// Judges the words of a schema and of those inside of it.
pub(super) fn check(json: &Value, path: &Path, place: Place, errors: &mut Vec<FieldError>) {
    let Some(node) = json.as_object() else { return };
    let mut forbid = |word: &str, detail: &str| errors.push(FieldError::forbidden(path.child(word), detail));
    for word in FOREIGN.into_iter().filter(|word| node.contains_key(*word)) {
        forbid(word, &format!("{word} is not supported"));
    }
    if node.get("items").is_some_and(Value::is_array) {
        forbid("items", "must be a schema object, not a list of them");
    }
    if node.contains_key("default") && place == Place::RootMeta {
        forbid("default", "must not be set in what every resource has");
    }
    if flag(node, "x-kubernetes-embedded-resource") && matches!(place, Place::Meta | Place::RootMeta) {
        forbid("x-kubernetes-embedded-resource", "must not be used inside of a resource's metadata");
    }
    if flag(node, "uniqueItems") {
        forbid("uniqueItems", "uniqueItems cannot be set to true: use x-kubernetes-list-type: set");
    }
    if properties(node).next().is_some()
        && node.get("additionalProperties").is_some_and(|values| *values != true && !values.is_null())
    {
        forbid("additionalProperties", "additionalProperties and properties are mutually exclusive");
    }
    let kind = text(node, "type");
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(path.child("type"), kind, TYPES));
    }
    if node.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let at = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(at, false, "must be true or undefined"));
    }
    lists::check(node, path, errors);
    crate::rules::check_words(json, path, errors);
    for (name, field) in properties(node) {
        check(field, &path.child("properties").key(name), place.below(node, name), errors);
    }
    for (below, schema) in inner(node) {
        check(schema, &path.child(below.as_str()), place.inside(), errors);
    }
}
