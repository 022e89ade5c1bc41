//! What to report of one Pod, as a pure function.

use std::collections::BTreeMap;

use api::names::condition::NOT_ALIVE;
use jiff::Timestamp;
use plan::ending::{OUT_OF_MEMORY, signal};
use serde_json::{Value, json};

use crate::record::{End, KILLED, Record, Starved};
use crate::step::Local;
use crate::view::{ConditionView, ContainerView, PodView, StatusView};

/// Returns the status that `local` calls for.
pub fn desired(pod: &PodView, local: &Local) -> StatusView {
    let all = || pod.init_containers.iter().chain(&pod.containers).map(|(name, _)| name.clone());
    let Some(record) = &local.record else { return pending(local, all()) };
    let unready = local.verdict.unready.as_ref();
    let state = |ready: bool| match record.end {
        None => ContainerView::Running { ready },
        Some(end) => terminated(&end),
    };
    let phase = match &record.end {
        None => "Running",
        Some(end) if end.code == Some(0) => "Succeeded",
        Some(_) => "Failed",
    };
    let running = record.end.is_none();
    let waiting: Vec<&str> =
        pod.gates.iter().filter(|(_, is_true)| !**is_true).map(|(gate, _)| gate.as_str()).collect();
    let ended = || condition(false, "PodCompleted", "");
    let containers_ready = match unready {
        _ if !running => ended(),
        None => condition(true, "", ""),
        Some(why) => {
            let names: Vec<&str> = pod.containers.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("containers with unready status: [{}]: {why}", names.join(" "));
            condition(false, "ContainersNotReady", &message)
        }
    };
    let ready = if !containers_ready.status {
        containers_ready.clone()
    } else if waiting.is_empty() {
        condition(true, "", "")
    } else {
        let message = format!("waiting for the condition {}", waiting.join(", "));
        condition(false, "ReadinessGatesNotReady", &message)
    };
    let mut conditions = BTreeMap::from([
        ("PodReadyToStartContainers".into(), condition(running, "", "")),
        ("Initialized".into(), condition(true, "", "")),
        ("ContainersReady".into(), containers_ready),
        ("Ready".into(), ready),
    ]);
    if running {
        conditions.extend(pod.opens.iter().map(|gate| (gate.clone(), condition(true, "", ""))));
    }
    // Once found dead, a Pod stays so: its end is on its way.
    let known = pod.status.conditions.get(NOT_ALIVE).cloned();
    let found = local.verdict.dead.as_ref().map(|why| condition(true, "LivenessProbeFailed", why));
    conditions.extend(known.or(found).map(|found| (NOT_ALIVE.to_owned(), found)));
    let named = |list: &[(String, String)], ready: bool| {
        list.iter().map(|(name, _)| (name.clone(), state(ready))).collect::<Vec<_>>()
    };
    let containers =
        named(&pod.init_containers, true).into_iter().chain(named(&pod.containers, unready.is_none()));
    StatusView {
        phase: phase.into(),
        reason: String::new(),
        message: String::new(),
        pod_ips: record.addresses(),
        conditions,
        containers: containers.collect(),
    }
}

fn condition(status: bool, reason: &str, message: &str) -> ConditionView {
    ConditionView { status, reason: reason.into(), message: message.into() }
}

fn terminated(end: &End) -> ContainerView {
    let (code, reason, message) = match (end.code, end.starved) {
        (Some(0), _) => (0, "Completed", String::new()),
        (Some(code), Some(starved)) => (code, OUT_OF_MEMORY, lacked(starved)),
        (Some(code), None) => {
            let killed = signal(code).map(|signal| format!("its first process was killed by {signal}"));
            (code, "Error", killed.unwrap_or_default())
        }
        (None, _) => {
            (KILLED, "ContainerStatusUnknown", "it ended while nobody on the node could see how".into())
        }
    };
    ContainerView::Terminated { code, reason: reason.into(), message }
}

/// Says what a Pod was allowed and had used when the kernel killed somebody in it.
fn lacked(memory: Starved) -> String {
    let size = |bytes: u64| format!("{} MiB", bytes >> 20);
    let used = memory.peak.map_or_else(String::new, |peak| format!(" and had used {}", size(peak)));
    match memory.limit {
        Some(limit) => format!("the Pod may use {}{used}", size(limit)),
        None => format!("the node ran out of memory; the Pod has no limit{used}"),
    }
}

