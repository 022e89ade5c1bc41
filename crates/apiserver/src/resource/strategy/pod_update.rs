//! What may change in a Pod after it was made, and how.

use std::collections::HashSet;

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::Value;

use super::text;

/// Checks a change of a Pod's spec: images, the active deadline, more tolerations, fewer gates and, while there are gates,
/// a closer choice of nodes.
pub(super) fn validate(now: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("spec");
    for kind in ["containers", "initContainers"] {
        if images(&now[kind], &old[kind], &path.child(kind), errors) {
            return;
        }
    }
    if !deadline(&now["activeDeadlineSeconds"], &old["activeDeadlineSeconds"], &path, errors) {
        return;
    }
    tolerations(now, old, &path.child("tolerations"), errors);
    gates(now, old, &path.child("schedulingGates"), errors);
    let mut before = old.clone();
    for kind in ["containers", "initContainers"] {
        for (container, now) in super::items_mut(&mut before, kind).zip(items(now, kind)) {
            super::copy(container, now, "image");
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        super::copy(&mut before, now, field);
    }
    // Others than clients of long ago cannot have written what is below nought; one second is what it means.
    let grace = |spec: &Value| spec["terminationGracePeriodSeconds"].as_i64();
    if grace(old).is_some_and(|grace| grace < 0) && grace(now) == Some(1) {
        super::copy(&mut before, now, "terminationGracePeriodSeconds");
    }
    if items(old, "schedulingGates").next().is_some() {
        node_selector(now, old, &path.child("nodeSelector"), errors);
        super::copy(&mut before, now, "nodeSelector");
        let affinity = path.child("affinity").child("nodeAffinity");
        node_affinity(&now["affinity"]["nodeAffinity"], &old["affinity"]["nodeAffinity"], &affinity, errors);
        take_node_affinity(&mut before, now);
    }
    if *now != before {
        let detail = "pod updates may not change fields other than `spec.containers[*].image`,\
            `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
            `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        let changed = changed(now, &before).join(", ");
        errors.push(FieldError::forbidden(path, format!("{detail}\nchanged here: {changed}")));
    }
}

fn items<'a>(of: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    of[list].as_array().into_iter().flatten()
}

/// Names of the fields that differ.
fn changed(now: &Value, before: &Value) -> Vec<String> {
    let names = [now, before].into_iter().filter_map(Value::as_object).flat_map(|fields| fields.keys());
    let mut names: Vec<&String> = names.filter(|name| now[*name] != before[*name]).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(|name| format!("spec.{name}")).collect()
}

/// Containers neither come nor go, and keep an image; returns whether some did come or go.
fn images(now: &Value, old: &Value, path: &Path, errors: &mut Vec<FieldError>) -> bool {
    let count = |list: &Value| list.as_array().map_or(0, Vec::len);
    if count(now) != count(old) {
        errors.push(FieldError::forbidden(path.clone(), "pod updates may not add or remove containers"));
        return true;
    }
    for (at, container) in now.as_array().into_iter().flatten().enumerate() {
        if text(container, &["image"]).is_empty() {
            errors.push(FieldError::required(path.index(at).child("image"), ""));
        }
    }
    false
}

/// A deadline may be set, and come nearer; returns whether it did no more than that.
fn deadline(now: &Value, old: &Value, spec: &Path, errors: &mut Vec<FieldError>) -> bool {
    let detail = match (now.as_i64(), old.as_i64()) {
        (Some(now), _) if !(0..=i64::from(i32::MAX)).contains(&now) => {
            "must be between 0 and 2147483647, inclusive"
        }
        (Some(now), Some(old)) if old < now => "must be less than or equal to previous value",
        (None, Some(_)) => "must not update from a positive integer to nil value",
        _ => return true,
    };
    errors.push(FieldError::invalid(spec.child("activeDeadlineSeconds"), now.clone(), detail));
    false
}

/// Tolerations may come; of those that are there only the time changes.
fn tolerations(now: &Value, old: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let timeless = |toleration: &Value| {
        let mut toleration = toleration.clone();
        if let Some(fields) = toleration.as_object_mut() {
            fields.shift_remove("tolerationSeconds");
        }
        toleration
    };
    let kept: Vec<Value> = items(now, "tolerations").map(timeless).collect();
    if items(old, "tolerations").any(|toleration| !kept.contains(&timeless(toleration))) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(path.clone(), detail));
    }
}

/// Gates are lifted, and none is put up.
fn gates(now: &Value, old: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let known: Vec<&str> = items(old, "schedulingGates").map(|gate| text(gate, &["name"])).collect();
    for (at, gate) in items(now, "schedulingGates").enumerate() {
        let name = text(gate, &["name"]);
        if !known.contains(&name) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.push(FieldError::forbidden(path.index(at), detail));
        }
    }
}

fn node_selector(now: &Value, old: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let (now, mut old) = (&now["nodeSelector"], old["nodeSelector"].as_object().into_iter().flatten());
    if old.any(|(key, value)| now.get(key) != Some(value)) {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid(path.clone(), now.clone(), detail));
    }
}

/// Where a Pod must run becomes narrower, never another place.
fn node_affinity(now: &Value, old: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let terms = |affinity: &Value| -> Vec<Value> {
        items(&affinity[REQUIRED], "nodeSelectorTerms").cloned().collect()
    };
    let (now, old) = (terms(now), terms(old));
    if old.is_empty() {
        return;
    }
    let path = path.child(REQUIRED).child("nodeSelectorTerms");
    if now.len() != old.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(FieldError::invalid(path, now, detail));
        return;
    }
    for (at, (now, old)) in now.iter().zip(&old).enumerate() {
        if !only_adds(now, old) {
            let detail = "only additions are allowed (no mutations or deletions)";
            errors.push(FieldError::invalid(path.index(at), now.clone(), detail));
        }
    }
}

/// Whether a term says all that it said, and perhaps more. One that says nothing chooses nothing, and goes on so.
fn only_adds(now: &Value, old: &Value) -> bool {
    const LISTS: [&str; 2] = ["matchExpressions", "matchFields"];
    let list = |term: &Value, list: &str| items(term, list).cloned().collect::<Vec<_>>();
    let says_nothing = |term: &Value| LISTS.iter().all(|name| list(term, name).is_empty());
    if says_nothing(old) {
        return says_nothing(now);
    }
    LISTS.iter().all(|name| list(now, name).starts_with(&list(old, name)))
}

fn take_node_affinity(before: &mut Value, now: &Value) {
    let wanted = &now["affinity"]["nodeAffinity"];
    let others = |spec: &Value| {
        let fields = spec["affinity"].as_object().into_iter().flatten();
        fields.filter(|(name, value)| *name != "nodeAffinity" && !value.is_null()).count()
    };
    if others(before) == 0 && others(now) == 0 {
        super::copy(before, now, "affinity");
    } else if !before["affinity"].is_null() {
        super::copy(&mut before["affinity"], &now["affinity"], "nodeAffinity");
    } else if !wanted.is_null() {
        before["affinity"] = serde_json::json!({"nodeAffinity": wanted});
    }
}

/// What containers that run for the time being, beside the others, cannot have.
const NOT_EPHEMERAL: [&str; 7] =
    ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources", "resizePolicy"];

/// Checks containers that are put into a Pod to look at it: they come, and stay what they are.
pub(super) fn validate_ephemeral(now: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("spec.ephemeralContainers");
    let others = ["initContainers", "containers"].into_iter().flat_map(|kind| items(now, kind));
    let mut seen: HashSet<&str> = others.map(|container| text(container, &["name"])).collect();
    let targets = seen.clone();
    for (at, container) in items(now, "ephemeralContainers").enumerate() {
        let (path, name) = (path.index(at), text(container, &["name"]));
        if name.is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        } else if !seen.insert(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        } else {
            let wrong = names::dns_label(name).into_iter();
            errors.extend(wrong.map(|wrong| FieldError::invalid(path.child("name"), name, wrong)));
        }
        if text(container, &["image"]).is_empty() {
            errors.push(FieldError::required(path.child("image"), ""));
        }
        let target = text(container, &["targetContainerName"]);
        if !target.is_empty() && !targets.contains(target) {
            errors.push(FieldError::not_found(path.child("targetContainerName"), target));
        }
        for field in NOT_EPHEMERAL {
            let is_empty = match &container[field] {
                Value::Object(fields) => fields.is_empty(),
                Value::Array(items) => items.is_empty(),
                other => other.is_null(),
            };
            if !is_empty {
                let detail = "cannot be set for an Ephemeral Container";
                errors.push(FieldError::forbidden(path.child(field), detail));
            }
        }
    }
    for before in items(old, "ephemeralContainers") {
        let name = text(before, &["name"]);
        let same = items(now, "ephemeralContainers").find(|container| container["name"] == name);
        let what = match same {
            None => "removed",
            Some(same) if same != before => "changed",
            Some(_) => continue,
        };
        let detail = format!("existing ephemeral containers {name:?} may not be {what}");
        errors.push(FieldError::forbidden(path.clone(), detail));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(rest: &Value) -> Value {
        let mut spec = json!({"containers": [{"name": "c", "image": "i"}]});
        for (name, value) in rest.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        spec
    }

    fn told(validate: fn(&Value, &Value, &mut Vec<FieldError>), old: &Value, now: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        validate(&pod(now), &pod(old), &mut errors);
        errors.iter().map(|error| format!("{} {}", error.path, error.problem.reason())).collect()
    }

    fn required(expressions: &Value) -> Value {
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": expressions}]}}})
    }

    #[test]
    fn few_fields_of_a_pod_change() {
        let gated = |rest: Value| {
            let mut rest = rest;
            rest["schedulingGates"] = json!([{"name": "g"}]);
            rest
        };
        let (one, two) =
            (json!({"key": "a", "operator": "Exists"}), json!({"key": "b", "operator": "Exists"}));
        let timed = json!({"key": "a", "operator": "Exists", "tolerationSeconds": 5});
        let (small, large) = (required(&json!([one])), required(&json!([one, two])));
        let free: &[&str] = &[];
        for (old, now, expected) in [
            (json!({}), json!({"containers": [{"name": "c", "image": "other"}]}), free),
            (json!({}), json!({"containers": [{"name": "d", "image": "i"}]}), &["spec FieldValueForbidden"]),
            (
                json!({}),
                json!({"containers": [{"name": "c"}]}),
                &["spec.containers[0].image FieldValueRequired"],
            ),
            (json!({}), json!({"containers": []}), &["spec.containers FieldValueForbidden"]),
            (json!({}), json!({"activeDeadlineSeconds": 9}), free),
            (json!({"activeDeadlineSeconds": 9}), json!({"activeDeadlineSeconds": 8}), free),
            (
                json!({"activeDeadlineSeconds": 9}),
                json!({"activeDeadlineSeconds": 10}),
                &["spec.activeDeadlineSeconds FieldValueInvalid"],
            ),
            (
                json!({"activeDeadlineSeconds": 9}),
                json!({}),
                &["spec.activeDeadlineSeconds FieldValueInvalid"],
            ),
            (json!({"tolerations": [one]}), json!({"tolerations": [timed, two]}), free),
            (
                json!({"tolerations": [one, two]}),
                json!({"tolerations": [two]}),
                &["spec.tolerations FieldValueForbidden"],
            ),
            (json!({"terminationGracePeriodSeconds": -1}), json!({"terminationGracePeriodSeconds": 1}), free),
            (
                json!({"terminationGracePeriodSeconds": 5}),
                json!({"terminationGracePeriodSeconds": 1}),
                &["spec FieldValueForbidden"],
            ),
            (gated(json!({})), json!({}), free),
            (json!({}), gated(json!({})), &["spec.schedulingGates[0] FieldValueForbidden"]),
            (json!({}), json!({"nodeSelector": {"a": "b"}}), &["spec FieldValueForbidden"]),
            (gated(json!({})), gated(json!({"nodeSelector": {"a": "b"}})), free),
            (
                gated(json!({"nodeSelector": {"a": "b"}})),
                gated(json!({"nodeSelector": {"a": "c"}})),
                &["spec.nodeSelector FieldValueInvalid"],
            ),
            (gated(json!({})), gated(json!({"affinity": small})), free),
            (gated(json!({"affinity": small})), gated(json!({"affinity": large})), free),
            (json!({}), json!({"affinity": small}), &["spec FieldValueForbidden"]),
            (
                gated(json!({})),
                gated(json!({"affinity": {"podAffinity": {}}})),
                &["spec FieldValueForbidden"],
            ),
        ] {
            assert_eq!(told(validate, &old, &now), expected, "{old} to {now}");
        }
        let narrowed = told(validate, &gated(json!({"affinity": large})), &gated(json!({"affinity": small})));
        assert_eq!(narrowed.len(), 1, "{narrowed:?}");
        assert!(narrowed[0].ends_with("nodeSelectorTerms[0] FieldValueInvalid"), "{narrowed:?}");
    }

    #[test]
    fn what_looks_at_a_pod_comes_and_stays() {
        let with = |containers: Value| json!({"ephemeralContainers": containers});
        let path = "spec.ephemeralContainers";
        let good = json!({"name": "d", "image": "i", "targetContainerName": "c"});
        assert!(told(validate_ephemeral, &json!({}), &with(json!([good]))).is_empty());
        for (old, now, expected) in [
            (json!([]), json!([{"image": "i"}]), vec!["[0].name FieldValueRequired"]),
            (json!([]), json!([{"name": "d"}]), vec!["[0].image FieldValueRequired"]),
            (json!([]), json!([{"name": "c", "image": "i"}]), vec!["[0].name FieldValueDuplicate"]),
            (
                json!([]),
                json!([{"name": "d", "image": "i", "ports": [{"containerPort": 1}], "resources": {}}]),
                vec!["[0].ports FieldValueForbidden"],
            ),
            (json!([good]), json!([]), vec![" FieldValueForbidden"]),
            (json!([good]), json!([{"name": "d", "image": "other"}]), vec![" FieldValueForbidden"]),
        ] {
            let expected: Vec<String> = expected.into_iter().map(|error| format!("{path}{error}")).collect();
            assert_eq!(
                told(validate_ephemeral, &with(old.clone()), &with(now.clone())),
                expected,
                "{old} to {now}"
            );
        }
    }
}
