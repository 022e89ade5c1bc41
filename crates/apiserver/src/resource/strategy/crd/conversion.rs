//! Rules for the conversion between versions of a definition.

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::Value;

use super::super::{text, webhook_client};

const STRATEGIES: [&str; 2] = ["None", "Webhook"];

/// Checks `spec.conversion`, in the words by which clients know its fields.
pub(super) fn check(conversion: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("spec.conversion");
    let strategy = text(conversion, &["strategy"]);
    if strategy.is_empty() {
        errors.push(FieldError::required(path.child("strategy"), ""));
    } else if !STRATEGIES.contains(&strategy) {
        errors.push(FieldError::not_supported(path.child("strategy"), strategy, STRATEGIES));
    }
    let webhook = &conversion["webhook"];
    let client = &webhook["clientConfig"];
    let (client_at, versions_at) =
        (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
    if strategy != "Webhook" {
        let detail = "should not be set when strategy is not set to Webhook";
        for (at, held) in [(client_at, client), (versions_at, &webhook["conversionReviewVersions"])] {
            if !held.is_null() {
                errors.push(FieldError::forbidden(at, detail));
            }
        }
        return;
    }
    if client.is_null() {
        errors.push(FieldError::required(client_at, "required when strategy is set to Webhook"));
    } else {
        webhook_client::check(client, &client_at, errors);
    }
    versions(&webhook["conversionReviewVersions"], &versions_at, errors);
}

fn versions(given: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let versions: Vec<&str> = given.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if versions.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
        return;
    }
    for (at, version) in versions.iter().enumerate() {
        if versions[..at].contains(version) {
            errors.push(FieldError::invalid(path.index(at), *version, "duplicate version"));
        }
        for wrong in names::dns_1035_label(version) {
            errors.push(FieldError::invalid(path.index(at), *version, wrong));
        }
    }
    if !versions.iter().any(|version| matches!(*version, "v1" | "v1beta1")) {
        let detail = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(path.clone(), given.clone(), detail));
    }
}
