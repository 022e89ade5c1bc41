//! Rules of smaller kinds that no table can say: ingresses, priority classes.

use std::net::IpAddr;

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::Value;

use super::text;
use crate::resource::Call;

/// The highest priority that users may give.
const PRIORITY_MAX: i64 = 1_000_000_000;

fn items<'a>(object: &'a Value, name: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    object[name].as_array().into_iter().flatten().enumerate()
}

fn is_empty(object: &Value, name: &str) -> bool {
    object[name].as_array().is_none_or(Vec::is_empty)
}

pub(super) fn priority_class(_: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let value = object["value"].as_i64().unwrap_or(0);
    let system = machinery::object::name(object).starts_with("system-");
    if value > PRIORITY_MAX && !system {
        let detail = format!("maximum allowed value of a user defined priority is {PRIORITY_MAX}");
        errors.push(FieldError::forbidden(Path::new("value"), detail));
    }
    if old.is_some_and(|old| old["value"] != object["value"]) {
        errors.push(FieldError::forbidden(Path::new("value"), "may not be changed in an update"));
    }
    errors
}

/// Whether a text is an address and a prefix length.
pub(super) fn is_cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    prefix.parse::<u8>().is_ok_and(|prefix| prefix <= most)
}

pub(super) fn ingress(_: &Call, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = Path::new("spec");
    if is_empty(&object["spec"], "rules") && object["spec"]["defaultBackend"].is_null() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(spec.clone(), Value::Null, detail));
    }
    for (at, rule) in items(&object["spec"], "rules") {
        let path = spec.child("rules").index(at);
        let host = text(rule, &["host"]);
        let wrong = match host.strip_prefix("*.") {
            _ if host.is_empty() => Vec::new(),
            Some(rest) => names::dns_subdomain(rest),
            None => names::dns_subdomain(host),
        };
        errors.extend(wrong.into_iter().map(|wrong| FieldError::invalid(path.child("host"), host, wrong)));
        for (index, entry) in items(&rule["http"], "paths") {
            let path = path.child("http").child("paths").index(index);
            let url = text(entry, &["path"]);
            let kind = text(entry, &["pathType"]);
            if kind.is_empty() {
                errors.push(FieldError::required(path.child("pathType"), "pathType must be specified"));
            }
            if matches!(kind, "Exact" | "Prefix") && !url.starts_with('/') {
                errors.push(FieldError::invalid(path.child("path"), url, "must be an absolute path"));
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_from_other_text() {
        for (text, expected) in [
            ("10.0.0.0/8", true),
            ("::/0", true),
            ("10.0.0.0/33", false),
            ("10.0.0.0", false),
            ("nope", false),
        ] {
            assert_eq!(is_cidr(text), expected, "{text}");
        }
    }
}
