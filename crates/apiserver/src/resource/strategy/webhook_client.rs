//! Where webhooks are: of admission, and of the conversion between versions.

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::Value;

use super::text;

/// Checks the address of a webhook at `path`: a URL, or a Service.
pub(super) fn check(client: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if client["url"].is_null() == client["service"].is_null() {
        errors.push(FieldError::required(path.clone(), "exactly one of url or service is required"));
        return;
    }
    if let Some(url) = client["url"].as_str() {
        let parsed: Option<http::Uri> = url.parse().ok();
        let wrong = match &parsed {
            None => Some("url must be a valid URL"),
            Some(url) if url.scheme_str() != Some("https") => Some("'https' is the only allowed URL scheme"),
            Some(url) if url.host().is_none_or(str::is_empty) => Some("host must be specified"),
            Some(url) if url.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
                Some("user information is not permitted in the URL")
            }
            Some(uri) if uri.query().is_some() => Some("query parameters are not permitted in the URL"),
            Some(_) if url.contains('#') => Some("fragments are not permitted in the URL"),
            Some(_) => None,
        };
        errors.extend(wrong.map(|wrong| FieldError::invalid(path.child("url"), url, wrong)));
        return;
    }
    let path = path.child("service");
    for field in ["namespace", "name"] {
        if text(client, &["service", field]).is_empty() {
            errors.push(FieldError::required(path.child(field), ""));
        }
    }
    if let Some(port) = client["service"]["port"].as_i64().filter(|port| !(1..=65535).contains(port)) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(path.child("port"), port, detail));
    }
    if let Some(wrong) = wrong_path(text(client, &["service", "path"])) {
        errors.push(FieldError::invalid(path.child("path"), client["service"]["path"].clone(), wrong));
    }
}

/// What is wrong with the path at a Service, each step of which is a name.
fn wrong_path(path: &str) -> Option<String> {
    if matches!(path, "" | "/") {
        return None;
    }
    let Some(steps) = path.strip_prefix('/') else { return Some("must start with a '/'".to_owned()) };
    let steps = steps.strip_suffix('/').unwrap_or(steps);
    steps.split('/').find_map(|step| {
        let wrong = names::dns_subdomain(step).into_iter().next();
        wrong.map(|wrong| if step.is_empty() { "must have no empty step".to_owned() } else { wrong })
    })
}
