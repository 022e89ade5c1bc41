//! What makes Pods, and what says how many of them may go.

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::Value;

use super::super::pod_spec::validate_template_spec;
use super::super::text;
use super::shape::{self, NO_MORE_THAN_ALL, SELECTOR, SHARE, domain_path};
use super::{Row, Rule, is_empty};
use Rule::{All, AtLeast, Fixed, Holds, Name, Required, UniqueItems, Words};

pub(super) fn rows(plural: &str) -> &'static [Row] {
    match plural {
        "deployments" => DEPLOYMENT,
        "statefulsets" => STATEFUL_SET,
        "daemonsets" => DAEMON_SET,
        "replicasets" => REPLICA_SET,
        "controllerrevisions" => REVISION,
        "jobs" => JOB,
        "cronjobs" => CRON_JOB,
        "poddisruptionbudgets" => BUDGET,
        _ => &[],
    }
}

const DEPLOYMENT: &[Row] = &[
    Row("spec.selector", &[SELECTOR]),
    Row("spec.minReadySeconds", &[AtLeast(0)]),
    Row("spec.revisionHistoryLimit?", &[AtLeast(0)]),
    Row("spec.progressDeadlineSeconds?", &[AtLeast(0)]),
    Row(
        "spec.strategy",
        &[Holds(|strategy, _, path, errors| {
            kind_of(strategy, &["Recreate", "RollingUpdate"], path, errors);
        })],
    ),
    Row("spec.template", &[Holds(template_metadata)]),
    Row("spec.strategy.rollingUpdate?", &[All(ROLLING), Holds(goes_on)]),
    Row("spec", &[Holds(deadline)]),
];

/// The type of a strategy, told of the strategy.
fn kind_of(strategy: &Value, known: &[&str], path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(strategy, &["type"]);
    if !known.contains(&kind) {
        errors.push(FieldError::not_supported(path.clone(), kind, known.iter().copied()));
    }
}

/// Labels and annotations of a template, told without the metadata between.
pub(super) fn template_metadata(
    template: &Value,
    _: Option<&Value>,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    shape::labels(&template["metadata"]["labels"], &path.child("labels"), errors);
    for (key, _) in template["metadata"]["annotations"].as_object().into_iter().flatten() {
        for wrong in names::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(path.child("annotations"), key.as_str(), wrong));
        }
    }
}

const ROLLING: &[Row] = &[
    Row("maxUnavailable?", &[SHARE, NO_MORE_THAN_ALL]),
    Row("maxSurge?", &[SHARE]),
    Row("partition?", &[AtLeast(0)]),
];

/// Whether a number or share is nought.
fn is_nought(share: &Value) -> bool {
    match share {
        Value::String(text) => text.trim_end_matches('%').parse() == Ok(0),
        other => other.as_i64().unwrap_or_default() == 0,
    }
}

/// A rollout that may neither add nor take away Pods would never go on.
fn goes_on(rolling: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if is_nought(&rolling["maxUnavailable"]) && is_nought(&rolling["maxSurge"]) {
        let detail = "may not be 0 when `maxSurge` is 0";
        let shown = rolling["maxUnavailable"].clone();
        errors.push(FieldError::invalid(path.child("maxUnavailable"), shown, detail));
    }
}

fn deadline(spec: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let ready = spec["minReadySeconds"].as_i64().unwrap_or_default();
    if let Some(deadline) = spec["progressDeadlineSeconds"].as_i64().filter(|deadline| *deadline <= ready) {
        let detail = "must be greater than minReadySeconds";
        errors.push(FieldError::invalid(path.child("progressDeadlineSeconds"), deadline, detail));
    }
}

const STATEFUL_SET: &[Row] = &[
    // Its Pods have its name for a label.
    Row("metadata.name", &[Name(names::dns_label)]),
    Row("spec.selector", &[SELECTOR]),
    Row("spec.template", &[Holds(template_metadata)]),
    Row("spec.serviceName?", &[Name(names::dns_1035_label)]),
    Row("spec.minReadySeconds", &[AtLeast(0)]),
    Row("spec.podManagementPolicy", &[Required(""), Holds(management)]),
    Row("spec.updateStrategy", &[Holds(update_strategy)]),
    Row("spec.updateStrategy.rollingUpdate?.partition?", &[AtLeast(0)]),
    Row("spec.ordinals?.start", &[AtLeast(0)]),
    Row("spec.persistentVolumeClaimRetentionPolicy?.whenDeleted", &[Words(&["Delete", "Retain"])]),
    Row("spec.persistentVolumeClaimRetentionPolicy?.whenScaled", &[Words(&["Delete", "Retain"])]),
    Row("spec", &[Holds(only_some_change)]),
];

fn management(policy: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if policy != "OrderedReady" && policy != "Parallel" {
        let detail = "must be 'OrderedReady' or 'Parallel'";
        errors.push(FieldError::invalid(path.clone(), policy.clone(), detail));
    }
}

