//! Merging lists: by key where elements are objects, as sets where they are plain values.

use serde_json::{Map, Value};

use super::{DIRECTIVE, merge_fields, order};
use crate::patch::PatchError;
use crate::schema::Child;

/// The field that tells elements of a list apart.
pub(super) fn merge_key(child: Option<&Child>) -> Option<&str> {
    child?.node().list()?.merge_key.as_deref()
}

/// Merges `new` into `old`.
pub(super) fn merge(
    child: Option<&Child>,
    old: Vec<Value>,
    new: Vec<Value>,
) -> Result<Vec<Value>, PatchError> {
    if old.iter().chain(&new).any(Value::is_array) {
        return Err(PatchError::Form("lists of lists cannot be merged".to_owned()));
    }
    if old.iter().chain(&new).any(Value::is_object) {
        return merge_objects(child, old, new);
    }
    let mut merged: Vec<Value> = Vec::with_capacity(old.len() + new.len());
    for item in old.iter().chain(&new) {
        if !merged.contains(item) {
            merged.push(item.clone());
        }
    }
    Ok(order::arrange(merged, &new, &old, None))
}

fn merge_objects(child: Option<&Child>, old: Vec<Value>, new: Vec<Value>) -> Result<Vec<Value>, PatchError> {
    let Some(key) = merge_key(child) else {
        return Err(PatchError::Form("a list of objects without a merge key cannot be merged".to_owned()));
    };
    let items = child.and_then(|child| child.node().list()).map(|list| &list.items);
    let server_order = old.clone();
    let (mut merged, mut ordinary, mut replaces) = (old, Vec::new(), false);
    for element in new {
        let Value::Object(mut fields) = element else {
            return Err(PatchError::Form(format!("{element} is not an object, as the other elements are")));
        };
        match fields.shift_remove(DIRECTIVE) {
            None => ordinary.push(fields),
            Some(directive) => match directive.as_str() {
                Some("delete") => {
                    let value = key_of(&fields, key)?.clone();
                    merged.retain(|item| item.get(key) != Some(&value));
                }
                // The directive stands in an element of its own, which carries nothing else.
                Some("replace") => replaces = true,
                Some("merge") => ordinary.push(fields),
                _ => {
                    return Err(PatchError::Form(format!(
                        "unknown $patch directive {directive} in a list: use replace, delete or merge"
                    )));
                }
            },
        }
    }
    if replaces {
        let items = ordinary.into_iter().map(|fields| super::without_directives(Value::Object(fields)));
        return Ok(items.collect());
    }
    let wanted: Vec<Value> = ordinary.iter().cloned().map(Value::Object).collect();
    for fields in ordinary {
        let value = key_of(&fields, key)?;
        match merged.iter_mut().find(|item| item.get(key) == Some(value)) {
            Some(found) => {
                let before = match found.take() {
                    Value::Object(before) => before,
                    _ => Map::new(),
                };
                *found = Value::Object(merge_fields(items, before, fields)?);
            }
            None => merged.push(super::without_directives(Value::Object(fields))),
        }
    }
    Ok(order::arrange(merged, &wanted, &server_order, Some(key)))
}

fn key_of<'f>(fields: &'f Map<String, Value>, key: &str) -> Result<&'f Value, PatchError> {
    let missing =
        || PatchError::NoMergeKey { key: key.to_owned(), element: Value::Object(fields.clone()).to_string() };
    fields.get(key).ok_or_else(missing)
}
