//! Fills in defaults and removes nulls that stand for "not set".

use serde_json::{Map, Value};

use super::{Child, Object, Shape};

/// Defaults the object in place.
pub(super) fn default(root: &Child, object: &mut Value) {
    walk(root, object);
}

/// The object with nothing set: defaults, and required lists as null, all the way down.
pub(super) fn zero(root: &Child) -> Value {
    let mut object = Value::Object(Map::new());
    walk(root, &mut object);
    add_required_lists(root, &mut object);
    object
}

fn add_required_lists(child: &Child, value: &mut Value) {
    let (Shape::Object(object), Value::Object(fields)) = (&child.node().shape, value) else { return };
    for (name, child) in &object.fields {
        if let Some(value) = fields.get_mut(name.as_ref()) {
            add_required_lists(child, value);
        } else if object.requires(name) && matches!(child.node().shape, Shape::List(_)) {
            fields.insert(name.as_ref().to_owned(), Value::Null);
        }
    }
}

fn walk(child: &Child, value: &mut Value) {
    match (&child.node().shape, value) {
        (Shape::Object(object), Value::Object(fields)) => walk_fields(object, fields),
        (Shape::List(list), Value::Array(items)) => {
            for item in items {
                if item.is_null() && !list.items.node().nullable {
                    if let Some(default) = &list.items.default {
                        *item = default.as_ref().clone();
                    }
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
            Some(child) => match (&child.default, object.field(name)) {
                (Some(default), _) => *value = default.as_ref().clone(),
                (None, Some(_)) => unset.push(name.clone()),
                (None, None) => {}
            },
            None => {}
        }
    }
    for name in unset {
        fields.shift_remove(&name);
    }
    for (name, child) in &object.fields {
        if let Some(default) = &child.default {
            if !fields.contains_key(name.as_ref()) {
                fields.insert(name.as_ref().to_owned(), default.as_ref().clone());
            }
        }
    }
    for (name, value) in fields.iter_mut() {
        if let Some(child) = object.child(name) {
            walk(child, value);
        }
    }
}
