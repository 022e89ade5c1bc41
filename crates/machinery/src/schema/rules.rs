//! Rules on one value: enumerations, bounds, lengths, patterns, formats.

use serde_json::{Number, Value};

use super::formats;
use super::node::Rules;
use crate::field::{FieldError, Path, Problem};

/// Adds an error for each rule that `value` breaks by itself.
pub(super) fn check(rules: &Rules, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if !rules.one_of_values.is_empty() && !rules.one_of_values.contains(value) {
        let supported: Vec<String> = rules.one_of_values.iter().map(plain).collect();
        errors.push(FieldError::not_supported(
            path.clone(),
            value.clone(),
            supported.iter().map(String::as_str),
        ));
    }
    match value {
        Value::Number(number) => check_number(rules, number, path, errors),
        Value::String(text) => check_text(rules, text, path, errors),
        Value::Array(items) => {
            let count = items.len() as u64;
            if rules.min_items.is_some_and(|min| count < min) {
                let min = rules.min_items.unwrap_or_default();
                errors.push(FieldError::invalid(
                    path.clone(),
                    count,
                    format!("must have at least {min} items"),
                ));
            }
            if let Some(max) = rules.max_items.filter(|max| count > *max) {
                errors.push(FieldError::too_many(path.clone(), items.len(), max as usize));
            }
            let repeated = || (1..items.len()).find(|i| items[..*i].contains(&items[*i]));
            if let Some(i) = rules.unique_items.then(repeated).flatten() {
                errors.push(FieldError::duplicate(path.index(i), items[i].clone()));
            }
        }
        Value::Object(fields) => {
            let count = fields.len() as u64;
            if let Some(min) = rules.min_properties.filter(|min| count < *min) {
                errors.push(FieldError::invalid(
                    path.clone(),
                    count,
                    format!("must have at least {min} entries"),
                ));
            }
            if let Some(max) = rules.max_properties.filter(|max| count > *max) {
                errors.push(FieldError::too_many(path.clone(), fields.len(), max as usize));
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn check_number(rules: &Rules, number: &Number, path: &Path, errors: &mut Vec<FieldError>) {
    let mut broken = |detail: String| {
        errors.push(FieldError::invalid(path.clone(), Value::Number(number.clone()), detail));
    };
    if let Some(min) = &rules.minimum {
        match compare(number, min) {
            std::cmp::Ordering::Less => broken(format!("must be at least {min}")),
            std::cmp::Ordering::Equal if rules.exclusive_minimum => {
                broken(format!("must be greater than {min}"));
            }
            _ => {}
        }
    }
    if let Some(max) = &rules.maximum {
        match compare(number, max) {
            std::cmp::Ordering::Greater => broken(format!("must be at most {max}")),
            std::cmp::Ordering::Equal if rules.exclusive_maximum => {
                broken(format!("must be less than {max}"));
            }
            _ => {}
        }
    }
    if let Some(step) = rules.multiple_of.as_ref().filter(|step| !is_multiple(number, step)) {
        broken(format!("must be a multiple of {step}"));
    }
    let fits = match rules.format.as_deref() {
        Some("int32") => {
            number.as_i64().is_none_or(|n| i32::try_from(n).is_ok())
                && number.as_u64().is_none_or(|n| i32::try_from(n).is_ok())
        }
        Some("int64") => number.as_i64().is_some() || number.as_u64().is_none(),
        _ => true,
    };
    if !fits {
        broken(format!("must fit {}", rules.format.as_deref().unwrap_or_default()));
    }
}

fn compare(a: &Number, b: &Number) -> std::cmp::Ordering {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(std::cmp::Ordering::Equal),
    }
}

fn is_multiple(number: &Number, step: &Number) -> bool {
    match (number.as_i64(), step.as_i64()) {
        (_, Some(0)) => true,
        (Some(n), Some(s)) => n % s == 0,
        _ => match (number.as_f64(), step.as_f64()) {
            (Some(n), Some(s)) if s != 0.0 => {
                let parts = n / s;
                (parts - parts.round()).abs() < 1e-9
            }
            _ => true,
        },
    }
}

fn check_text(rules: &Rules, text: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let length = text.chars().count() as u64;
    if let Some(min) = rules.min_length.filter(|min| length < *min) {
        errors.push(FieldError::invalid(
            path.clone(),
            text,
            format!("must be at least {min} characters long"),
        ));
    }
    if let Some(max) = rules.max_length.filter(|max| length > *max) {
        errors.push(FieldError::new(
            path.clone(),
            Problem::TooLong,
            text.into(),
            format!("may not be more than {max} characters"),
        ));
    }
    if let Some(pattern) = rules.pattern.as_ref().filter(|p| !p.matches(text)) {
        errors.push(FieldError::invalid(path.clone(), text, format!("must match '{}'", pattern.text)));
    }
    if let Some(format) = rules.format.as_deref().filter(|f| !formats::holds(f, text)) {
        let detail = format!("must be of format {format}");
        errors.push(FieldError::type_invalid(path.clone(), text, detail));
    }
}
