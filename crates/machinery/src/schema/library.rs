//! Where schemas live: definitions by name, read when first needed, and inline schemas that refer to them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use serde_json::Value;

use super::node::{Child, Node, Target};
use super::parse::{Flavour, Parser, SchemaError};
use crate::field::FieldError;

/// Tells the JSON text of a definition.
type Source = Box<dyn Fn(&str) -> Option<Cow<'static, str>> + Send + Sync>;

/// A set of definitions that refer to one another.
#[derive(Clone, Debug)]
pub struct Library(Arc<Shelf>);

pub(crate) struct Shelf {
    source: Source,
    definitions: Mutex<HashMap<Arc<str>, Arc<Definition>>>,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

/// One named definition.
pub(crate) struct Definition {
    name: Arc<str>,
    shelf: Weak<Shelf>,
    node: OnceLock<Arc<Node>>,
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Definition({})", self.name)
    }
}

impl Definition {
    /// The definition's node. One that is missing or unreadable accepts anything: definitions are part of the
    /// program and its tests read them all.
    pub(crate) fn node(&self) -> &Node {
        self.node.get_or_init(|| {
            self.shelf
                .upgrade()
                .and_then(|shelf| shelf.read(&self.name))
                .unwrap_or_else(|| Arc::new(Node::any()))
        })
    }
}

impl Shelf {
    fn read(self: &Arc<Self>, name: &str) -> Option<Arc<Node>> {
        let text = (self.source)(name)?;
        let json = serde_json::from_str(&text).ok()?;
        Parser::new(self, Flavour::Definitions).named(name, &json).ok()
    }

    /// The definition `name`, whether or not it exists.
    pub(crate) fn definition(self: &Arc<Self>, name: &str) -> Arc<Definition> {
        let mut definitions = self.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = definitions.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        let definition = Arc::new(Definition {
            name: Arc::clone(&name),
            shelf: Arc::downgrade(self),
            node: OnceLock::new(),
        });
        definitions.insert(name, Arc::clone(&definition));
        definition
    }
}

impl Library {
    /// A library whose definitions `source` tells as JSON text: OpenAPI v3 schemas whose `$ref` is the name of
    /// another definition (with or without a path before it).
    pub fn new(source: impl Fn(&str) -> Option<Cow<'static, str>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shelf { source: Box::new(source), definitions: Mutex::default() }))
    }

    /// A library from a map of definitions.
    pub fn from_definitions(definitions: &serde_json::Map<String, Value>) -> Self {
        let texts: HashMap<String, String> =
            definitions.iter().map(|(name, json)| (name.clone(), json.to_string())).collect();
        Self::new(move |name| texts.get(name).cloned().map(Cow::Owned))
    }

    /// The definition `name`.
    pub fn named(&self, name: &str) -> Option<Schema> {
        (self.0.source)(name)?;
        Some(self.schema(Target::Named(self.0.definition(name)), Flavour::Definitions))
    }

    /// The schema of a custom resource, from `openAPIV3Schema`. `metadata` is described by this library's
    /// definition of object metadata, here and in embedded resources.
    pub fn structural(&self, open_api_v3_schema: &Value) -> Result<Schema, SchemaError> {
        let node = Parser::new(&self.0, Flavour::Structural).root(open_api_v3_schema)?;
        Ok(self.schema(Target::Inline(node), Flavour::Structural))
    }

    /// A part of a custom resource's schema by itself.
    pub(crate) fn fragment(&self, json: &Value) -> Result<Schema, SchemaError> {
        let node = Parser::new(&self.0, Flavour::Structural).part(json)?;
        Ok(self.schema(Target::Inline(node), Flavour::Structural))
    }

    /// A schema that accepts anything and owns maps key by key.
    pub fn anything(&self) -> Schema {
        self.schema(Target::Inline(Arc::new(Node::any())), Flavour::Structural)
    }

    fn schema(&self, target: Target, flavour: Flavour) -> Schema {
        Schema { root: Child { target, ..Child::of(Arc::new(Node::any())) }, flavour, library: self.clone() }
    }
}

/// What a whole object of one kind looks like. Cheap to clone.
#[derive(Clone)]
pub struct Schema {
    root: Child,
    flavour: Flavour,
    /// Keeps the definitions alive that nodes refer to.
    library: Library,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("root", &self.root.target).finish_non_exhaustive()
    }
}

impl Schema {
    pub(crate) fn root(&self) -> &Child {
        &self.root
    }

    /// The schema of a field of these objects.
    pub fn child(&self, name: &str) -> Option<Self> {
        self.root.node().object()?.field(name).map(|child| self.below(child.clone()))
    }

    /// The schema of a part of these objects.
    pub(crate) fn below(&self, root: Child) -> Self {
        Self { root, flavour: self.flavour, library: self.library.clone() }
    }

    /// The library that this schema is part of.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// The object of this kind with nothing set, as a typed object would be written: structures that are always
    /// there, required lists as null. For custom resources that is the empty object.
    pub fn zero(&self) -> Value {
        match self.flavour {
            Flavour::Definitions => super::defaults::zero(&self.root),
            Flavour::Structural => Value::Object(serde_json::Map::new()),
        }
    }

    /// Whether the schema declares the field at a path of names below the object.
    pub fn declares(&self, path: &[&str]) -> bool {
        let mut here = &self.root;
        for name in path {
            match here.node().object().and_then(|object| object.field(name)) {
                Some(child) => here = child,
                None => return false,
            }
        }
        true
    }

    /// The first value whose JSON type is not its field's, as decoding into a typed object would stumble over it.
    pub fn type_error(&self, object: &Value) -> Option<FieldError> {
        super::types::first_mismatch(&self.root, object)
    }

    /// Removes fields that the schema does not know; returns their paths in document order.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        super::prune::prune(&self.root, object)
    }

    /// The paths of fields that the schema does not know, in document order.
    pub fn unknown_fields(&self, object: &Value) -> Vec<String> {
        super::prune::unknown(&self.root, object)
    }

    /// The path of the declared field that somebody may have meant by the unknown field `path`.
    pub fn nearest(&self, path: &str) -> Option<String> {
        super::nearest::nearest(&self.root, path)
    }

    /// Fills in defaults, and removes nulls where null is no value.
    pub fn default(&self, object: &mut Value) {
        super::defaults::default(&self.root, object);
    }

    /// Takes away empty texts that have a default, in a typed object.
    pub fn unset_blank(&self, object: &mut Value) {
        super::defaults::unset_blank(&self.root, object);
    }

    /// Brings values into the form that a typed object would be written in: quantities and times canonical,
    /// optional empty collections left out.
    pub fn canonicalize(&self, object: &mut Value) {
        super::canonical::canonicalize(&self.root, object);
    }

    /// Every broken rule.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        self.validate_change(object, None)
    }

    /// Every rule that is broken where the object is not what it was before.
    pub fn validate_change(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        super::validate::validate(&self.root, object, old, self.flavour == Flavour::Definitions)
    }
}
