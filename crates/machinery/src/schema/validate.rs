//! Checks an object against every rule of its schema.

use std::collections::HashSet;

use serde_json::Value;

use super::node::List;
use super::types::{json_type, shape_name};
use super::{Child, ListKind, Node, Object, Shape};
use crate::field::{FieldError, Path, Problem};
use crate::keyed::Keyed;
use crate::quantity::Quantity;

/// All errors, parents before children, in the document's order.
///
/// In `typed` objects (built-in kinds) null means "not set" everywhere, and kinds word their own rules about
/// elements that occur twice. What `old`, the object as it was, holds unchanged may stay as it is.
pub(super) fn validate(root: &Child, object: &Value, old: Option<&Value>, typed: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_node(root.node(), object, old, &Path::root(), Rule { typed }, &mut errors);
    errors
}

/// Which conventions the object follows.
#[derive(Clone, Copy, Debug)]
struct Rule {
    typed: bool,
}

fn check_node(
    node: &Node,
    value: &Value,
    old: Option<&Value>,
    path: &Path,
    rule: Rule,
    errors: &mut Vec<FieldError>,
) {
    if old == Some(value) {
        return;
    }
    if value.is_null() && (node.nullable || !node.typed || rule.typed) {
        return;
    }
    if node.typed && !has_shape(&node.shape, value) {
        let detail = format!("must be {}, not {}", shape_name(&node.shape), json_type(value));
        errors.push(FieldError::new(path.clone(), Problem::TypeInvalid, shown(value), detail));
        return;
    }
    if let Some(rules) = &node.rules {
        super::rules::check(rules, value, path, errors);
        check_branches(rules, value, path, rule, errors);
    }
    match (&node.shape, value) {
        (Shape::Object(object), Value::Object(fields)) => {
            check_object(object, fields, old, path, rule, errors);
        }
        (Shape::List(list), Value::Array(items)) => check_list(list, items, old, path, rule, errors),
        _ => {}
    }
}

fn has_shape(shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (Shape::Any, _)
        | (Shape::Boolean, Value::Bool(_))
        | (Shape::Number | Shape::Quantity, Value::Number(_))
        | (Shape::Text | Shape::Bytes | Shape::Time { .. } | Shape::IntOrString, Value::String(_))
        | (Shape::List(_), Value::Array(_))
        | (Shape::Object(_), Value::Object(_)) => true,
        (Shape::Integer { .. } | Shape::IntOrString, Value::Number(n)) => {
            n.is_i64() || n.is_u64() || n.as_f64().is_some_and(|f| f.fract() == 0.0)
        }
        (Shape::Quantity, Value::String(text)) => Quantity::parse(text).is_ok(),
        _ => false,
    }
}

fn check_object(
    object: &Object,
    fields: &serde_json::Map<String, Value>,
    old: Option<&Value>,
    path: &Path,
    rule: Rule,
    errors: &mut Vec<FieldError>,
) {
    for name in &object.required {
        let value = fields.get(name.as_ref());
        if value.is_none() || (rule.typed && value.is_some_and(Value::is_null)) {
            errors.push(FieldError::required(path.child(name), ""));
        }
    }
    if object.embedded {
        for name in ["apiVersion", "kind"] {
            if fields.get(name).and_then(Value::as_str).unwrap_or_default().is_empty() {
                errors.push(FieldError::required(path.child(name), "must not be empty"));
            }
        }
    }
    for (name, value) in fields {
        // Map entries are written like fields here, as the reference's answers do.
        if let Some(child) = object.child(name) {
            let old = old.and_then(|old| old.get(name));
            check_node(child.node(), value, old, &path.child(name), rule, errors);
        }
    }
}

fn check_list(
    list: &List,
    items: &[Value],
    old: Option<&Value>,
    path: &Path,
    rule: Rule,
    errors: &mut Vec<FieldError>,
) {
    match list.kind {
        _ if rule.typed => {}
        ListKind::Atomic => {}
        ListKind::Set => {
            let mut seen = HashSet::new();
            for (i, item) in items.iter().enumerate() {
                if !seen.insert(item) {
                    errors.push(FieldError::duplicate(path.index(i), item.clone()));
                }
            }
        }
        ListKind::Map => check_keys(list, items, path, errors),
    }
    let before = old.and_then(Value::as_array).filter(|_| list.kind == ListKind::Map);
    let before = Keyed::new(&list.keys, before.map_or(&[], Vec::as_slice));
    for (i, item) in items.iter().enumerate() {
        let old = before.same(item, i);
        check_node(list.items.node(), item, old, &path.index(i), rule, errors);
    }
}

fn check_keys(list: &List, items: &[Value], path: &Path, errors: &mut Vec<FieldError>) {
    let object = list.items.node().object();
    let mut seen = HashSet::new();
    for (i, item) in items.iter().enumerate() {
        let key_of = |name: &std::sync::Arc<str>| {
            let default = object.and_then(|o| o.field(name)).and_then(|c| c.default.as_deref());
            item.get(name.as_ref()).or(default)
        };
        let keys: Vec<Option<&Value>> = list.keys.iter().map(key_of).collect();
        if !item.is_object() || keys.iter().all(Option::is_none) {
            continue;
        }
        if !seen.insert(keys.clone()) {
            let shown =
                list.keys.iter().zip(&keys).filter_map(|(name, v)| v.map(|v| (name.to_string(), v.clone())));
            errors.push(FieldError::duplicate(path.index(i), Value::Object(shown.collect())));
        }
    }
}

fn check_branches(
    rules: &super::node::Rules,
    value: &Value,
    path: &Path,
    rule: Rule,
    errors: &mut Vec<FieldError>,
) {
    let fits = |node: &Node| {
        let mut inner = Vec::new();
        check_node(node, value, None, path, rule, &mut inner);
        inner.is_empty()
    };
    for branch in &rules.all_of {
        check_node(branch, value, None, path, rule, errors);
    }
    let mut broken = |detail: &str| errors.push(FieldError::invalid(path.clone(), shown(value), detail));
    if !rules.any_of.is_empty() && !rules.any_of.iter().any(|branch| fits(branch)) {
        broken("must satisfy at least one of the alternatives (anyOf)");
    }
    if !rules.one_of.is_empty() && rules.one_of.iter().filter(|branch| fits(branch)).count() != 1 {
        broken("must satisfy exactly one of the alternatives (oneOf)");
    }
    if rules.not.as_ref().is_some_and(|branch| fits(branch)) {
        broken("must not satisfy the excluded alternative (not)");
    }
}

/// Large values are not repeated in messages.
fn shown(value: &Value) -> Value {
    if value.is_object() || value.is_array() { json_type(value).into() } else { value.clone() }
}
