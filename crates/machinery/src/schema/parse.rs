//! Reads schemas from their OpenAPI v3 form.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Number, Value};
use thiserror::Error;

use super::library::Shelf;
use super::node::{Child, List, ListKind, Node, Object, Rules, Shape, Strategy, Target};
use super::pattern::Pattern;

/// Why a schema could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// A part is not a JSON object.
    #[error("the schema at {0} must be an object")]
    NotAnObject(String),
    /// A type word that is none.
    #[error(
        "the schema at {path} has the unknown type {word:?}: use object, array, string, integer, number or boolean"
    )]
    Type {
        /// Where.
        path: String,
        /// The word.
        word: String,
    },
    /// Deeper than any real schema.
    #[error("the schema at {0} is nested too deeply: flatten it or use x-kubernetes-preserve-unknown-fields")]
    TooDeep(String),
}

/// Which conventions a document follows where OpenAPI leaves room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Definitions of typed objects: an object without fields holds anything.
    Definitions,
    /// Structural schemas of custom resources: an object without fields holds nothing.
    Structural,
}

pub(super) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const MAX_DEPTH: usize = 100;

/// Reads one document, sharing equal parts.
pub(crate) struct Parser<'a> {
    shelf: &'a Arc<Shelf>,
    flavour: Flavour,
    nodes: HashSet<Arc<Node>>,
    names: HashSet<Arc<str>>,
    depth: usize,
}

type Fragment = Map<String, Value>;

impl<'a> Parser<'a> {
    pub(crate) fn new(shelf: &'a Arc<Shelf>, flavour: Flavour) -> Self {
        Self { shelf, flavour, nodes: HashSet::new(), names: HashSet::new(), depth: 0 }
    }

    /// A definition; some names have a meaning that their text does not tell.
    pub(crate) fn named(mut self, name: &str, json: &Value) -> Result<Arc<Node>, SchemaError> {
        let known = match name.rsplit_once('.').map_or(name, |(_, last)| last) {
            "Quantity" if name.ends_with("api.resource.Quantity") => Some(Shape::Quantity),
            "IntOrString" => Some(Shape::IntOrString),
            "Time" if name.ends_with("meta.v1.Time") => Some(Shape::Time { micro: false }),
            "MicroTime" if name.ends_with("meta.v1.MicroTime") => Some(Shape::Time { micro: true }),
            _ => None,
        };
        if let Some(shape) = known {
            return Ok(self.share(Node { shape, nullable: true, typed: true, rules: None }));
        }
        self.node(json, "", true)
    }

    /// A custom resource's whole object.
    pub(crate) fn root(mut self, json: &Value) -> Result<Arc<Node>, SchemaError> {
        let node = self.node(json, "", true)?;
        let Shape::Object(object) = &node.shape else {
            return Ok(node);
        };
        let mut whole = node.as_ref().clone();
        whole.shape = Shape::Object(Box::new(self.with_type_and_metadata((**object).clone())));
        Ok(Arc::new(whole))
    }

    /// A part of a document.
    pub(crate) fn part(mut self, json: &Value) -> Result<Arc<Node>, SchemaError> {
        self.node(json, "", true)
    }

    fn share(&mut self, node: Node) -> Arc<Node> {
        if let Some(known) = self.nodes.get(&node) {
            return Arc::clone(known);
        }
        let node = Arc::new(node);
        self.nodes.insert(Arc::clone(&node));
        node
    }

    fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.names.get(text) {
            return Arc::clone(known);
        }
        let name: Arc<str> = text.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    fn child(&mut self, json: &Value, path: &str, typed: bool) -> Result<Child, SchemaError> {
        let fragment = json.as_object().ok_or_else(|| SchemaError::NotAnObject(path.to_owned()))?;
        let reference =
            fragment.get("$ref").or_else(|| fragment.get("allOf")?.as_array()?.first()?.get("$ref"));
        let target = match reference.and_then(Value::as_str) {
            Some(name) => {
                let name = name.rsplit_once('/').map_or(name, |(_, last)| last);
                Target::Named(self.shelf.definition(name))
            }
            None => Target::Inline(self.node(json, path, typed)?),
        };
        Ok(Child {
            target,
            default: fragment.get("default").map(|v| Arc::new(v.clone())),
            strategy: strategy(fragment),
            atomic: match text(fragment, "x-kubernetes-map-type") {
                Some("atomic") => Some(true),
                Some("granular") => Some(false),
                _ => None,
            },
        })
    }

