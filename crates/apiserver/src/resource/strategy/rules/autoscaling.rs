//! HorizontalPodAutoscalers.

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::{Value, json};

use super::super::{set_default, text};
use super::{Row, Rule};
use Rule::{All, AtLeast, Between, Holds, Name, Positive, Required, Words};

/// The table of both versions.
pub(super) const ROWS: &[Row] = &[
    Row("spec.minReplicas?", &[AtLeast(1)]),
    Row("spec.maxReplicas", &[Holds(set)]),
    Row("spec.maxReplicas", &[Positive]),
    Row("spec", &[Holds(range)]),
    Row("spec.scaleTargetRef", &[All(REFERENCE)]),
    Row("spec.scaleTargetRef.apiVersion", &[Name(api_version)]),
    Row("spec.targetCPUUtilizationPercentage?", &[Positive]),
    Row("spec.metrics[]", &[Holds(metric)]),
    Row("spec.behavior?.scaleUp?", &[All(BEHAVIOUR)]),
    Row("spec.behavior?.scaleDown?", &[All(BEHAVIOUR)]),
];

const REFERENCE: &[Row] = &[
    Row("kind", &[Required(""), Name(names::path_segment)]),
    Row("name", &[Required(""), Name(names::path_segment)]),
];

const BEHAVIOUR: &[Row] = &[
    Row("stabilizationWindowSeconds?", &[Between(0, 3600)]),
    Row("selectPolicy?", &[Words(&["Max", "Min", "Disabled"])]),
    Row("policies", &[Required("must specify at least one Policy")]),
    Row("policies[].type", &[Words(&["Pods", "Percent"])]),
    Row("policies[].value", &[Positive]),
    Row("policies[].periodSeconds", &[Between(1, 1800)]),
    Row("tolerance?", &[Rule::Amount { strictly: false }]),
];

const METRIC: &[Row] = &[Row("name", &[Required("must specify a metric name"), Name(names::path_segment)])];

const TARGET: &[Row] = &[
    Row("type", &[Required("must specify a metric target type")]),
    Row("type", &[Holds(target_type)]),
    Row("value?", &[Rule::Amount { strictly: true }]),
    Row("averageValue?", &[Rule::Amount { strictly: true }]),
    Row("averageUtilization?", &[Positive]),
];

const RESOURCE: &[Row] = &[
    Row("name", &[Required("must specify a resource name")]),
    Row("target", &[All(TARGET), Holds(of_resource)]),
];

/// Sources of figures: their type, their field, their table.
const SOURCES: [(&str, &str, &[Row]); 5] = [
    (
        "Object",
        "object",
        &[
            Row("describedObject", &[All(REFERENCE)]),
            Row("metric", &[All(METRIC)]),
            Row("target", &[All(TARGET), Holds(of_object)]),
        ],
    ),
    ("Pods", "pods", &[Row("metric", &[All(METRIC)]), Row("target", &[All(TARGET), Holds(of_pods)])]),
    (
        "ContainerResource",
        "containerResource",
        &[
            Row("name", &[Required("must specify a resource name"), Name(container_resource)]),
            Row("container", &[Required("must specify a container"), Name(names::dns_label)]),
            Row("target", &[All(TARGET), Holds(of_resource)]),
        ],
    ),
    ("Resource", "resource", RESOURCE),
    (
        "External",
        "external",
        &[Row("metric", &[All(METRIC)]), Row("target", &[All(TARGET), Holds(of_external)])],
    ),
];

/// Sets how an autoscaler goes up and down that says something of it, where it does not say all.
pub(in super::super) fn default(draft: &mut Value) {
    let Some(behaviour) = draft.pointer_mut("/spec/behavior").filter(|behaviour| behaviour.is_object())
    else {
        return;
    };
    let all_in_15_seconds = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let four_pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    for (direction, policies, stabilization) in [
        ("scaleUp", json!([four_pods, all_in_15_seconds]), Some(0)),
        ("scaleDown", json!([all_in_15_seconds]), None),
    ] {
        if behaviour[direction].is_null() {
            behaviour[direction] = json!({});
        }
        let rules = &mut behaviour[direction];
        if let Some(seconds) = stabilization {
            set_default(rules, "stabilizationWindowSeconds", seconds);
        }
        set_default(rules, "selectPolicy", "Max");
        set_default(rules, "policies", policies);
    }
}

