//! JSON objects that are written field by field, since they would be large as values.

use serde_json::Value;

/// Adds a field to the object that `text` ends in.
pub(super) fn put(text: &mut String, name: &str, value: &Value) {
    begin(text, name);
    text.push_str(&value.to_string());
}

/// Begins a field of the object that `text` ends in.
pub(super) fn begin(text: &mut String, name: &str) {
    if !text.ends_with('{') {
        text.push(',');
    }
    text.push_str(&Value::from(name).to_string());
    text.push(':');
}