    fn node(&mut self, json: &Value, path: &str, typed: bool) -> Result<Arc<Node>, SchemaError> {
        let fragment = json.as_object().ok_or_else(|| SchemaError::NotAnObject(path.to_owned()))?;
        if self.depth > MAX_DEPTH {
            return Err(SchemaError::TooDeep(path.to_owned()));
        }
        self.depth += 1;
        let shape = self.shape(fragment, path, typed);
        let rules = self.rules(fragment, path);
        self.depth -= 1;
        let shape = shape?;
        let nullable = match self.flavour {
            Flavour::Definitions => false,
            Flavour::Structural => flag(fragment, "nullable") || matches!(shape, Shape::Any),
        };
        Ok(self.share(Node { shape, nullable, typed, rules: rules? }))
    }

    fn shape(&mut self, fragment: &Fragment, path: &str, typed: bool) -> Result<Shape, SchemaError> {
        let format = text(fragment, "format").unwrap_or_default();
        if flag(fragment, "x-kubernetes-int-or-string") || format == "int-or-string" {
            return Ok(Shape::IntOrString);
        }
        let guess = || match () {
            () if fragment.contains_key("properties") || fragment.contains_key("additionalProperties") => {
                "object"
            }
            () if fragment.contains_key("items") => "array",
            () if !typed && fragment.contains_key("required") => "object",
            () => "",
        };
        Ok(match text(fragment, "type").unwrap_or_else(guess) {
            "" => Shape::Any,
            "boolean" => Shape::Boolean,
            "integer" => Shape::Integer { narrow: format == "int32" },
            "number" => Shape::Number,
            "string" if format == "byte" => Shape::Bytes,
            "string" => Shape::Text,
            "array" => Shape::List(Box::new(self.list(fragment, path, typed)?)),
            "object" => Shape::Object(Box::new(self.object(fragment, path, typed)?)),
            word => {
                return Err(SchemaError::Type { path: path.to_owned(), word: word.to_owned() });
            }
        })
    }

    fn list(&mut self, fragment: &Fragment, path: &str, typed: bool) -> Result<List, SchemaError> {
        let items = match fragment.get("items") {
            Some(items) => self.child(items, &format!("{path}.items"), typed)?,
            None => Child::of(self.share(Node::any())),
        };
        let kind = match text(fragment, "x-kubernetes-list-type") {
            Some("set") => ListKind::Set,
            Some("map") => ListKind::Map,
            _ => ListKind::Atomic,
        };
        let keys: Vec<Arc<str>> =
            strings(fragment, "x-kubernetes-list-map-keys").map(|k| self.name(k)).collect();
        let merge_key = text(fragment, "x-kubernetes-patch-merge-key").map(|k| self.name(k));
        Ok(List { items, kind, keys: keys.into(), merge_key })
    }

    fn object(&mut self, fragment: &Fragment, path: &str, typed: bool) -> Result<Object, SchemaError> {
        let mut fields = Vec::new();
        if let Some(Value::Object(properties)) = fragment.get("properties") {
            for (name, json) in properties {
                let child = self.child(json, &format!("{path}.{name}"), typed)?;
                fields.push((self.name(name), child));
            }
        }
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut open = flag(fragment, "x-kubernetes-preserve-unknown-fields");
        let values = match fragment.get("additionalProperties") {
            Some(json @ Value::Object(_)) => {
                Some(self.child(json, &format!("{path}.additionalProperties"), typed)?)
            }
            Some(Value::Bool(true)) => {
                open = true;
                None
            }
            None if self.flavour == Flavour::Definitions && fields.is_empty() => {
                open = true;
                None
            }
            _ => None,
        };
        let required: Vec<Arc<str>> = strings(fragment, "required").map(|r| self.name(r)).collect();
        let embedded = flag(fragment, "x-kubernetes-embedded-resource");
        let object = Object {
            fields: fields.into(),
            required: required.into(),
            values,
            open,
            atomic: text(fragment, "x-kubernetes-map-type") == Some("atomic"),
            embedded,
        };
        Ok(if embedded { self.with_type_and_metadata(object) } else { object })
    }

