//! Fills in defaults and removes nulls that stand for "not set".

use serde_json::{Map, Value};

use super::{Child, Object, Shape};

/// Defaults the object in place.
pub(super) fn default(root: &Child, object: &mut Value) {
    walk(root, object);
}

/// Takes away empty texts that have a default: to typed clients they are the same as none.
pub(super) fn unset_blank(child: &Child, value: &mut Value) {
    match (&child.node().shape, value) {
        (Shape::Object(object), Value::Object(fields)) => {
            let is_blank = |name: &str, value: &Value| {
                let field = object.fields.iter().find(|(field, _)| field.as_ref() == name);
                let default = field.and_then(|(_, child)| child.default.as_deref()?.as_str());
                value == "" && default.is_some_and(|default| !default.is_empty())
            };
            fields.retain(|name, value| !is_blank(name, value));
            for (name, value) in fields {
                if let Some(child) = object.child(name) {
                    unset_blank(child, value);
                }
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            for item in items {
                unset_blank(&list.items, item);
            }
        }
        _ => {}
    }
}

/// The object with nothing set: structures that are always there, and required lists as null, all the way down.
pub(super) fn zero(root: &Child) -> Value {
    let mut fields = Map::new();
    let object = root.node().object();
    for (name, child) in object.into_iter().flat_map(|object| &object.fields) {
        let node = child.node();
        if child.default.as_deref().and_then(Value::as_object).is_some_and(Map::is_empty) {
            fields.insert(name.as_ref().to_owned(), zero(child));
        } else if object.is_some_and(|object| object.requires(name)) && matches!(node.shape, Shape::List(_)) {
            fields.insert(name.as_ref().to_owned(), Value::Null);
        }
    }
    Value::Object(fields)
}

fn walk(child: &Child, value: &mut Value) {
    match (&child.node().shape, value) {
        (Shape::Object(object), Value::Object(fields)) => walk_fields(object, fields),
        (Shape::List(list), Value::Array(items)) => {
            for item in items {
                if let (Value::Null, false, Some(default)) =
                    (&*item, list.items.node().nullable, &list.items.default)
                {
                    *item = default.as_ref().clone();
                }
                walk(&list.items, item);
            }
        }
        _ => {}
    }
}

fn walk_fields(object: &Object, fields: &mut Map<String, Value>) {
    let mut unset = Vec::new();
    for (name, value) in fields.iter_mut().filter(|(_, value)| value.is_null()) {
        match object.child(name) {
            Some(child) if child.node().nullable => {}
            Some(child) => match &child.default {
                Some(default) => *value = default.as_ref().clone(),
                None => unset.push(name.clone()),
            },
            None => {}
        }
    }
    for name in unset {
        fields.shift_remove(&name);
    }
    for (name, child) in &object.fields {
        match &child.default {
            Some(default) if !fields.contains_key(name.as_ref()) => {
                fields.insert(name.as_ref().to_owned(), default.as_ref().clone());
            }
            _ => {}
        }
    }
    for (name, value) in fields.iter_mut() {
        if let Some(child) = object.child(name) {
            walk(child, value);
        }
    }
}