fn update_strategy(strategy: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(strategy, &["type"]);
    if !matches!(kind, "RollingUpdate" | "OnDelete") {
        let detail = "type must be 'RollingUpdate' or 'OnDelete'";
        errors.push(FieldError::invalid(path.clone(), strategy.clone(), detail));
    }
}

/// Most of a StatefulSet stays what it was made as.
fn only_some_change(spec: &Value, old: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    const MAY: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let fixed = |spec: &Value| -> Vec<(String, Value)> {
        let fields = spec.as_object().into_iter().flatten();
        let fixed = fields.filter(|(name, _)| !MAY.contains(&name.as_str()));
        let mut fixed: Vec<_> = fixed.map(|(name, value)| (name.clone(), value.clone())).collect();
        fixed.sort_by(|a, b| a.0.cmp(&b.0));
        fixed
    };
    if old.is_some_and(|old| fixed(old) != fixed(spec)) {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
                      'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        errors.push(FieldError::forbidden(path.clone(), detail));
    }
}

const DAEMON_SET: &[Row] = &[
    Row("spec.selector", &[SELECTOR]),
    Row("spec.minReadySeconds", &[AtLeast(0)]),
    Row("spec.revisionHistoryLimit?", &[AtLeast(0)]),
    Row("spec.template", &[Holds(template_metadata)]),
    Row(
        "spec.updateStrategy",
        &[Holds(|strategy, _, path, errors| {
            kind_of(strategy, &["OnDelete", "RollingUpdate"], path, errors);
        })],
    ),
    Row("spec.updateStrategy.rollingUpdate?", &[All(ROLLING), Holds(one_way)]),
];

/// A node's Pod is replaced before or after the new one is there, one of the two.
fn one_way(rolling: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let (fewer, more) = (is_nought(&rolling["maxUnavailable"]), is_nought(&rolling["maxSurge"]));
    if fewer && more {
        let detail = "cannot be 0 when maxSurge is 0";
        errors.push(FieldError::required(path.child("maxUnavailable"), detail));
    } else if !fewer && !more {
        let detail = "may not be set when maxUnavailable is non-zero";
        errors.push(FieldError::invalid(path.child("maxSurge"), rolling["maxSurge"].clone(), detail));
    }
}

const REPLICA_SET: &[Row] = &[
    Row("spec.selector", &[SELECTOR]),
    Row("spec.template", &[Holds(template_metadata)]),
    Row("spec.minReadySeconds", &[AtLeast(0)]),
];

const REVISION: &[Row] = &[Row("data", &[Holds(data), Fixed]), Row("revision", &[AtLeast(0)])];

/// What a revision is of may be any value but none.
fn data(data: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if data.is_null() {
        errors.push(FieldError::required(path.clone(), "data is mandatory"));
    }
}

/// Completions of an indexed Job, and Pods of it at a time.
const INDEXES_MAX: i64 = 100_000;

const JOB: &[Row] = &[Row("spec", &[All(JOB_SPEC), Holds(job)])];

const JOB_SPEC: &[Row] = &[
    Row("parallelism?", &[AtLeast(0)]),
    Row("completions?", &[AtLeast(0)]),
    Row("activeDeadlineSeconds?", &[AtLeast(0)]),
    Row("backoffLimit?", &[AtLeast(0)]),
    Row("ttlSecondsAfterFinished?", &[AtLeast(0)]),
    Row("backoffLimitPerIndex?", &[AtLeast(0)]),
    Row("maxFailedIndexes?", &[AtLeast(0)]),
    Row("completionMode?", &[Words(&["Indexed", "NonIndexed"])]),
    Row("podReplacementPolicy?", &[Words(&["Failed", "TerminatingOrFailed"])]),
    Row("managedBy?", &[Name(domain_path), Fixed]),
    Row("selector?", &[SELECTOR]),
    Row("podFailurePolicy?.rules[]", &[Holds(failure_rule)]),
    Row("template.spec", &[Holds(pod_spec)]),
    Row("template", &[Holds(template_metadata)]),
    Row(
        "successPolicy?.rules",
        &[Required("at least one rules must be specified when the successPolicy is specified")],
    ),
];

/// The spec of a template's Pods.
pub(super) fn pod_spec(spec: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    validate_template_spec(spec, path, errors);
}

