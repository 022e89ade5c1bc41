//! Cells of what runs Pods: apps, batch, autoscaling, policy.

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use super::read::{
    NONE, UNKNOWN, UNSET, condition, each, flag, items, number, pairs, scalar, selector, text, text_or,
};

fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

/// Names, then images, of the template's containers.
fn containers(object: &Value, template: &str) -> [Value; 2] {
    let list = format!("{template}/spec/containers");
    [each(object, &list, "/name").into(), each(object, &list, "/image").into()]
}

pub(super) fn replica_set(object: &Value, now: Timestamp, selects_by_map: bool) -> Vec<Value> {
    let chosen =
        if selects_by_map { pairs(object, "/spec/selector") } else { selector(object, "/spec/selector") };
    let mut cells = vec![
        name(object),
        number(object, "/spec/replicas").into(),
        number(object, "/status/replicas").into(),
        number(object, "/status/readyReplicas").into(),
        age::of(object, now),
    ];
    cells.extend(containers(object, "/spec/template"));
    cells.push(chosen.into());
    cells
}

pub(super) fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas"));
    let mut cells = vec![
        name(object),
        ready.into(),
        number(object, "/status/updatedReplicas").into(),
        number(object, "/status/availableReplicas").into(),
        age::of(object, now),
    ];
    cells.extend(containers(object, "/spec/template"));
    cells.push(selector(object, "/spec/selector").into());
    cells
}

pub(super) fn stateful_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas"));
    let mut cells = vec![name(object), ready.into(), age::of(object, now)];
    cells.extend(containers(object, "/spec/template"));
    cells
}

pub(super) fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![
        name(object),
        number(object, "/status/desiredNumberScheduled").into(),
        number(object, "/status/currentNumberScheduled").into(),
        number(object, "/status/numberReady").into(),
        number(object, "/status/updatedNumberScheduled").into(),
        number(object, "/status/numberAvailable").into(),
        pairs(object, "/spec/template/spec/nodeSelector").into(),
        age::of(object, now),
    ];
    cells.extend(containers(object, "/spec/template"));
    cells.push(selector(object, "/spec/selector").into());
    cells
}

pub(super) fn controller_revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let owners = items(object, "/metadata/ownerReferences");
    let controller = owners.iter().find(|owner| flag(owner, "/controller")).map_or_else(
        || NONE.to_owned(),
        |owner| {
            let group = text(owner, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
            let kind = text(owner, "/kind").to_lowercase();
            let dot = if group.is_empty() { "" } else { "." };
            format!("{kind}{dot}{group}/{}", text(owner, "/name"))
        },
    );
    vec![name(object), controller.into(), number(object, "/revision").into(), age::of(object, now)]
}

pub(super) fn job(object: &Value, now: Timestamp) -> Vec<Value> {
    let state = if condition(object, "Complete") == "True" {
        "Complete"
    } else if condition(object, "Failed") == "True" {
        "Failed"
    } else if !text(object, "/metadata/deletionTimestamp").is_empty() {
        "Terminating"
    } else if condition(object, "Suspended") == "True" {
        "Suspended"
    } else if condition(object, "FailureTarget") == "True" {
        "FailureTarget"
    } else if condition(object, "SuccessCriteriaMet") == "True" {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    let succeeded = number(object, "/status/succeeded");
    let completions = match object.pointer("/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None => match number(object, "/spec/parallelism") {
            ..=1 => format!("{succeeded}/1"),
            parallel => format!("{succeeded}/1 of {parallel}"),
        },
    };
    let time = |pointer| text(object, pointer).parse::<Timestamp>().ok();
    let duration = time("/status/startTime").map(|start| {
        let end = time("/status/completionTime").unwrap_or(now);
        age::span(end.as_second() - start.as_second())
    });
    let mut cells = vec![
        name(object),
        state.into(),
        completions.into(),
        duration.unwrap_or_default().into(),
        age::of(object, now),
    ];
    cells.extend(containers(object, "/spec/template"));
    cells.push(selector(object, "/spec/selector").into());
    cells
}

pub(super) fn cron_job(object: &Value, now: Timestamp) -> Vec<Value> {
    let last = object.pointer("/status/lastScheduleTime").filter(|time| !time.is_null());
    let mut cells = vec![
        name(object),
        text(object, "/spec/schedule").into(),
        text_or(object, "/spec/timeZone", NONE).into(),
        flag(object, "/spec/suspend").into(),
        items(object, "/status/active").len().into(),
        last.map_or_else(|| NONE.to_owned(), |time| age::since(time, now)).into(),
        age::of(object, now),
    ];
    cells.extend(containers(object, "/spec/jobTemplate/spec/template"));
    cells.push(selector(object, "/spec/jobTemplate/spec/selector").into());
    cells
}

pub(super) fn autoscaler(object: &Value, now: Timestamp) -> Vec<Value> {
    let reference = format!(
        "{}/{}",
        text(object, "/spec/scaleTargetRef/kind"),
        text(object, "/spec/scaleTargetRef/name")
    );
    let minimum = match object.pointer("/spec/minReplicas").and_then(Value::as_i64) {
        Some(minimum) => minimum.to_string(),
        None => UNSET.to_owned(),
    };
    vec![
        name(object),
        reference.into(),
        targets(object).into(),
        minimum.into(),
        number(object, "/spec/maxReplicas").into(),
        number(object, "/status/currentReplicas").into(),
        age::of(object, now),
    ]
}

/// What an autoscaler aims at, with what it measures now.
fn targets(object: &Value) -> String {
    let percent = |value: Option<&Value>| {
        value.and_then(Value::as_i64).map_or_else(|| UNKNOWN.to_owned(), |percent| format!("{percent}%"))
    };
    if let Some(target) = object.pointer("/spec/targetCPUUtilizationPercentage") {
        let current = percent(object.pointer("/status/currentCPUUtilizationPercentage"));
        return format!("cpu: {current}/{}", percent(Some(target)));
    }
    let current = items(object, "/status/currentMetrics");
    let shown: Vec<String> = items(object, "/spec/metrics")
        .iter()
        .enumerate()
        .map(|(at, metric)| {
            let kind = text(metric, "/type");
            let mut field = kind.to_owned();
            if let Some(first) = field.get_mut(..1) {
                first.make_ascii_lowercase();
            }
            let name =
                text_or(metric, &format!("/{field}/name"), text(metric, &format!("/{field}/metric/name")));
            let measured = current.get(at).and_then(|status| status.pointer(&format!("/{field}/current")));
            let part = |values: Option<&Value>| match values {
                None => UNKNOWN.to_owned(),
                Some(values) => match values.get("averageUtilization") {
                    Some(share) => percent(Some(share)),
                    None if values.get("averageValue").is_some() => scalar(values, "/averageValue"),
                    None => scalar(values, "/value"),
                },
            };
            let target = part(metric.pointer(&format!("/{field}/target")));
            let prefix = if kind == "Resource" { format!("{name}: ") } else { String::new() };
            format!("{prefix}{}/{target}", part(measured))
        })
        .collect();
    if shown.is_empty() { NONE.to_owned() } else { shown.join(", ") }
}

pub(super) fn disruption_budget(object: &Value, now: Timestamp) -> Vec<Value> {
    let or_none = |pointer| match scalar(object, pointer) {
        text if text.is_empty() => "N/A".to_owned(),
        text => text,
    };
    vec![
        name(object),
        or_none("/spec/minAvailable").into(),
        or_none("/spec/maxUnavailable").into(),
        number(object, "/status/disruptionsAllowed").into(),
        age::of(object, now),
    ]
}
