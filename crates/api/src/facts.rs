//! What the API consists of, as data: definitions, their fields and what the fields may hold.
//!
//! The facts are those of the reference (`facts/kubevirt.json` and `facts/cdi.json`, reduced from its OpenAPI documents
//! without prose), its further constraints (`facts/constraints.json`) and our own descriptions
//! (`facts/descriptions.json`). Of CDI's kinds there are facts alone: no program needs them as types.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// Definitions by name, for example `v1.VirtualMachineSpec`.
pub type Definitions = BTreeMap<&'static str, Schema>;

/// One definition, or the schema of one field.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Schema {
    /// Name of the definition that this stands for.
    #[serde(rename = "$ref")]
    pub reference: Option<&'static str>,
    /// JSON types that are allowed.
    #[serde(rename = "type")]
    pub types: Types,
    /// Refinement of the type: `int32`, `int64`, `float`, `date-time`, `byte`.
    pub format: Option<&'static str>,
    /// Allowed values of a string.
    #[serde(rename = "enum")]
    pub values: Option<Vec<&'static str>>,
    /// Properties that must be present.
    pub required: Vec<&'static str>,
    /// Whether null is allowed.
    pub nullable: bool,
    /// A structure that is written even when it is empty.
    pub embedded: bool,
    /// Properties of a structure.
    pub properties: BTreeMap<&'static str, Self>,
    /// Schema of list items.
    pub items: Option<Box<Self>>,
    /// Schema of map values.
    #[serde(rename = "additionalProperties")]
    pub additional_properties: Option<Box<Self>>,
    /// How server-side apply merges a list.
    #[serde(rename = "x-kubernetes-list-type")]
    pub list_type: Option<&'static str>,
    /// Properties that identify an item of a `map` list.
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub list_map_keys: Option<Vec<&'static str>>,
    /// How server-side apply merges a structure or map.
    #[serde(rename = "x-kubernetes-map-type")]
    pub map_type: Option<&'static str>,
}

/// The `type` of a schema.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub enum Types {
    /// None is given: the schema is a reference.
    #[default]
    Any,
    /// One type.
    One(&'static str),
    /// One of several types.
    Several(Vec<&'static str>),
}

impl Types {
    /// Returns the type if exactly one is allowed.
    pub fn single(&self) -> Option<&'static str> {
        match self {
            Self::One(name) => Some(name),
            Self::Any | Self::Several(_) => None,
        }
    }

    /// Returns whether a type is among those allowed.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::Any => false,
            Self::One(own) => *own == name,
            Self::Several(own) => own.contains(&name),
        }
    }
}

/// One kind of object that is served.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    /// API group.
    pub group: &'static str,
    /// Name in objects.
    pub kind: &'static str,
    /// Name in paths.
    pub plural: &'static str,
    /// Name of one.
    pub singular: &'static str,
    /// Further names for command lines.
    pub short_names: Vec<&'static str>,
    /// Groups of resources for command lines, such as `all`.
    pub categories: Vec<&'static str>,
    /// `Namespaced` or `Cluster`.
    pub scope: &'static str,
    /// Name of the definition.
    pub definition: &'static str,
    /// Labels of the `CustomResourceDefinition`.
    pub labels: BTreeMap<&'static str, &'static str>,
    /// Whether `status` is written through its own path.
    pub status_subresource: bool,
    /// Whether the number of replicas is written through a path of its own.
    #[serde(default)]
    pub scale_subresource: bool,
    /// Versions, all with the same schema.
    pub versions: Vec<Version>,
    /// Columns of tables.
    pub columns: Vec<serde_json::Value>,
}

/// One version of a kind.
#[derive(Debug, Deserialize)]
pub struct Version {
    /// Name, for example `v1`.
    pub name: &'static str,
    /// Whether objects are stored in this version.
    #[serde(default)]
    pub storage: bool,
    /// Whether clients should move to another version.
    #[serde(default)]
    pub deprecated: bool,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
struct Kinds {
    kinds: Vec<Kind>,
}

static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(|| {
    let read =
        |text| -> Definitions { serde_json::from_str(text).expect("the facts are checked in and tested") };
    let mut all = read(include_str!("../facts/kubevirt.json"));
    // Of what both have, CDI knows more fields.
    all.extend(read(include_str!("../facts/cdi.json")));
    all
});

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    serde_json::from_str::<Kinds>(include_str!("../facts/kinds.json"))
        .expect("the kinds are checked in and tested")
        .kinds
});

/// Returns every definition of the API.
pub fn definitions() -> &'static Definitions {
    &DEFINITIONS
}

/// Returns every kind that is served.
pub fn kinds() -> &'static [Kind] {
    &KINDS
}

/// Returns the kind with this name in objects.
pub fn kind(name: &str) -> Option<&'static Kind> {
    kinds().iter().find(|kind| kind.kind == name)
}

/// Follows references until a schema with a type of its own.
pub fn resolve(schema: &'static Schema) -> &'static Schema {
    let mut schema = schema;
    while let Some(target) = schema.reference.and_then(|name| definitions().get(name)) {
        schema = target;
    }
    schema
}

/// Calls `visit` with the path of every leaf below a definition: fields that hold a scalar, a free-form map or
/// an empty structure. Lists and maps add no step of their own: `spec.template.spec.volumes.name`.
///
/// Object metadata inside a template counts as one leaf.
pub fn leaves(definition: &str, visit: &mut dyn FnMut(&str)) {
    if let Some(schema) = definitions().get(definition) {
        walk(schema, String::new(), visit);
    }
}

fn walk(schema: &'static Schema, path: String, visit: &mut dyn FnMut(&str)) {
    if schema.reference.is_some_and(|name| name.ends_with(".ObjectMeta")) {
        visit(&path);
        return;
    }
    let schema = resolve(schema);
    if !schema.properties.is_empty() {
        for (name, child) in &schema.properties {
            let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
            walk(child, path, visit);
        }
    } else if let Some(inner) = schema.items.as_deref().or(schema.additional_properties.as_deref()) {
        walk(inner, path, visit);
    } else {
        visit(&path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_definition_and_one_storage_version() {
        for kind in kinds() {
            assert!(definitions().contains_key(kind.definition), "{}", kind.definition);
            assert_eq!(kind.versions.iter().filter(|version| version.storage).count(), 1, "{}", kind.kind);
        }
    }

    #[test]
    fn leaves_name_whole_paths() {
        let mut paths = Vec::new();
        leaves("v1.VirtualMachine", &mut |path| paths.push(path.to_owned()));
        assert!(paths.iter().any(|path| path == "spec.template.spec.domain.cpu.cores"));
        assert!(paths.iter().any(|path| path == "spec.template.spec.volumes.containerDisk.image"));
        assert!(paths.iter().any(|path| path == "spec.template.metadata"));
    }
}
