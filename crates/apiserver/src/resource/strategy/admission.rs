//! Webhook configurations and admission policies.

use machinery::cel::Type;
use machinery::field::{FieldError, Path};
use serde_json::{Value, json};

use super::{BASE, Strategy, items_mut, set_default, text, webhook_client};
use crate::admission;
use crate::resource::Call;

pub(super) const WEBHOOKS: Strategy = Strategy { validate: validate_webhooks, ..BASE };
pub(super) const POLICY: Strategy = Strategy { default: default_policy, validate: validate_policy, ..BASE };
pub(super) const BINDING: Strategy =
    Strategy { default: default_binding, validate: validate_binding, ..BASE };

/// Conditions that one webhook or policy may have.
const CONDITIONS_MAX: usize = 64;

fn items<'a>(object: &'a Value, name: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    object[name].as_array().into_iter().flatten().enumerate()
}

fn is_empty(object: &Value, name: &str) -> bool {
    object[name].as_array().is_none_or(Vec::is_empty)
}

fn validate_webhooks(_: &Call, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for (at, webhook) in items(object, "webhooks") {
        let path = Path::new("webhooks").index(at);
        let name = text(webhook, &["name"]);
        if name.is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        } else if name.split('.').filter(|part| !part.is_empty()).count() < 3 {
            let detail = "should be a domain with at least three segments separated by dots";
            errors.push(FieldError::invalid(path.child("name"), name, detail));
        }
        if names.contains(&name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
        names.push(name);
        rules(webhook, "rules", &path, &mut errors);
        let effects = text(webhook, &["sideEffects"]);
        if !matches!(effects, "None" | "NoneOnDryRun") {
            let path = path.child("sideEffects");
            if effects.is_empty() {
                errors.push(FieldError::required(path, "must specify one of None, NoneOnDryRun"));
            } else {
                errors.push(FieldError::not_supported(path, effects, ["None", "NoneOnDryRun"]));
            }
        }
        if let Some(seconds) = webhook["timeoutSeconds"].as_i64().filter(|n| !(1..=30).contains(n)) {
            let detail = "the timeout value must be between 1 and 30 seconds";
            errors.push(FieldError::invalid(path.child("timeoutSeconds"), seconds, detail));
        }
        webhook_client::check(&webhook["clientConfig"], &path.child("clientConfig"), &mut errors);
        let versions = path.child("admissionReviewVersions");
        if is_empty(webhook, "admissionReviewVersions") {
            errors.push(FieldError::required(versions, "must specify one of v1, v1beta1"));
        } else if !items(webhook, "admissionReviewVersions").any(|(_, one)| one == "v1" || one == "v1beta1") {
            let given = webhook["admissionReviewVersions"].clone();
            errors.push(FieldError::invalid(versions, given, "must include at least one of v1, v1beta1"));
        }
        conditions(webhook, &path, &mut errors);
    }
    errors
}

fn rules(object: &Value, field: &str, path: &Path, errors: &mut Vec<FieldError>) {
    for (index, rule) in items(object, field) {
        for list in ["operations", "apiGroups", "apiVersions", "resources"] {
            if is_empty(rule, list) {
                errors.push(FieldError::required(path.child(field).index(index).child(list), ""));
            }
        }
    }
}

/// `matchConditions` of a webhook.
fn conditions(webhook: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let path = path.child("matchConditions");
    let mut names: Vec<&str> = Vec::new();
    for (at, condition) in items(webhook, "matchConditions") {
        let path = path.index(at);
        let name = text(condition, &["name"]);
        if name.is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        } else if names.contains(&name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
        names.push(name);
        let source = text(condition, &["expression"]);
        if source.is_empty() {
            errors.push(FieldError::required(path.child("expression"), ""));
            continue;
        }
        let compiled = machinery::cel::Program::compile(source, &admission::condition_scope());
        let wrong = match compiled {
            Err(error) => format!("compilation failed: {error}"),
            Ok(program) if !matches!(program.output(), Type::Dyn | Type::Plain("bool")) => {
                "must evaluate to bool".to_owned()
            }
            Ok(_) => continue,
        };
        errors.push(FieldError::invalid(path.child("expression"), source, wrong));
    }
    if names.len() > CONDITIONS_MAX {
        errors.push(FieldError::too_many(path, names.len(), CONDITIONS_MAX));
    }
}

fn default_matching(matching: &mut Value) {
    if !matching.is_object() {
        return;
    }
    set_default(matching, "namespaceSelector", json!({}));
    set_default(matching, "objectSelector", json!({}));
    set_default(matching, "matchPolicy", "Equivalent");
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in items_mut(matching, list) {
            set_default(rule, "scope", "*");
        }
    }
}

