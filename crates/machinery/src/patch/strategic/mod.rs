//! Strategic merge patch: a merge patch that knows, from the schema, which lists merge by which key.
//!
//! Directives inside the patch change the rule for their place:
//!
//! - `$patch: replace | delete | merge` in an object or in a list's element;
//! - `$retainKeys: [..]`: fields not named are removed;
//! - `$setElementOrder/LIST: [..]`: the order that the patched list shall have;
//! - `$deleteFromPrimitiveList/LIST: [..]`: values to take out of a list of plain values.

mod list;
mod order;

use serde_json::{Map, Value};

use super::PatchError;
use crate::schema::{Child, Schema, Strategy};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_VALUES: &str = "$deleteFromPrimitiveList/";

/// Applies `patch` to an object of the kind that `schema` describes.
pub fn apply(schema: &Schema, object: &Value, patch: &Value) -> Result<Value, PatchError> {
    let (Value::Object(fields), Value::Object(patch)) = (object, patch) else {
        return Err(PatchError::Form("a strategic merge patch must be an object".to_owned()));
    };
    Ok(Value::Object(merge_fields(Some(schema.root()), fields.clone(), patch.clone())?))
}

fn malformed<T>(why: String) -> Result<T, PatchError> {
    Err(PatchError::Form(why))
}

/// What the schema says of the field `name` below `parent`; nothing where the schema is open.
fn below<'s>(parent: Option<&'s Child>, name: &str) -> Option<&'s Child> {
    parent?.node().object()?.child(name)
}

fn strategy(child: Option<&Child>) -> Strategy {
    child.map(|child| child.strategy).unwrap_or_default()
}

fn merge_fields(
    place: Option<&Child>,
    mut fields: Map<String, Value>,
    mut patch: Map<String, Value>,
) -> Result<Map<String, Value>, PatchError> {
    if let Some(directive) = patch.shift_remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Map::new()),
            Some("merge") => merge_fields(place, fields, patch),
            _ => malformed(format!(
                "unknown $patch directive {directive} in an object: use replace, delete or merge"
            )),
        };
    }
    retain_keys(&mut fields, &mut patch)?;
    for name in names_with(&patch, SET_ORDER) {
        order_list(place, &mut fields, &mut patch, &name)?;
    }
    for name in names_with(&patch, DELETE_VALUES) {
        let values = patch.shift_remove(&format!("{DELETE_VALUES}{name}"));
        let Some(Value::Array(values)) = values else {
            return malformed(format!("{DELETE_VALUES}{name} must be a list"));
        };
        if let Some(Value::Array(items)) = fields.get_mut(&name) {
            items.retain(|item| !values.contains(item));
        }
    }
    for (name, change) in patch {
        if change.is_null() {
            fields.shift_remove(&name);
            continue;
        }
        let child = below(place, &name);
        let merged = match (fields.get_mut(&name).map(Value::take), change) {
            (Some(Value::Object(old)), Value::Object(new)) if !strategy(child).replace => {
                Value::Object(merge_fields(child, old, new)?)
            }
            (Some(Value::Array(old)), Value::Array(new)) if strategy(child).merge => {
                Value::Array(list::merge(child, old, new)?)
            }
            (_, new) => without_directives(new),
        };
        fields.insert(name, merged);
    }
    Ok(fields)
}

fn names_with(patch: &Map<String, Value>, prefix: &str) -> Vec<String> {
    patch.keys().filter_map(|key| key.strip_prefix(prefix)).map(str::to_owned).collect()
}

fn retain_keys(fields: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), PatchError> {
    let Some(retained) = patch.shift_remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let Some(retained) = retained.as_array() else {
        return malformed(format!("{RETAIN_KEYS} must be a list of field names"));
    };
    let keeps = |name: &str| retained.iter().any(|r| r.as_str() == Some(name));
    for (name, change) in patch.iter() {
        if !change.is_null() && !name.starts_with('$') && !keeps(name) {
            return malformed(format!("field {name:?} is set but not listed in {RETAIN_KEYS}"));
        }
    }
    fields.retain(|name, _| keeps(name));
    Ok(())
}

/// Merges the list `name` and brings it into the order that its `$setElementOrder` asks for.
fn order_list(
    place: Option<&Child>,
    fields: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    name: &str,
) -> Result<(), PatchError> {
    let Some(Value::Array(wanted)) = patch.shift_remove(&format!("{SET_ORDER}{name}")) else {
        return malformed(format!("{SET_ORDER}{name} must be a list"));
    };
    let child = below(place, name);
    let key = list::merge_key(child);
    let old = match fields.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::Array(items)) => Some(items.clone()),
        Some(_) => return malformed(format!("{SET_ORDER}{name}: {name} is not a list in the object")),
    };
    let new = match patch.get(name) {
        None => None,
        // Null clears the list, and there is nothing left to order.
        Some(Value::Null) => return Ok(()),
        Some(Value::Array(items)) => Some(items.clone()),
        Some(_) => return malformed(format!("{SET_ORDER}{name}: {name} is not a list in the patch")),
    };
    if let Some(new) = &new {
        order::check_listed(new, &wanted, key, name)?;
    }
    let server_order = old.clone().unwrap_or_default();
    let merged = match (old, new) {
        (Some(old), Some(new)) if strategy(child).merge => list::merge(child, old, new)?,
        (_, Some(new)) => match without_directives(Value::Array(new)) {
            Value::Array(items) => items,
            _ => Vec::new(),
        },
        (Some(old), None) => old,
        (None, None) => return Ok(()),
    };
    patch.shift_remove(name);
    fields.insert(name.to_owned(), Value::Array(order::arrange(merged, &wanted, &server_order, key)));
    Ok(())
}

/// A value that is new to the object: nulls and directives inside it have nothing to act on.
fn without_directives(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(name, value)| {
                let directive = matches!(name.as_str(), DIRECTIVE | RETAIN_KEYS)
                    || name.starts_with(SET_ORDER)
                    || name.starts_with(DELETE_VALUES);
                !value.is_null() && !directive
            });
            Value::Object(kept.map(|(name, value)| (name, without_directives(value))).collect())
        }
        Value::Array(items) => {
            let deletes = |item: &Value| item.get(DIRECTIVE).is_some_and(|d| d == "delete");
            let only_directive = |item: &Value| {
                item.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key(DIRECTIVE))
            };
            let kept = items.into_iter().filter(|item| !deletes(item) && !only_directive(item));
            Value::Array(kept.map(without_directives).collect())
        }
        plain => plain,
    }
}

#[cfg(test)]
mod tests;
