//! Pod templates, and the kinds that make Pods from them.

use std::collections::HashSet;

use machinery::field::{FieldError, Path};
use machinery::names;
use machinery::quantity::Quantity;
use machinery::selector::LabelSelector;
use serde_json::{Value, json};

use super::{BASE, Strategy, set_default, text};
use crate::Result;
use crate::registry::Resource;
use crate::resource::Call;

/// Returns the strategy of a workload kind.
pub(super) fn strategy(resource: &Resource) -> Strategy {
    let base = Strategy { default: default_template, ..BASE };
    match resource.plural() {
        "deployments" | "statefulsets" | "replicasets" => Strategy { validate: validate_selector, ..base },
        "daemonsets" => Strategy { prepare_create: first_generation, validate: validate_selector, ..base },
        "jobs" => Strategy { default: default_job, validate: validate_job, ..base },
        "cronjobs" => Strategy { validate: validate_cron_job, ..base },
        _ => base,
    }
}

/// What a Job gets when it is made; the template of a CronJob stays as it is written.
fn default_job(draft: &mut Value) {
    default_template(draft);
    let Some(spec) = draft.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        set_default(spec, "completions", 1);
    }
    for (name, value) in [
        ("parallelism", json!(1)),
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
    ] {
        set_default(spec, name, value);
    }
}

fn validate_job(_: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let template = Path::new("spec.template.spec");
    let restart = text(object, &["spec", "template", "spec", "restartPolicy"]);
    if !matches!(restart, "Never" | "OnFailure") {
        // The default of Pods is no choice for Jobs, so it counts as no choice at all.
        errors.push(FieldError::required(
            template.child("restartPolicy"),
            "valid values: \"OnFailure\", \"Never\"",
        ));
    }
    if let Some(old) = old {
        for (field, detail) in [
            ("completions", "can only be modified in tandem with spec.parallelism"),
            ("completionMode", "field is immutable"),
            ("podFailurePolicy", "field is immutable"),
        ] {
            if old["spec"][field] != object["spec"][field] {
                errors.push(FieldError::invalid(
                    Path::new("spec").child(field),
                    object["spec"][field].clone(),
                    detail,
                ));
            }
        }
    }
    errors
}

fn validate_cron_job(_: &Call, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let schedule = text(object, &["spec", "schedule"]);
    let path = Path::new("spec.schedule");
    if schedule.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    if is_schedule(schedule) {
        Vec::new()
    } else {
        vec![FieldError::invalid(
            path,
            schedule,
            "expected exactly 5 fields, as in \"0 3 * * 1\", or a word such as @daily",
        )]
    }
}

/// Whether a text is a cron schedule: five fields of numbers, names, lists, ranges and steps, or a word.
fn is_schedule(schedule: &str) -> bool {
    const WORDS: [&str; 7] =
        ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
    if WORDS.contains(&schedule) || schedule.starts_with("@every ") {
        return true;
    }
    let field = |field: &str| {
        !field.is_empty()
            && field.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '*' | '/' | ',' | '-' | '?'))
    };
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    fields.len() == 5 && fields.into_iter().all(field)
}

/// Old clients look for the generation of a DaemonSet's template in an annotation.
fn first_generation(_: &mut Call, draft: &mut Value) -> Result<()> {
    if draft["metadata"]["annotations"].is_null() {
        draft["metadata"]["annotations"] = json!({});
    }
    draft["metadata"]["annotations"]["deprecated.daemonset.template.generation"] = "1".into();
    Ok(())
}

fn default_template(draft: &mut Value) {
    for pointer in ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"] {
        if let Some(spec) = draft.pointer_mut(pointer).filter(|spec| spec.is_object()) {
            default_pod_spec(spec);
        }
    }
    let Some(spec) = draft.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    for strategy in ["strategy", "updateStrategy"] {
        if text(spec, &[strategy, "type"]) == "RollingUpdate" && spec[strategy]["rollingUpdate"].is_null() {
            spec[strategy]["rollingUpdate"] = match strategy {
                "strategy" => json!({"maxUnavailable": "25%", "maxSurge": "25%"}),
                _ if spec.get("serviceName").is_some() || spec.get("podManagementPolicy").is_some() => {
                    json!({"partition": 0})
                }
                _ => json!({"maxUnavailable": 1, "maxSurge": 0}),
            };
        }
    }
}

/// Sets what depends on other fields of a Pod spec.
pub(super) fn default_pod_spec(spec: &mut Value) {
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        let Some(containers) = spec.get_mut(kind).and_then(Value::as_array_mut) else { continue };
        for container in containers {
            let image = text(container, &["image"]);
            let policy = if has_latest_tag(image) { "Always" } else { "IfNotPresent" };
            set_default(container, "imagePullPolicy", policy);
        }
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(image) = volume.get_mut("image").filter(|image| image.is_object()) {
            let policy = if has_latest_tag(text(image, &["reference"])) { "Always" } else { "IfNotPresent" };
            set_default(image, "pullPolicy", policy);
        }
        if volume.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key("name")) {
            volume["emptyDir"] = json!({});
        }
    }
    // Two names of one field; the older one is deprecated.
    let (name, old) =
        (text(spec, &["serviceAccountName"]).to_owned(), text(spec, &["serviceAccount"]).to_owned());
    match (name.is_empty(), old.is_empty()) {
        (true, false) => spec["serviceAccountName"] = old.into(),
        (false, _) => spec["serviceAccount"] = name.into(),
        (true, true) => {}
    }
}

