//! Rules for the names by which a kind is known.

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::Value;

use super::super::text;

/// Checks `spec.names`, which stands at `path`. Kinds may have capital letters, names in addresses not.
pub(super) fn check(given: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for field in ["plural", "singular", "kind", "listKind"] {
        let value = text(given, &[field]);
        if value.is_empty() {
            errors.push(FieldError::required(path.child(field), ""));
        } else if field.to_lowercase().ends_with("kind") {
            label(value, &value.to_lowercase(), path.child(field), errors);
        } else {
            label(value, value, path.child(field), errors);
        }
    }
    for list in ["shortNames", "categories"] {
        for (at, name) in given[list].as_array().into_iter().flatten().enumerate() {
            let name = name.as_str().unwrap_or_default();
            label(name, name, path.child(list).index(at), errors);
        }
    }
    let kind = text(given, &["kind"]);
    if !kind.is_empty() && kind == text(given, &["listKind"]) {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(path.child("listKind"), kind, detail));
    }
}

fn label(given: &str, judged: &str, path: Path, errors: &mut Vec<FieldError>) {
    for wrong in names::dns_1035_label(judged) {
        errors.push(FieldError::invalid(path.clone(), given, wrong));
    }
}
