//! What is wrong with rules before anybody reads their expressions.

use serde_json::Value;

use super::{WORD, field_at, text};
use crate::field::{FieldError, Path};

const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// Adds an error for each word of a schema's rules that cannot be used.
pub(crate) fn check(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (at, rule) in schema[WORD].as_array().into_iter().flatten().enumerate() {
        let path = path.child(WORD).index(at);
        let has_lines = |text: &str| text.contains(['\n', '\r']);
        let (source, message) = (text(rule, "rule").trim(), text(rule, "message"));
        if source.is_empty() {
            errors.push(FieldError::required(path.child("rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            let detail = "must be non-empty if specified";
            errors.push(FieldError::invalid(path.child("message"), message, detail));
        } else if has_lines(message.trim()) {
            errors.push(FieldError::invalid(path.child("message"), message, "must not contain line breaks"));
        } else if has_lines(source) && message.is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(path.child("message"), detail));
        }
        let expression = text(rule, "messageExpression");
        if !expression.is_empty() && expression.trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            errors.push(FieldError::required(path.child("messageExpression"), detail));
        }
        if let Some(reason) = rule["reason"].as_str().filter(|reason| !REASONS.contains(reason)) {
            errors.push(FieldError::not_supported(path.child("reason"), reason, REASONS));
        }
        let field = text(rule, "fieldPath");
        if !field.is_empty() {
            let wrong = if field.trim().is_empty() {
                Some("must be non-empty if specified")
            } else if has_lines(field) {
                Some("must not contain line breaks")
            } else {
                None
            };
            let nowhere = field_at(schema, field).is_none().then_some("must be a valid path");
            for detail in wrong.into_iter().chain(nowhere) {
                errors.push(FieldError::invalid(path.child("fieldPath"), field, detail));
            }
        }
    }
}