/// An image without tag or digest means its latest.
fn has_latest_tag(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn validate_selector(_: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::new("spec.selector");
    let selector = &object["spec"]["selector"];
    let empty = selector.as_object().is_none_or(serde_json::Map::is_empty);
    match LabelSelector::from_object(selector) {
        _ if selector.is_null() => {
            errors.push(FieldError::required(path.clone(), ""));
            let labels = object["spec"]["template"]["metadata"]["labels"].clone();
            let detail = "`selector` does not match template `labels`";
            errors.push(FieldError::invalid(Path::new("spec.template.metadata.labels"), labels, detail));
        }
        _ if empty => {
            errors.push(FieldError::invalid(
                path.clone(),
                selector.clone(),
                "empty selector is invalid for deployment",
            ));
        }
        Ok(parsed) if !parsed.matches(&object["spec"]["template"]) => {
            let labels = object["spec"]["template"]["metadata"]["labels"].clone();
            let detail = "`selector` does not match template `labels`";
            errors.push(FieldError::invalid(Path::new("spec.template.metadata.labels"), labels, detail));
        }
        Ok(_) => {}
        Err(error) => errors.push(FieldError::invalid(path.clone(), selector.clone(), error.to_string())),
    }
    let template = Path::new("spec.template.spec");
    validate_pod_spec(&object["spec"]["template"]["spec"], &template, &mut errors);
    let restart = text(object, &["spec", "template", "spec", "restartPolicy"]);
    if restart != "Always" {
        errors.push(FieldError::not_supported(template.child("restartPolicy"), restart, ["Always"]));
    }
    if let Some(replicas) = object["spec"]["replicas"].as_i64().filter(|replicas| *replicas < 0) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(Path::new("spec.replicas"), replicas, detail));
    }
    if text(object, &["spec", "strategy", "type"]) == "Recreate"
        && !object["spec"]["strategy"]["rollingUpdate"].is_null()
    {
        let detail = "may not be specified when strategy `type` is 'Recreate'";
        errors.push(FieldError::forbidden(Path::new("spec.strategy.rollingUpdate"), detail));
    }
    if old.is_some_and(|old| old["spec"]["selector"] != *selector) {
        errors.push(FieldError::invalid(path, selector.clone(), "field is immutable"));
    }
    errors
}

/// Checks a Pod spec.
pub(super) fn validate_pod_spec(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let volumes = validate_volumes(spec, path, errors);
    let mut seen = HashSet::new();
    let containers = spec["containers"].as_array().map_or(0, Vec::len);
    if containers == 0 {
        errors.push(FieldError::required(path.child("containers"), ""));
    }
    for kind in ["initContainers", "containers"] {
        for (at, container) in spec[kind].as_array().into_iter().flatten().enumerate() {
            let path = path.child(kind).index(at);
            validate_container(container, &path, &volumes, errors);
            let name = text(container, &["name"]);
            if !name.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(path.child("name"), name));
            }
        }
    }
    for (field, supported) in [
        ("restartPolicy", &["Always", "Never", "OnFailure"][..]),
        ("dnsPolicy", &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"][..]),
    ] {
        let value = text(spec, &[field]);
        let reported = errors.iter().any(|error| error.path == path.child(field));
        if !supported.contains(&value) && !reported {
            errors.push(FieldError::not_supported(path.child(field), value, supported.iter().copied()));
        }
    }
    tolerations(spec, path, errors);
    node_affinity(&spec["affinity"]["nodeAffinity"], &path.child("affinity").child("nodeAffinity"), errors);
}