fn set(number: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if number.as_i64().unwrap_or_default() == 0 {
        errors.push(FieldError::required(path.clone(), ""));
    }
}

/// The group and version of what is scaled.
fn api_version(text: &str) -> Vec<String> {
    let (group, version) = text.rsplit_once('/').unwrap_or(("", text));
    if version.is_empty() || group.contains('/') {
        return vec!["must be VERSION or GROUP/VERSION, such as apps/v1".to_owned()];
    }
    Vec::new()
}

/// A resource of containers: one of Kubernetes, or one with somebody's domain.
fn container_resource(name: &str) -> Vec<String> {
    let wrong = names::qualified_name(name);
    let known = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    if wrong.is_empty() && !known && !name.contains('/') {
        return vec!["must be a standard resource for containers".to_owned()];
    }
    wrong
}

fn range(spec: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let (least, most) = (spec["minReplicas"].as_i64(), spec["maxReplicas"].as_i64().unwrap_or_default());
    if least.is_some_and(|least| most < least) {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(path.child("maxReplicas"), most, detail));
    }
}

/// One metric has one source: the one of its type.
fn metric(metric: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(metric, &["type"]);
    let Some((_, wanted, _)) = SOURCES.iter().find(|(known, _, _)| *known == kind) else {
        let path = path.child("type");
        if kind.is_empty() {
            errors.push(FieldError::required(path.clone(), "must specify a metric source type"));
        }
        errors.push(FieldError::not_supported(path, kind, SOURCES.map(|(known, _, _)| known)));
        return;
    };
    let given = || SOURCES.iter().filter(|(_, field, _)| metric[field].is_object());
    for (_, field, table) in given() {
        super::apply(table, &metric[field], None, &path.child(field), errors);
    }
    if !metric[wanted].is_object() {
        let detail = "must populate information for the given metric source";
        errors.push(FieldError::required(path.child(wanted), detail));
    }
    for (_, field, _) in given().filter(|(_, field, _)| field != wanted) {
        let detail = "must populate the given metric source only";
        errors.push(FieldError::forbidden(path.child(field), detail));
    }
}

fn target_type(kind: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if !matches!(kind.as_str(), Some("Utilization" | "Value" | "AverageValue")) {
        let detail = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(path.clone(), kind.clone(), detail));
    }
}

fn of_object(target: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if target["value"].is_null() && target["averageValue"].is_null() {
        let detail = "must set either a target value or averageValue";
        errors.push(FieldError::required(path.child("averageValue"), detail));
    }
}

fn of_pods(target: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if target["averageValue"].is_null() {
        let detail = "must specify a positive target averageValue";
        errors.push(FieldError::required(path.child("averageValue"), detail));
    }
}

fn of_resource(target: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    match (target["averageUtilization"].is_null(), target["averageValue"].is_null()) {
        (true, true) => {
            let detail = "must set either a target raw value or a target utilization";
            errors.push(FieldError::required(path.child("averageUtilization"), detail));
        }
        (false, false) => {
            let detail = "may not set both a target raw value and a target utilization";
            errors.push(FieldError::forbidden(path.child("averageValue"), detail));
        }
        _ => {}
    }
}

fn of_external(target: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    match (target["value"].is_null(), target["averageValue"].is_null()) {
        (true, true) => {
            let detail = "must set either a target value for metric or a per-pod target";
            errors.push(FieldError::required(path.child("averageValue"), detail));
        }
        (false, false) => {
            let detail = "may not set both a target value for metric and a per-pod target";
            errors.push(FieldError::forbidden(path.child("value"), detail));
        }
        _ => {}
    }
}