fn default_policy(draft: &mut Value) {
    if let Some(spec) = draft.get_mut("spec").filter(|spec| spec.is_object()) {
        set_default(spec, "failurePolicy", "Fail");
        if let Some(matching) = spec.get_mut("matchConstraints") {
            default_matching(matching);
        }
    }
}

fn default_binding(draft: &mut Value) {
    if let Some(matching) = draft.get_mut("spec").and_then(|spec| spec.get_mut("matchResources")) {
        default_matching(matching);
    }
}

fn validate_policy(_: &Call, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::new("spec"), &object["spec"]);
    let constraints = path.child("matchConstraints");
    if spec["matchConstraints"].is_null() {
        errors.push(FieldError::required(constraints.clone(), ""));
    } else if is_empty(&spec["matchConstraints"], "resourceRules") {
        errors.push(FieldError::required(constraints.child("resourceRules"), ""));
    }
    rules(&spec["matchConstraints"], "resourceRules", &constraints, &mut errors);
    if is_empty(spec, "validations") && is_empty(spec, "auditAnnotations") {
        let detail = "validations or auditAnnotations must contain at least one item";
        errors.push(FieldError::required(path.child("validations"), detail));
    }
    for (list, field) in [
        ("validations", "expression"),
        ("variables", "expression"),
        ("matchConditions", "expression"),
        ("auditAnnotations", "valueExpression"),
    ] {
        for (at, item) in items(spec, list) {
            if text(item, &[field]).trim().is_empty() {
                let path = path.child(list).index(at).child(field);
                errors.push(FieldError::required(path, format!("{field} is not specified")));
            }
        }
    }
    for (at, validation) in items(spec, "validations") {
        let reason = text(validation, &["reason"]);
        let known = ["Unauthorized", "Forbidden", "Invalid", "RequestEntityTooLarge"];
        if !reason.is_empty() && !known.contains(&reason) {
            let path = path.child("validations").index(at).child("reason");
            errors.push(FieldError::not_supported(path, reason, known));
        }
        let message = text(validation, &["message"]);
        if message.contains('\n') {
            let path = path.child("validations").index(at).child("message");
            errors.push(FieldError::invalid(path, message, "message must not contain line breaks"));
        }
    }
    if !spec["paramKind"].is_null() {
        for field in ["apiVersion", "kind"] {
            if text(spec, &["paramKind", field]).is_empty() {
                errors.push(FieldError::required(path.child("paramKind").child(field), ""));
            }
        }
    }
    for (at, (source, wrong)) in admission::policy::problems(object) {
        // That there is none is told already.
        if source.trim().is_empty() {
            continue;
        }
        errors.push(FieldError::invalid(Path::new(format!("spec.{at}")), source, wrong));
    }
    errors
}

fn validate_binding(_: &Call, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::new("spec"), &object["spec"]);
    if text(spec, &["policyName"]).is_empty() {
        errors.push(FieldError::required(path.child("policyName"), ""));
    }
    let actions = path.child("validationActions");
    if is_empty(spec, "validationActions") {
        errors.push(FieldError::required(actions.clone(), "at least one validation action is required"));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (at, action) in items(spec, "validationActions") {
        let action = action.as_str().unwrap_or_default();
        if !matches!(action, "Audit" | "Deny" | "Warn") {
            let path = actions.index(at);
            errors.push(FieldError::not_supported(path, action, ["Audit", "Deny", "Warn"]));
        } else if seen.contains(&action) {
            errors.push(FieldError::duplicate(actions.index(at), action));
        }
        seen.push(action);
    }
    if seen.contains(&"Deny") && seen.contains(&"Warn") {
        let detail = "must not contain both Deny and Warn: they would tell the client the same twice";
        errors.push(FieldError::invalid(actions, spec["validationActions"].clone(), detail));
    }
    let reference = &spec["paramRef"];
    if !reference.is_null() {
        let path = path.child("paramRef");
        let named = !text(reference, &["name"]).is_empty();
        if named != reference["selector"].is_null() {
            let detail = "one of name or selector must be set, and not both";
            errors.push(FieldError::required(path.child("name"), detail));
        }
        let action = text(reference, &["parameterNotFoundAction"]);
        let path = path.child("parameterNotFoundAction");
        match action {
            "Allow" | "Deny" => {}
            "" => errors.push(FieldError::required(path, "")),
            other => errors.push(FieldError::not_supported(path, other, ["Allow", "Deny"])),
        }
    }
    errors
}