/// Checks the terms by which a Pod chooses nodes.
fn node_affinity(affinity: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let required = affinity[REQUIRED]["nodeSelectorTerms"].as_array().into_iter().flatten().enumerate();
    let required =
        required.map(|(at, term)| (path.child(REQUIRED).child("nodeSelectorTerms").index(at), term));
    let preferred = affinity[PREFERRED].as_array().into_iter().flatten().enumerate();
    let preferred = preferred
        .map(|(at, term)| (path.child(PREFERRED).index(at).child("preference"), &term["preference"]));
    for (path, term) in required.chain(preferred) {
        for (at, expression) in term["matchExpressions"].as_array().into_iter().flatten().enumerate() {
            let path = path.child("matchExpressions").index(at);
            let values = expression["values"].as_array().map_or(0, Vec::len);
            let operator = text(expression, &["operator"]);
            match operator {
                "In" | "NotIn" if values == 0 => {
                    let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                    errors.push(FieldError::required(path.child("values"), detail));
                }
                "Exists" | "DoesNotExist" if values > 0 => {
                    let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    errors.push(FieldError::forbidden(path.child("values"), detail));
                }
                "Gt" | "Lt" if values != 1 => {
                    let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                    errors.push(FieldError::required(path.child("values"), detail));
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
                other => errors.push(FieldError::invalid(
                    path.child("operator"),
                    other,
                    "not a valid selector operator",
                )),
            }
            for wrong in names::label_key(text(expression, &["key"])) {
                errors.push(FieldError::invalid(path.child("key"), text(expression, &["key"]), wrong));
            }
        }
    }
}

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

fn validate_container(container: &Value, path: &Path, volumes: &HashSet<&str>, errors: &mut Vec<FieldError>) {
    match text(container, &["name"]) {
        "" => errors.push(FieldError::required(path.child("name"), "")),
        name => {
            for wrong in names::dns_label(name) {
                errors.push(FieldError::invalid(path.child("name"), name, wrong));
            }
        }
    }
    if text(container, &["image"]).is_empty() {
        errors.push(FieldError::required(path.child("image"), ""));
    }
    let policy = text(container, &["imagePullPolicy"]);
    let reported = errors.iter().any(|error| error.path == path.child("imagePullPolicy"));
    if !PULL_POLICIES.contains(&policy) && !reported {
        errors.push(FieldError::not_supported(path.child("imagePullPolicy"), policy, PULL_POLICIES));
    }
    resources(&container["resources"], &path.child("resources"), errors);
    for (at, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
        let path = path.child("volumeMounts").index(at);
        match text(mount, &["name"]) {
            "" => errors.push(FieldError::required(path.child("name"), "")),
            name if !volumes.contains(name) => errors.push(FieldError::not_found(path.child("name"), name)),
            _ => {}
        }
        if text(mount, &["mountPath"]).is_empty() {
            errors.push(FieldError::required(path.child("mountPath"), ""));
        }
    }
    for (at, port) in container["ports"].as_array().into_iter().flatten().enumerate() {
        let number = port["containerPort"].as_i64().unwrap_or(0);
        if !(1..=65535).contains(&number) {
            let path = path.child("ports").index(at).child("containerPort");
            errors.push(FieldError::invalid(path, number, "must be between 1 and 65535, inclusive"));
        }
    }
}

fn resources(resources: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (name, request) in resources["requests"].as_object().into_iter().flatten() {
        let request = request.as_str().unwrap_or_default();
        let Some(limit) = resources["limits"].get(name).and_then(Value::as_str) else { continue };
        let (Ok(amount), Ok(most)) = (Quantity::parse(request), Quantity::parse(limit)) else { continue };
        if amount.as_f64() > most.as_f64() {
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(path.child("requests"), request, detail));
        }
    }
}

fn validate_volumes<'a>(spec: &'a Value, path: &Path, errors: &mut Vec<FieldError>) -> HashSet<&'a str> {
    let mut names = HashSet::new();
    for (at, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        let path = path.child("volumes").index(at);
        let name = text(volume, &["name"]);
        if name.is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        } else {
            for wrong in names::dns_label(name) {
                errors.push(FieldError::invalid(path.child("name"), name, wrong));
            }
        }
        if !names.insert(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
        let sources: Vec<&String> = volume
            .as_object()
            .into_iter()
            .flatten()
            .map(|(source, _)| source)
            .filter(|source| *source != "name")
            .collect();
        for extra in sources.iter().skip(1) {
            errors.push(FieldError::forbidden(path.child(extra), "may not specify more than 1 volume type"));
        }
    }
    names
}

fn tolerations(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (at, toleration) in spec["tolerations"].as_array().into_iter().flatten().enumerate() {
        let path = path.child("tolerations").index(at);
        let (key, operator, value) =
            (text(toleration, &["key"]), text(toleration, &["operator"]), text(toleration, &["value"]));
        if key.is_empty() && operator != "Exists" {
            let detail =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(path.child("operator"), operator, detail));
        }
        if operator == "Exists" && !value.is_empty() {
            let detail = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(path.child("operator"), toleration.clone(), detail));
        }
        if !matches!(operator, "" | "Exists" | "Equal") {
            errors.push(FieldError::not_supported(path.child("operator"), operator, ["Equal", "Exists"]));
        }
        let effect = text(toleration, &["effect"]);
        if !toleration["tolerationSeconds"].is_null() && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(path.child("effect"), effect, detail));
        }
        if !matches!(effect, "" | "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            let supported = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            errors.push(FieldError::not_supported(path.child("effect"), effect, supported));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_from_ports() {
        for (image, latest) in [
            ("a", true),
            ("a:1", false),
            ("h:5000/a", true),
            ("h:5000/a:latest", true),
            ("a@sha256:0", false),
        ] {
            assert_eq!(has_latest_tag(image), latest, "{image}");
        }
    }
}
