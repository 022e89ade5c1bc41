//! The built-in kinds, read from the facts files that stand beside the sources.
//!
//! The files are part of the executable and stay text: a schema definition is parsed when a request first needs it.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

use super::kind::{Collection, Column, Gvk, Resource, Subresource, Verb};
use super::schema::SchemaSource;

const RESOURCES: &str = include_str!("../../facts/resources.tsv");
const SCHEMAS: &str = include_str!("../../facts/schemas.tsv");
const DISCOVERY: &str = include_str!("../../facts/discovery.tsv");
const DEFAULTS: &str = include_str!("../../facts/defaults.tsv");
const COLUMNS: &str = include_str!("../../facts/columns.tsv");

/// Returns every built-in resource, in discovery order.
pub fn resources() -> Vec<Resource> {
    let mut columns: HashMap<&str, Vec<Column>> = HashMap::new();
    for line in COLUMNS.lines() {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default();
        let (key, name, kind, format, priority) = (next(), next(), next(), next(), next());
        columns.entry(key).or_default().push(Column {
            name: name.into(),
            kind: kind.into(),
            format: undash(format).into(),
            description: "".into(),
            priority: priority.parse().unwrap_or_default(),
            json_path: "".into(),
        });
    }
    RESOURCES.lines().map(|line| resource(line, &mut columns)).collect()
}

/// Returns the JSON text of the schema definition `name`.
pub fn definition(name: &str) -> Option<&'static str> {
    definition_entry(name).map(|(_, text)| text)
}

/// Returns the name and the JSON text of the schema definition `name`.
pub fn definition_entry(name: &str) -> Option<(&'static str, &'static str)> {
    let index = definitions();
    index.binary_search_by(|(other, _)| other.cmp(&name)).ok().map(|at| index[at])
}

/// Names and texts of all definitions, sorted: those that the documents of versions have, and those of discovery.
fn definitions() -> &'static [(&'static str, &'static str)] {
    static INDEX: OnceLock<Vec<(&'static str, &'static str)>> = OnceLock::new();
    INDEX.get_or_init(|| {
        let lines = SCHEMAS.lines().chain(DISCOVERY.lines());
        let mut index: Vec<_> = lines.filter_map(|line| line.split_once('\t')).collect();
        index.sort_unstable();
        index
    })
}

/// Returns the JSON text of the schema definition `name` with the defaults that the published documents do not tell.
pub fn definition_with_defaults(name: &str) -> Option<String> {
    let text = definition(name)?;
    let mut schema: Value = serde_json::from_str(text).ok()?;
    for (field, default) in defaults(name) {
        if let Some(property) = schema["properties"].get_mut(field) {
            property["default"] = default;
        }
    }
    // Which reasons a rule may give is checked with the rest of the rule, once and in one place.
    if name.ends_with(".apiextensions.v1.ValidationRule")
        && let Some(reason) = schema["properties"]["reason"].as_object_mut()
    {
        reason.shift_remove("enum");
    }
    Some(schema.to_string())
}

/// The defaults of one definition, by field.
fn defaults(name: &str) -> impl Iterator<Item = (&'static str, Value)> + use<'_> {
    DEFAULTS.lines().filter_map(move |line| {
        let (field, value) = line.strip_prefix(name)?.strip_prefix('\t')?.split_once('\t')?;
        Some((field, serde_json::from_str(value).ok()?))
    })
}

/// Returns the names of all schema definitions, sorted.
pub fn definition_names() -> impl Iterator<Item = &'static str> {
    definitions().iter().map(|(name, _)| *name)
}

fn undash(field: &str) -> &str {
    if field == "-" { "" } else { field }
}

fn list(field: &str) -> Box<[Box<str>]> {
    undash(field).split(',').filter(|item| !item.is_empty()).map(Into::into).collect()
}

fn resource(line: &'static str, columns: &mut HashMap<&str, Vec<Column>>) -> Resource {
    let mut fields = line.split('\t');
    let mut next = || fields.next().unwrap_or_default();
    let (group, version, plural, kind, singular) = (undash(next()), next(), next(), next(), next());
    let (scope, verbs, short_names, categories) = (next(), next(), next(), next());
    let (definition, subresources) = (next(), next());
    Resource {
        gvk: Gvk { group: group.into(), version: version.into(), kind: kind.into() },
        collection: collection(group, plural),
        storage_version: storage_version(group, plural, version).into(),
        conversion: None,
        singular: singular.into(),
        list_kind: format!("{kind}List").into(),
        short_names: list(short_names),
        categories: list(categories),
        namespaced: scope == "Namespaced",
        verbs: verbs.split(',').filter_map(Verb::parse).collect(),
        subresources: undash(subresources).split(',').filter_map(subresource).collect(),
        schema: if definition == "-" { SchemaSource::none() } else { SchemaSource::built_in(definition) },
        columns: columns.remove(format!("{group}/{version}/{plural}").as_str()).unwrap_or_default().into(),
        selectable_fields: Box::default(),
        scale: None,
        custom: false,
        deprecation: deprecation(group, plural).map(Into::into),
    }
}

/// The stored collection of a resource. Events are one collection that two groups serve.
fn collection(group: &str, plural: &str) -> Collection {
    if group == "events.k8s.io" { Collection::new("", plural) } else { Collection::new(group, plural) }
}

/// The version in which a collection with several versions is stored.
fn storage_version<'a>(group: &str, plural: &str, version: &'a str) -> &'a str {
    match (group, plural) {
        ("autoscaling", "horizontalpodautoscalers") => "v2",
        _ => version,
    }
}

/// Resources whose use is answered with a warning.
fn deprecation(group: &str, plural: &str) -> Option<&'static str> {
    match (group, plural) {
        ("", "endpoints") => {
            Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
        }
        ("", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+"),
        _ => None,
    }
}

/// Reads `name=group/version/Kind:verb+verb`.
fn subresource(text: &str) -> Option<Subresource> {
    let (name, rest) = text.split_once('=')?;
    let (gvk, verbs) = rest.split_once(':')?;
    let mut parts = gvk.split('/');
    let (group, version, kind) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Subresource {
        name: name.into(),
        gvk: Gvk { group: group.into(), version: version.into(), kind: kind.into() },
        verbs: verbs.split('+').filter_map(Verb::parse).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_complete() {
        let all = resources();
        assert!(all.len() > 60);
        let pods = all.iter().find(|r| r.plural() == "pods").expect("pods");
        assert!(pods.namespaced && pods.has_status() && pods.allows(Verb::DeleteCollection));
        assert_eq!(
            pods.subresource("eviction").map(|sub| sub.gvk.api_version()),
            Some("policy/v1".to_owned())
        );
        assert_eq!(pods.columns.len(), 9);
        let definition = definition("io.k8s.api.core.v1.Pod").expect("the definition of Pod");
        serde_json::from_str::<serde_json::Value>(definition).expect("JSON");
    }

    #[test]
    fn every_default_names_a_field() {
        for line in DEFAULTS.lines() {
            let parts: Vec<&str> = line.split('\t').collect();
            let schema: Value = serde_json::from_str(definition(parts[0]).expect(line)).expect("JSON");
            assert!(schema["properties"][parts[1]].is_object(), "{line}");
            serde_json::from_str::<Value>(parts[2]).expect(line);
        }
    }

    #[test]
    fn definitions_are_sorted() {
        let names: Vec<_> = definition_names().collect();
        assert!(names.is_sorted());
    }
}