/// The status of a Pod that has not started.
fn pending(local: &Local, names: impl Iterator<Item = String>) -> StatusView {
    let (reason, message) = match &local.trouble {
        Some(trouble) => (trouble.reason.as_str(), trouble.message.as_str()),
        None => ("ContainerCreating", ""),
    };
    let waiting = ContainerView::Waiting { reason: reason.into(), message: message.into() };
    let not_ready = if message.is_empty() {
        condition(false, "ContainersNotReady", "the containers are being created")
    } else {
        condition(false, reason, message)
    };
    StatusView {
        phase: "Pending".into(),
        conditions: BTreeMap::from([
            ("PodReadyToStartContainers".into(), condition(false, "", "")),
            ("Initialized".into(), condition(true, "", "")),
            ("ContainersReady".into(), not_ready.clone()),
            ("Ready".into(), not_ready),
        ]),
        containers: names.map(|name| (name, waiting.clone())).collect(),
        ..StatusView::default()
    }
}

/// Writes the strategic merge patch that turns the status of `pod` into `desired`; `None` when it is that.
pub fn patch(
    now: Timestamp,
    pod: &PodView,
    desired: &StatusView,
    record: Option<&Record>,
    host_ip: &str,
) -> Option<Value> {
    if pod.status == *desired {
        return None;
    }
    let now = seconds(now);
    let mut conditions = Vec::new();
    for (kind, wanted) in &desired.conditions {
        let known = pod.status.conditions.get(kind);
        if known == Some(wanted) {
            continue;
        }
        let mut value = json!({
            "type": kind,
            "status": if wanted.status { "True" } else { "False" },
            "reason": text(&wanted.reason),
            "message": text(&wanted.message),
        });
        if known.is_none_or(|known| known.status != wanted.status) {
            value["lastTransitionTime"] = json!(now);
        }
        conditions.push(value);
    }
    let statuses = |list: &[(String, String)]| -> Vec<Value> {
        list.iter()
            .filter_map(|(name, image)| {
                Some(container(name, image, desired.containers.get(name)?, &pod.uid, record))
            })
            .collect()
    };
    let started = record.map_or_else(|| now.clone(), |record| seconds(record.started_at));
    let mut status = json!({
        "phase": desired.phase,
        "hostIP": host_ip,
        "hostIPs": [{ "ip": host_ip }],
        "startTime": started,
        "containerStatuses": statuses(&pod.containers),
    });
    if !pod.init_containers.is_empty() {
        status["initContainerStatuses"] = Value::Array(statuses(&pod.init_containers));
    }
    if !conditions.is_empty() {
        status["conditions"] = Value::Array(conditions);
    }
    if let Some(first) = desired.pod_ips.first() {
        status["podIP"] = json!(first);
        let all: Vec<Value> = desired.pod_ips.iter().map(|ip| json!({ "ip": ip })).collect();
        status["podIPs"] = Value::Array(all);
    }
    for (field, wanted, known) in
        [("reason", &desired.reason, &pod.status.reason), ("message", &desired.message, &pod.status.message)]
    {
        if wanted != known {
            status[field] = text(wanted);
        }
    }
    // The UID keeps a report from reaching a Pod of the same name that came later.
    Some(json!({ "metadata": { "uid": pod.uid }, "status": status }))
}

/// A text field; empty ones are removed.
fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

/// Kubernetes' times have whole seconds.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