    /// The object with `apiVersion`, `kind` and `metadata` described as every whole object has them.
    fn with_type_and_metadata(&mut self, object: Object) -> Object {
        let word = || Node { shape: Shape::Text, nullable: false, typed: true, rules: None };
        let mut fields: Vec<_> = object.fields.into_vec();
        for name in ["apiVersion", "kind"] {
            if !fields.iter().any(|(n, _)| n.as_ref() == name) {
                let node = self.share(word());
                fields.push((self.name(name), Child::of(node)));
            }
        }
        let meta = Child {
            target: Target::Named(self.shelf.definition(OBJECT_META)),
            ..Child::of(self.share(word()))
        };
        // A schema may restrict metadata.name; those rules ride along as a check beside the definition's shape.
        fields.retain(|(n, _)| n.as_ref() != "metadata");
        fields.push((self.name("metadata"), meta));
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        Object { fields: fields.into(), ..object }
    }

    fn rules(&mut self, fragment: &Fragment, path: &str) -> Result<Option<Box<Rules>>, SchemaError> {
        let number = |name: &str| fragment.get(name).and_then(Value::as_number).cloned();
        let count = |name: &str| fragment.get(name).and_then(Value::as_u64);
        let format = text(fragment, "format");
        let is_integer = text(fragment, "type") == Some("integer");
        let rules = Rules {
            one_of_values: fragment.get("enum").and_then(Value::as_array).cloned().unwrap_or_default().into(),
            minimum: number("minimum").map(|n| whole(n, is_integer)),
            maximum: number("maximum").map(|n| whole(n, is_integer)),
            exclusive_minimum: flag(fragment, "exclusiveMinimum"),
            exclusive_maximum: flag(fragment, "exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            unique_items: flag(fragment, "uniqueItems"),
            format: format.filter(|f| *f != "int-or-string").map(Into::into),
            pattern: text(fragment, "pattern").map(Pattern::new),
            all_of: self.branches(fragment, "allOf", path)?,
            any_of: self.branches(fragment, "anyOf", path)?,
            one_of: self.branches(fragment, "oneOf", path)?,
            not: fragment
                .get("not")
                .map(|json| self.node(json, &format!("{path}.not"), false))
                .transpose()?,
        };
        Ok((rules != Rules::default()).then(|| Box::new(rules)))
    }

    fn branches(
        &mut self,
        fragment: &Fragment,
        word: &str,
        path: &str,
    ) -> Result<Box<[Arc<Node>]>, SchemaError> {
        let branches = fragment.get(word).and_then(Value::as_array);
        let branches = branches.into_iter().flatten().enumerate().map(|(i, json)| {
            // int-or-string is customarily spelt as two types; inside a branch a type is a check on the value.
            let typed = json.get("type").is_some();
            self.node(json, &format!("{path}.{word}[{i}]"), typed)
        });
        branches.collect()
    }
}

/// Bounds of integers are sometimes written as `1.0`; compare them as integers.
fn whole(number: Number, is_integer: bool) -> Number {
    match number.as_f64() {
        Some(f) if is_integer && number.as_i64().is_none() && f.fract() == 0.0 => Number::from(f as i64),
        _ => number,
    }
}

fn text<'j>(fragment: &'j Fragment, name: &str) -> Option<&'j str> {
    fragment.get(name).and_then(Value::as_str)
}

fn flag(fragment: &Fragment, name: &str) -> bool {
    fragment.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn strings<'j>(fragment: &'j Fragment, name: &str) -> impl Iterator<Item = &'j str> {
    fragment.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn strategy(fragment: &Fragment) -> Strategy {
    let mut strategy = Strategy::default();
    for word in text(fragment, "x-kubernetes-patch-strategy").unwrap_or_default().split(',') {
        match word {
            "merge" => strategy.merge = true,
            "replace" => strategy.replace = true,
            "retainKeys" => strategy.retain_keys = true,
            _ => {}
        }
    }
    strategy
}
