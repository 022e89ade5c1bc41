//! What a schema tells of a value: its type, and how large it can become in a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::list::Identity;
use super::types::Type;

/// A value that a schema describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// What it is made of.
    pub form: Form,
    /// Most characters, bytes, items or entries; 0 where that means nothing.
    pub most: u64,
    /// Fewest bytes that it takes in a document.
    pub bytes: u64,
}

/// The kinds of declared values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A whole number or a text.
    Either,
    /// A type without parts, by CEL's name.
    Plain(&'static str),
    /// A list: its items, and what makes one the same in another list.
    List(Arc<Declared>, Identity),
    /// A map, by its values.
    Map(Arc<Declared>),
    /// A structure, by the names that expressions use: the field's own name and what it holds.
    Object(BTreeMap<String, (String, Arc<Declared>)>),
}

impl Declared {
    /// The type that expressions see.
    pub fn kind(&self) -> Type {
        match &self.form {
            Form::Either => Type::Dyn,
            Form::Plain(name) => Type::Plain(name),
            Form::List(items, _) => Type::List(Box::new(items.kind())),
            Form::Map(values) => Type::Map(Box::new(values.kind())),
            Form::Object(fields) => {
                let kinds = fields.iter().map(|(name, (_, field))| (name.clone(), field.kind()));
                Type::Members(Arc::new(kinds.collect()))
            }
        }
    }

    /// A field, by the name that expressions use.
    pub(super) fn field(&self, name: &str) -> Option<&Arc<Self>> {
        match &self.form {
            Form::Object(fields) => fields.get(name).map(|(_, field)| field),
            _ => None,
        }
    }

    /// The items of a list, or the values of a map.
    pub(super) fn element(&self) -> Option<&Arc<Self>> {
        match &self.form {
            Form::List(element, _) | Form::Map(element) => Some(element),
            _ => None,
        }
    }
}
