//! Reading parts of objects into cells.

use serde_json::Value;

/// Shown where there is nothing.
pub(super) const NONE: &str = "<none>";
/// Shown where something should be and is not known.
pub(super) const UNKNOWN: &str = "<unknown>";
/// Shown where a reference is not set.
pub(super) const UNSET: &str = "<unset>";

/// The text at a JSON pointer; empty when there is none.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The text at a pointer, or `otherwise` when it is empty.
pub(super) fn text_or<'a>(object: &'a Value, pointer: &str, otherwise: &'a str) -> &'a str {
    match text(object, pointer) {
        "" => otherwise,
        text => text,
    }
}

/// The integer at a pointer; 0 when there is none.
pub(super) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The boolean at a pointer; false when there is none.
pub(super) fn flag(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

/// The list at a pointer; empty when there is none.
pub(super) fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// How many entries the map at a pointer has.
pub(super) fn size(object: &Value, pointer: &str) -> usize {
    object.pointer(pointer).and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

/// A scalar as text: strings as they are, numbers written out, nothing as the empty text.
pub(super) fn scalar(object: &Value, pointer: &str) -> String {
    match object.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The texts of a list, joined by commas, or `otherwise` when it is empty.
pub(super) fn joined(object: &Value, pointer: &str, otherwise: &str) -> String {
    let texts: Vec<&str> = items(object, pointer).iter().filter_map(Value::as_str).collect();
    if texts.is_empty() { otherwise.to_owned() } else { texts.join(",") }
}

/// One field of each item of a list, joined by commas.
pub(super) fn each(object: &Value, pointer: &str, field: &str) -> String {
    let texts: Vec<&str> = items(object, pointer).iter().map(|item| text(item, field)).collect();
    texts.join(",")
}

/// The pairs of a map in key order, or `<none>`.
pub(super) fn pairs(object: &Value, pointer: &str) -> String {
    let Some(map) = object.pointer(pointer).and_then(Value::as_object).filter(|map| !map.is_empty()) else {
        return NONE.to_owned();
    };
    let mut pairs: Vec<String> =
        map.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    pairs.sort();
    pairs.join(",")
}

/// A label selector in the form in which it is typed, or `<none>`.
pub(super) fn selector(object: &Value, pointer: &str) -> String {
    let Some(selector) = object.pointer(pointer) else {
        return NONE.to_owned();
    };
    let mut parts = Vec::new();
    if size(selector, "/matchLabels") > 0 {
        parts.push(pairs(selector, "/matchLabels"));
    }
    for expression in items(selector, "/matchExpressions") {
        let key = text(expression, "/key");
        let values = joined(expression, "/values", "");
        parts.push(match text(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    if parts.is_empty() { NONE.to_owned() } else { parts.join(",") }
}

/// The status of a condition; empty when it is not there.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let conditions = items(object, "/status/conditions");
    conditions
        .iter()
        .find(|condition| text(condition, "/type") == kind)
        .map_or("", |condition| text(condition, "/status"))
}

/// Access modes of a volume in their short forms.
pub(super) fn access_modes(object: &Value, pointer: &str) -> String {
    let short = |mode: &Value| match mode.as_str().unwrap_or_default() {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "",
    };
    let modes: Vec<&str> = items(object, pointer).iter().map(short).filter(|mode| !mode.is_empty()).collect();
    modes.join(",")
}
