//! The kinds that make Pods from a template.

use std::borrow::Cow;

use machinery::field::{FieldError, Path};
use machinery::selector::LabelSelector;
use serde_json::{Value, json};

use super::pod_spec::{default_pod_spec, validate_template_spec};
use super::{BASE, Strategy, job, text};
use crate::Result;
use crate::registry::Resource;
use crate::resource::Call;

/// Returns the strategy of a workload kind.
pub(super) fn strategy(resource: &Resource) -> Strategy {
    let base = Strategy { default: default_template, ..BASE };
    match resource.plural() {
        "deployments" | "statefulsets" | "replicasets" => Strategy { validate: validate_selector, ..base },
        "daemonsets" => Strategy { prepare_create: first_generation, validate: validate_selector, ..base },
        "jobs" => Strategy {
            default: job::default_job,
            prepare_create: job::select_own,
            validate: job::validate_job,
            ..base
        },
        "cronjobs" => Strategy { validate: job::validate_cron_job, ..base },
        "replicationcontrollers" => Strategy { default: default_controller, ..base },
        _ => base,
    }
}

/// Old clients look for the generation of a DaemonSet's template in an annotation.
fn first_generation(_: &mut Call, draft: &mut Value) -> Result<()> {
    if draft["metadata"]["annotations"].is_null() {
        draft["metadata"]["annotations"] = json!({});
    }
    draft["metadata"]["annotations"]["deprecated.daemonset.template.generation"] = "1".into();
    Ok(())
}

/// What a template's Pods are called the controller is called as well, and selects.
fn default_controller(draft: &mut Value) {
    default_template(draft);
    let labels = draft["spec"]["template"]["metadata"]["labels"].clone();
    if !is_empty(&labels) && is_empty(&draft["spec"]["selector"]) {
        draft["spec"]["selector"] = labels;
    }
    default_labels(draft);
}

/// Gives what makes Pods the labels of its template, when it has none of its own.
pub(super) fn default_labels(draft: &mut Value) {
    let labels = draft["spec"]["template"]["metadata"]["labels"].clone();
    if !is_empty(&labels) && draft["metadata"].is_object() && is_empty(&draft["metadata"]["labels"]) {
        draft["metadata"]["labels"] = labels;
    }
}

fn is_empty(map: &Value) -> bool {
    map.as_object().is_none_or(serde_json::Map::is_empty)
}

/// Sets what a template's Pods get, and how a rollout goes on.
pub(super) fn default_template(draft: &mut Value) {
    for pointer in ["/spec/template/spec", "/template/spec", "/spec/jobTemplate/spec/template/spec"] {
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

/// The spec of a template's Pods with the volumes that its claims become; a claim takes the place of a volume of its name.
fn with_claims(spec: &Value) -> Cow<'_, Value> {
    let (pod, claims) = (&spec["template"]["spec"], spec["volumeClaimTemplates"].as_array());
    let Some(claims) = claims.filter(|claims| !claims.is_empty()) else { return Cow::Borrowed(pod) };
    let names: Vec<&str> = claims.iter().map(|claim| text(claim, &["metadata", "name"])).collect();
    let kept = pod["volumes"].as_array().into_iter().flatten();
    let kept = kept.filter(|volume| !names.contains(&text(volume, &["name"]))).cloned();
    let made = names.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
    let mut pod = pod.clone();
    pod["volumes"] = kept.chain(made).collect();
    Cow::Owned(pod)
}

fn validate_selector(call: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::new("spec.selector");
    let selector = &object["spec"]["selector"];
    let told = call.resource.plural() != "daemonsets";
    let empty = selector.as_object().is_none_or(serde_json::Map::is_empty);
    match LabelSelector::from_object(selector) {
        _ if selector.is_null() => {
            if told {
                errors.push(FieldError::required(path.clone(), ""));
            }
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
        // The table says which part of it is wrong.
        Err(_) if !told => {}
        Err(error) => errors.push(FieldError::invalid(path.clone(), selector.clone(), error.to_string())),
    }
    let template = Path::new("spec.template.spec");
    validate_template_spec(&with_claims(&object["spec"]), &template, &mut errors);
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
    // A StatefulSet says of its whole spec what may change.
    let fixed = call.resource.plural() != "statefulsets";
    if fixed && old.is_some_and(|old| old["spec"]["selector"] != *selector) {
        errors.push(FieldError::invalid(path, selector.clone(), "field is immutable"));
    }
    errors
}
