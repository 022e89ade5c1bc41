//! Finds, and on request removes, fields that the schema does not know.

use serde_json::Value;

use super::{Child, Shape};

/// Removes unknown fields and returns their paths.
pub(super) fn prune(root: &Child, object: &mut Value) -> Vec<String> {
    let mut found = Vec::new();
    remove(root, object, "", &mut found);
    found
}

/// Returns the paths of unknown fields.
pub(super) fn unknown(root: &Child, object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look(root, object, "", &mut found);
    found
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn remove(child: &Child, value: &mut Value, path: &str, found: &mut Vec<String>) {
    match (&child.node().shape, value) {
        (Shape::Object(object), Value::Object(fields)) => {
            let mut unknown = Vec::new();
            for (name, value) in fields.iter_mut() {
                match object.child(name) {
                    Some(child) if is_deep(value) => remove(child, value, &join(path, name), found),
                    Some(_) => {}
                    None if object.open => {}
                    None => {
                        found.push(join(path, name));
                        unknown.push(name.clone());
                    }
                }
            }
            for name in unknown {
                fields.shift_remove(&name);
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            for (i, item) in items.iter_mut().enumerate().filter(|(_, item)| is_deep(item)) {
                remove(&list.items, item, &format!("{path}[{i}]"), found);
            }
        }
        _ => {}
    }
}

fn look(child: &Child, value: &Value, path: &str, found: &mut Vec<String>) {
    match (&child.node().shape, value) {
        (Shape::Object(object), Value::Object(fields)) => {
            for (name, value) in fields {
                match object.child(name) {
                    Some(child) if is_deep(value) => look(child, value, &join(path, name), found),
                    Some(_) => {}
                    None if object.open => {}
                    None => found.push(join(path, name)),
                }
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            for (i, item) in items.iter().enumerate().filter(|(_, item)| is_deep(item)) {
                look(&list.items, item, &format!("{path}[{i}]"), found);
            }
        }
        _ => {}
    }
}

fn is_deep(value: &Value) -> bool {
    value.is_object() || value.is_array()
}