fn container(name: &str, image: &str, view: &ContainerView, uid: &str, record: Option<&Record>) -> Value {
    let id = format!("ironclad://{uid}/{name}");
    let started = record.map(|record| seconds(record.started_at));
    let state = match view {
        ContainerView::Waiting { reason, message } => {
            json!({ "waiting": { "reason": reason, "message": message } })
        }
        ContainerView::Running { .. } => json!({ "running": { "startedAt": started } }),
        ContainerView::Terminated { code, reason, message } => {
            let mut end = json!({
                "exitCode": code,
                "reason": reason,
                "startedAt": started,
                "finishedAt": record.and_then(|record| record.end).map(|end| seconds(end.at)),
                "containerID": id,
            });
            if !message.is_empty() {
                end["message"] = json!(message);
            }
            json!({ "terminated": end })
        }
    };
    let running = matches!(view, ContainerView::Running { .. });
    let mut status = json!({
        "name": name,
        "image": image,
        "imageID": image,
        "ready": matches!(view, ContainerView::Running { ready: true }),
        "started": running,
        "restartCount": 0,
        "state": state,
    });
    if record.is_some() {
        status["containerID"] = json!(id);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Trouble;

    fn pod(gate: bool) -> PodView {
        PodView {
            uid: "u".into(),
            grace: None,
            has_finalizers: false,
            containers: vec![("compute".into(), "launcher:1".into())],
            init_containers: vec![("guest-console-log".into(), "launcher:1".into())],
            gates: BTreeMap::from([("kubevirt.io/virtual-machine-unpaused".into(), gate)]),
            opens: Vec::new(),
            probes: Vec::new(),
            paused: false,
            end_grace: std::time::Duration::ZERO,
            status: StatusView::default(),
        }
    }

    fn started(end: Option<End>) -> Local {
        let record = Record {
            uid: "u".into(),
            namespace: "n".into(),
            name: "p".into(),
            process: None,
            executed: true,
            address: Some(std::net::Ipv4Addr::new(10, 244, 0, 2)),
            address6: Some("fd5b:6c1e:93a7::af4:2".parse().unwrap()),
            started_at: Timestamp::UNIX_EPOCH,
            logs: Vec::new(),
            exit_code: None,
            terminating_since: None,
            end,
        };
        Local { record: Some(record), ..Local::default() }
    }

    fn report(pod: &PodView, local: &Local) -> Value {
        let now = Timestamp::from_second(5).expect("a time");
        let wanted = desired(pod, local);
        patch(now, pod, &wanted, local.record.as_ref(), "192.0.2.2").expect("a report")
    }

    #[test]
    fn a_running_pod_is_reported_at_once_and_once() {
        insta::assert_yaml_snapshot!(report(&pod(false), &started(None)));
        let mut known = pod(false);
        known.status = desired(&known, &started(None));
        let wanted = desired(&known, &started(None));
        assert_eq!(patch(Timestamp::UNIX_EPOCH, &known, &wanted, None, "192.0.2.2"), None);
        // The gate opens: one condition changes.
        let mut open = known.clone();
        open.gates = pod(true).gates;
        let patch = report(&open, &started(None));
        assert_eq!(patch["status"]["conditions"].as_array().map(Vec::len), Some(1));
        assert_eq!(patch["status"]["conditions"][0]["type"], "Ready");
    }

    #[test]
    fn what_probes_find_is_told() {
        let mut local = started(None);
        local.verdict.unready = Some("Readiness probe failed: no route".into());
        let mut unready = pod(true);
        unready.status = desired(&unready, &local);
        for kind in ["ContainersReady", "Ready"] {
            let told = &unready.status.conditions[kind];
            assert_eq!((told.status, told.reason.as_str()), (false, "ContainersNotReady"));
            assert_eq!(
                told.message,
                "containers with unready status: [compute]: Readiness probe failed: no route"
            );
        }
        assert_eq!(unready.status.containers["compute"], ContainerView::Running { ready: false });
        assert_eq!(unready.status.containers["guest-console-log"], ContainerView::Running { ready: true });
        // It can be used now: two conditions and one container change.
        let patch = report(&unready, &started(None));
        assert_eq!(patch["status"]["conditions"].as_array().map(Vec::len), Some(2));
        assert_eq!(patch["status"]["containerStatuses"][0]["ready"], true);

        local.verdict.dead = Some("Liveness probe failed: silence".into());
        unready.status = desired(&unready, &local);
        let found = unready.status.conditions[NOT_ALIVE].clone();
        assert_eq!((found.status, found.message.as_str()), (true, "Liveness probe failed: silence"));
        // Another kubelet, and the end, leave it as it is.
        let end = End { code: Some(0), at: Timestamp::UNIX_EPOCH, starved: None };
        for local in [started(None), started(Some(end))] {
            assert_eq!(desired(&unready, &local).conditions[NOT_ALIVE], found);
        }
    }

    #[test]
    fn ends_are_told_apart() {
        let hungry = Some(Starved { limit: Some(96 << 20), peak: Some(96 << 20) });
        for (code, starved, phase, reason, shown, words) in [
            (Some(0), None, "Succeeded", "Completed", 0, None),
            (Some(0), hungry, "Succeeded", "Completed", 0, None),
            (Some(3), None, "Failed", "Error", 3, None),
            (
                Some(137),
                None,
                "Failed",
                "Error",
                137,
                Some("its first process was killed by signal 9 (SIGKILL)"),
            ),
            (
                Some(137),
                hungry,
                "Failed",
                "OOMKilled",
                137,
                Some("the Pod may use 96 MiB and had used 96 MiB"),
            ),
            (
                None,
                None,
                "Failed",
                "ContainerStatusUnknown",
                137,
                Some("it ended while nobody on the node could see how"),
            ),
        ] {
            let end = End { code, at: Timestamp::from_second(9).expect("a time"), starved };
            let report = report(&pod(true), &started(Some(end)));
            assert_eq!(report["status"]["phase"], phase);
            let end = &report["status"]["containerStatuses"][0]["state"]["terminated"];
            assert_eq!((end["reason"].as_str(), end["exitCode"].as_i64()), (Some(reason), Some(shown)));
            assert_eq!(end["message"].as_str(), words);
        }
    }

    #[test]
    fn trouble_is_told_in_the_container_and_in_the_condition() {
        let trouble = Trouble {
            reason: "ErrImagePull".into(),
            message: "registry.example does not answer".into(),
            attempts: 1,
            retry_at: None,
        };
        insta::assert_yaml_snapshot!(report(
            &pod(true),
            &Local { trouble: Some(trouble), ..Local::default() }
        ));
    }
}
