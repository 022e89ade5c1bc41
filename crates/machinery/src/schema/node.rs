//! The parts of a schema, laid out to be small and shared.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde_json::{Number, Value};

use super::library::Definition;
use super::pattern::Pattern;

/// One value's schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) shape: Shape,
    /// Null is a value of its own.
    pub(crate) nullable: bool,
    /// The shape is required; false inside `anyOf` and the like, where only values of the shape are checked.
    pub(crate) typed: bool,
    pub(crate) rules: Option<Box<Rules>>,
}

/// What kind of value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// Anything.
    Any,
    Boolean,
    /// A whole number; true when it must fit into 32 bits.
    Integer {
        narrow: bool,
    },
    Number,
    Text,
    /// Text that holds base64.
    Bytes,
    /// A time to the second, or to the microsecond.
    Time {
        micro: bool,
    },
    IntOrString,
    Quantity,
    List(Box<List>),
    Object(Box<Object>),
}

/// How a list is merged and who can own it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// As one value.
    Atomic,
    /// Element by element, elements being their own keys.
    Set,
    /// Element by element, by key fields.
    Map,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct List {
    pub(crate) items: Child,
    pub(crate) kind: ListKind,
    /// Key fields of a [`ListKind::Map`].
    pub(crate) keys: Box<[Arc<str>]>,
    /// Key field for strategic merge patch.
    pub(crate) merge_key: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Object {
    /// Declared fields, sorted by name.
    pub(crate) fields: Box<[(Arc<str>, Child)]>,
    pub(crate) required: Box<[Arc<str>]>,
    /// Schema of the values of undeclared keys.
    pub(crate) values: Option<Child>,
    /// Undeclared keys are kept, whatever they hold.
    pub(crate) open: bool,
    /// Owned as one value.
    pub(crate) atomic: bool,
    /// A whole object with `apiVersion`, `kind` and `metadata`.
    pub(crate) embedded: bool,
}

/// How strategic merge patch treats a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Strategy {
    /// Merge lists by key (or as sets).
    pub merge: bool,
    /// Replace the value as a whole.
    pub replace: bool,
    /// The patch names the only fields that stay.
    pub retain_keys: bool,
}

/// The use of a node at one place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Child {
    pub(crate) target: Target,
    pub(crate) default: Option<Arc<Value>>,
    pub(crate) strategy: Strategy,
    /// Overrides the target's own word on being atomic.
    pub(crate) atomic: Option<bool>,
}

/// A node in place, or a definition by name. Compared by identity: equal parts are the same part.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Inline(Arc<Node>),
    Named(Arc<Definition>),
}

impl Target {
    fn address(&self) -> usize {
        match self {
            Self::Inline(node) => Arc::as_ptr(node) as usize,
            Self::Named(definition) => Arc::as_ptr(definition) as usize,
        }
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Target {}

impl Hash for Target {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

impl Child {
    pub(crate) fn of(node: Arc<Node>) -> Self {
        Self { target: Target::Inline(node), default: None, strategy: Strategy::default(), atomic: None }
    }

    /// The node used here; definitions are read at the first call.
    pub(crate) fn node(&self) -> &Node {
        match &self.target {
            Target::Inline(node) => node,
            Target::Named(definition) => definition.node(),
        }
    }

    /// Whether this place is owned as one value.
    pub(crate) fn is_atomic(&self) -> bool {
        self.atomic.unwrap_or_else(|| match &self.node().shape {
            Shape::Object(object) => object.atomic,
            Shape::List(list) => list.kind == ListKind::Atomic,
            _ => false,
        })
    }
}

impl Node {
    pub(crate) fn any() -> Self {
        Self { shape: Shape::Any, nullable: true, typed: true, rules: None }
    }

    pub(crate) fn object(&self) -> Option<&Object> {
        match &self.shape {
            Shape::Object(object) => Some(object),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&List> {
        match &self.shape {
            Shape::List(list) => Some(list),
            _ => None,
        }
    }
}

impl Object {
    /// The declared field `name`.
    pub(crate) fn field(&self, name: &str) -> Option<&Child> {
        self.fields.binary_search_by(|(n, _)| n.as_ref().cmp(name)).ok().map(|i| &self.fields[i].1)
    }

    /// What describes the value under `key`: the declared field, else the schema for other values.
    pub(crate) fn child(&self, key: &str) -> Option<&Child> {
        self.field(key).or(self.values.as_ref())
    }

    pub(crate) fn requires(&self, name: &str) -> bool {
        self.required.iter().any(|r| r.as_ref() == name)
    }
}

/// Rules on values beyond their shape.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Rules {
    pub(crate) one_of_values: Box<[Value]>,
    pub(crate) minimum: Option<Number>,
    pub(crate) maximum: Option<Number>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<Number>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_items: Option<u64>,
    pub(crate) min_properties: Option<u64>,
    pub(crate) max_properties: Option<u64>,
    pub(crate) unique_items: bool,
    pub(crate) format: Option<Box<str>>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) all_of: Box<[Arc<Node>]>,
    pub(crate) any_of: Box<[Arc<Node>]>,
    pub(crate) one_of: Box<[Arc<Node>]>,
    pub(crate) not: Option<Arc<Node>>,
}
