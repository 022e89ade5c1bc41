//! What holds for every Pod spec, in a Pod and in a template.

use std::collections::HashSet;

use machinery::field::{FieldError, Path};
use machinery::names;
use machinery::quantity::Quantity;
use serde_json::{Value, json};

use super::{pod_together, rules, set_default, text};

/// Sets what depends on other fields of a Pod spec.
pub(super) fn default_pod_spec(spec: &mut Value) {
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        let Some(containers) = spec.get_mut(kind).and_then(Value::as_array_mut) else { continue };
        for container in containers {
            let image = text(container, &["image"]);
            let policy = if has_latest_tag(image) { "Always" } else { "IfNotPresent" };
            if text(container, &["imagePullPolicy"]).is_empty() {
                container["imagePullPolicy"] = policy.into();
            }
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
    ids(&spec["securityContext"], &path.child("securityContext"), errors);
    tolerations(spec, path, errors);
    pod_together::check(spec, path, errors);
    rules::apply(rules::POD_SPEC, spec, None, path, errors);
    node_affinity(&spec["affinity"]["nodeAffinity"], &path.child("affinity").child("nodeAffinity"), errors);
}

/// Refuses containers that only come to a Pod that is there already.
pub(super) fn no_ephemeral(spec: &Value, path: &Path, detail: &str, errors: &mut Vec<FieldError>) {
    if spec["ephemeralContainers"].as_array().is_some_and(|list| !list.is_empty()) {
        errors.push(FieldError::forbidden(path.child("ephemeralContainers"), detail));
    }
}

/// Checks the spec of a template's Pods.
pub(super) fn validate_template_spec(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    validate_pod_spec(spec, path, errors);
    no_ephemeral(spec, path, "ephemeral containers not allowed in pod template", errors);
}

/// Largest ID of a user or group.
const LARGEST_ID: i64 = i32::MAX as i64;

/// Checks the users and groups that a security context names.
fn ids(context: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut check = |path: Path, value: &Value| {
        if let Some(id) = value.as_i64().filter(|id| !(0..=LARGEST_ID).contains(id)) {
            let detail = format!("must be between 0 and {LARGEST_ID}, inclusive");
            errors.push(FieldError::invalid(path, id, detail));
        }
    };
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        check(path.child(field), &context[field]);
    }
    for (at, group) in context["supplementalGroups"].as_array().into_iter().flatten().enumerate() {
        check(path.child("supplementalGroups").index(at), group);
    }
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
        node_term(term, &path, errors);
    }
}

/// Checks a term by which nodes are chosen.
pub(super) fn node_term(term: &Value, path: &Path, errors: &mut Vec<FieldError>) {
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
    for (at, field) in term["matchFields"].as_array().into_iter().flatten().enumerate() {
        let path = path.child("matchFields").index(at);
        let values = field["values"].as_array().map_or(&[][..], Vec::as_slice);
        let (key, operator) = (text(field, &["key"]), text(field, &["operator"]));
        match operator {
            "In" | "NotIn" if values.len() != 1 => {
                let detail =
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.push(FieldError::required(path.child("values"), detail));
            }
            "In" | "NotIn" => {}
            other => {
                let detail = "not a valid selector operator";
                errors.push(FieldError::invalid(path.child("operator"), other, detail));
            }
        }
        if key == "metadata.name" {
            for (at, value) in values.iter().enumerate() {
                let value = value.as_str().unwrap_or_default();
                let path = path.child("values").index(at);
                let wrong = names::dns_subdomain(value).into_iter();
                errors.extend(wrong.map(|wrong| FieldError::invalid(path.clone(), value, wrong)));
            }
        } else {
            errors.push(FieldError::invalid(path.child("key"), key, "not a valid field selector key"));
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
    ids(&container["securityContext"], &path.child("securityContext"), errors);
    for (at, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
        let path = path.child("volumeMounts").index(at);
        match text(mount, &["name"]) {
            "" => {
                errors.push(FieldError::required(path.child("name"), ""));
                errors.push(FieldError::not_found(path.child("name"), ""));
            }
            name if !volumes.contains(name) => errors.push(FieldError::not_found(path.child("name"), name)),
            _ => {}
        }
        if text(mount, &["mountPath"]).is_empty() {
            errors.push(FieldError::required(path.child("mountPath"), ""));
        }
    }
    for (at, device) in container["volumeDevices"].as_array().into_iter().flatten().enumerate() {
        let name = text(device, &["name"]);
        if !volumes.contains(name) {
            errors.push(FieldError::not_found(path.child("volumeDevices").index(at).child("name"), name));
        }
    }
    for (at, port) in container["ports"].as_array().into_iter().flatten().enumerate() {
        let number = port["containerPort"].as_i64().unwrap_or(0);
        if !(1..=65535).contains(&number) {
            let path = path.child("ports").index(at).child("containerPort");
            errors.push(if number == 0 {
                FieldError::required(path, "")
            } else {
                FieldError::invalid(path, number, "must be between 1 and 65535, inclusive")
            });
        }
    }
}

/// What a container asks for stays within what it is limited to.
pub(super) fn resources(resources: &Value, path: &Path, errors: &mut Vec<FieldError>) {
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
    fn users_and_groups_are_ids() {
        let spec = json!({
            "securityContext": {"runAsUser": 4_294_967_295_i64, "fsGroup": 107, "supplementalGroups": [0, -1]},
            "containers": [{"name": "c", "image": "i", "securityContext": {"runAsGroup": 2_147_483_648_i64}}],
        });
        let mut errors = Vec::new();
        validate_pod_spec(&spec, &Path::new("spec"), &mut errors);
        let detail = "must be between 0 and 2147483647, inclusive";
        let about: Vec<String> =
            errors.iter().map(ToString::to_string).filter(|error| error.contains(detail)).collect();
        let paths: Vec<&str> = about.iter().filter_map(|error| error.split(':').next()).collect();
        assert_eq!(
            paths,
            [
                "spec.containers[0].securityContext.runAsGroup",
                "spec.securityContext.runAsUser",
                "spec.securityContext.supplementalGroups[1]"
            ]
        );
    }

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