/// What belongs together in a Job.
fn job(spec: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let restart = text(spec, &["template", "spec", "restartPolicy"]);
    if !matches!(restart, "Never" | "OnFailure") {
        let at = path.child("template").child("spec").child("restartPolicy");
        let words = ["Never", "OnFailure"];
        errors.push(match restart {
            // The default of Pods is no choice for Jobs, so it counts as no choice at all.
            "" | "Always" => FieldError::required(at, "valid values: \"OnFailure\", \"Never\""),
            other => FieldError::not_supported(at, other, words),
        });
    }
    let indexed = spec["completionMode"] == "Indexed";
    if indexed && spec["completions"].is_null() {
        let detail = "when completion mode is Indexed";
        errors.push(FieldError::required(path.child("completions"), detail));
    }
    if indexed && spec["parallelism"].as_i64().is_some_and(|number| number > INDEXES_MAX) {
        let detail = format!("must be less than or equal to {INDEXES_MAX} when completion mode is Indexed");
        errors.push(FieldError::invalid(path.child("parallelism"), spec["parallelism"].clone(), detail));
    }
    for field in ["backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"] {
        if !indexed && !spec[field].is_null() {
            let detail = "requires indexed completion mode";
            errors.push(FieldError::invalid(path.child(field), spec[field].clone(), detail));
        }
    }
    let replaced = text(spec, &["podReplacementPolicy"]);
    if !spec["podFailurePolicy"].is_null() && !matches!(replaced, "" | "Failed") {
        errors.push(FieldError::not_supported(path.child("podReplacementPolicy"), replaced, ["Failed"]));
    }
    if !spec["maxFailedIndexes"].is_null() && spec["backoffLimitPerIndex"].is_null() {
        let detail = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(path.child("backoffLimitPerIndex"), detail));
    }
    if restart == "OnFailure" && !spec["podFailurePolicy"].is_null() {
        let at = path.child("template").child("spec").child("restartPolicy");
        let shown = spec["template"]["spec"]["restartPolicy"].clone();
        errors.push(FieldError::invalid(
            at,
            shown,
            "only \"Never\" is supported when podFailurePolicy is specified",
        ));
    }
}

const FAILURE_RULE: &[Row] = &[
    Row("action", &[Required(""), Words(&["Count", "FailIndex", "FailJob", "Ignore"])]),
    Row("onExitCodes?.operator", &[Required(""), Words(&["In", "NotIn"])]),
    Row("onExitCodes?.values", &[Holds(exit_codes), UniqueItems("")]),
    Row("onPodConditions[].type", &[Name(names::qualified_name)]),
    Row("onPodConditions[].status?", &[Words(&["False", "True", "Unknown"])]),
];

fn failure_rule(rule: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    super::apply(FAILURE_RULE, rule, None, path, errors);
    let codes = !rule["onExitCodes"].is_null();
    let conditions = !is_empty(&rule["onPodConditions"]);
    if codes == conditions {
        let detail = if codes {
            "specifying both OnExitCodes and OnPodConditions is not supported"
        } else {
            "specifying one of OnExitCodes and OnPodConditions is required"
        };
        errors.push(FieldError::invalid(path.clone(), "", detail));
    }
}

fn exit_codes(codes: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if is_empty(codes) {
        let detail = "at least one value is required";
        errors.push(FieldError::invalid(path.clone(), codes.clone(), detail));
    }
}

const CRON_JOB: &[Row] = &[
    Row("spec.startingDeadlineSeconds?", &[AtLeast(0)]),
    Row("spec.successfulJobsHistoryLimit?", &[AtLeast(0)]),
    Row("spec.failedJobsHistoryLimit?", &[AtLeast(0)]),
    Row("spec.concurrencyPolicy", &[Required(""), Words(&["Allow", "Forbid", "Replace"])]),
    Row("spec.jobTemplate.spec", &[Holds(job_template), Holds(job), Holds(no_selector)]),
    Row("metadata.name", &[Holds(schedule_name)]),
];

/// The Jobs that are there keep what they have; those to come may be any.
fn job_template(spec: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    super::apply(JOB_SPEC, spec, None, path, errors);
}

/// What a schedule's Jobs select is settled when each is made.
fn no_selector(spec: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if !spec["selector"].is_null() {
        let detail = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(path.child("selector"), spec["selector"].clone(), detail));
    }
    if spec["manualSelector"] == true {
        errors.push(FieldError::not_supported(path.child("manualSelector"), true, ["nil", "false"]));
    }
}

/// The names of a schedule's Jobs are longer than its own.
fn schedule_name(name: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    const MAX: usize = 52;
    if name.as_str().is_some_and(|name| name.len() > MAX) {
        let detail = format!("must be no more than {MAX} characters");
        errors.push(FieldError::invalid(path.clone(), name.clone(), detail));
    }
}

const BUDGET: &[Row] = &[
    Row("spec.minAvailable?", &[SHARE, NO_MORE_THAN_ALL]),
    Row("spec.maxUnavailable?", &[SHARE, NO_MORE_THAN_ALL]),
    Row("spec.selector?", &[SELECTOR]),
    Row("spec.unhealthyPodEvictionPolicy?", &[Words(&["AlwaysAllow", "IfHealthyBudget"])]),
    Row("spec", &[Holds(one_bound)]),
];

fn one_bound(spec: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if !(spec["minAvailable"].is_null() || spec["maxUnavailable"].is_null()) {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid(path.clone(), spec.clone(), detail));
    }
}
