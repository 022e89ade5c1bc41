//! Cells of Pods: the one word for their state is put together from many fields.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age;
use super::read::{NONE, condition, flag, items, number, text, text_or};

/// What the containers amount to.
struct Summary {
    ready: usize,
    total: usize,
    state: String,
    restarts: i64,
    last_restart: Option<String>,
}

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = summary(pod);
    let restarts = match summary.last_restart {
        Some(time) if summary.restarts > 0 => {
            format!("{} ({} ago)", summary.restarts, age::since(&time.into(), now))
        }
        _ => summary.restarts.to_string(),
    };
    let address = match text(pod, "/status/podIPs/0/ip") {
        "" => text_or(pod, "/status/podIP", NONE),
        address => address,
    };
    let gates = items(pod, "/spec/readinessGates");
    let gates_text = if gates.is_empty() {
        NONE.to_owned()
    } else {
        let met = gates.iter().filter(|gate| condition(pod, text(gate, "/conditionType")) == "True").count();
        format!("{met}/{}", gates.len())
    };
    vec![
        pod["metadata"]["name"].clone(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.state.into(),
        restarts.into(),
        age::of(pod, now),
        address.into(),
        text_or(pod, "/spec/nodeName", NONE).into(),
        text_or(pod, "/status/nominatedNodeName", NONE).into(),
        gates_text.into(),
    ]
}

/// Row conditions: a finished Pod is marked, so that clients can leave it out.
pub(super) fn conditions(pod: &Value) -> Vec<Value> {
    let phase = text(pod, "/status/phase");
    let message = match phase {
        "Succeeded" => "All containers ended well.",
        "Failed" => "At least one container failed.",
        _ => return Vec::new(),
    };
    vec![json!({"type": "Completed", "status": "True", "reason": phase, "message": message})]
}

fn summary(pod: &Value) -> Summary {
    let containers = items(pod, "/status/containerStatuses");
    let (sidecars, init_total) = init_containers(pod);
    let mut summary = Summary {
        ready: 0,
        total: items(pod, "/spec/containers").len() + sidecars.len(),
        state: text_or(pod, "/status/reason", text(pod, "/status/phase")).to_owned(),
        restarts: 0,
        last_restart: None,
    };
    let gated = items(pod, "/status/conditions").iter().any(|condition| {
        text(condition, "/type") == "PodScheduled" && text(condition, "/reason") == "SchedulingGated"
    });
    if gated {
        "SchedulingGated".clone_into(&mut summary.state);
    }
    let (mut sidecar_restarts, mut sidecar_last) = (0, None);
    let mut initializing = false;
    for (at, status) in items(pod, "/status/initContainerStatuses").iter().enumerate() {
        let sidecar = sidecars.contains(&text(status, "/name"));
        summary.restarts += number(status, "/restartCount");
        later(&mut summary.last_restart, status);
        if sidecar {
            sidecar_restarts += number(status, "/restartCount");
            later(&mut sidecar_last, status);
        }
        if let Some(state) = initial_state(status, sidecar, at, init_total) {
            summary.state = state;
            initializing = true;
            break;
        }
        if sidecar && flag(status, "/ready") {
            summary.ready += 1;
        }
    }
    if !initializing || condition(pod, "Initialized") == "True" {
        // Restarts of containers that initialised the Pod are over and done with.
        (summary.restarts, summary.last_restart) = (sidecar_restarts, sidecar_last);
        let mut running = false;
        for status in containers.iter().rev() {
            summary.restarts += number(status, "/restartCount");
            later(&mut summary.last_restart, status);
            match main_state(status) {
                Some(state) => summary.state = state,
                None if flag(status, "/ready") && status.pointer("/state/running").is_some() => {
                    running = true;
                    summary.ready += 1;
                }
                None => {}
            }
        }
        if summary.state == "Completed" && running {
            let ready = condition(pod, "Ready") == "True";
            if ready { "Running" } else { "NotReady" }.clone_into(&mut summary.state);
        }
    }
    let finished = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    if !text(pod, "/metadata/deletionTimestamp").is_empty() {
        if text(pod, "/status/reason") == "NodeLost" {
            "Unknown".clone_into(&mut summary.state);
        } else if !finished {
            "Terminating".clone_into(&mut summary.state);
        }
    }
    summary
}

/// Names of the init containers that keep running, and the number of all.
fn init_containers(pod: &Value) -> (Vec<&str>, usize) {
    let all = items(pod, "/spec/initContainers");
    let sidecars = all.iter().filter(|container| text(container, "/restartPolicy") == "Always");
    (sidecars.map(|container| text(container, "/name")).collect(), all.len())
}

/// The state that an init container holds the Pod in, or nothing when it is through.
fn initial_state(status: &Value, sidecar: bool, at: usize, total: usize) -> Option<String> {
    if let Some(ended) = status.pointer("/state/terminated") {
        return (number(ended, "/exitCode") != 0).then(|| format!("Init:{}", ending(ended)));
    }
    if sidecar && flag(status, "/started") {
        return None;
    }
    match text(status, "/state/waiting/reason") {
        "" | "PodInitializing" => Some(format!("Init:{at}/{total}")),
        reason => Some(format!("Init:{reason}")),
    }
}

/// The state that a container that waits or has ended gives the Pod.
fn main_state(status: &Value) -> Option<String> {
    match text(status, "/state/waiting/reason") {
        "" => status.pointer("/state/terminated").map(ending),
        reason => Some(reason.to_owned()),
    }
}

fn ending(ended: &Value) -> String {
    match (text(ended, "/reason"), number(ended, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(ended, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

/// Keeps the later end of a container's previous run; RFC 3339 in UTC is ordered as text.
fn later(last: &mut Option<String>, status: &Value) {
    let ended = text(status, "/lastState/terminated/finishedAt");
    if !ended.is_empty() && last.as_deref().is_none_or(|last| last < ended) {
        *last = Some(ended.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(pod: Value) -> (usize, usize, String, i64) {
        let summary = summary(&pod);
        (summary.ready, summary.total, summary.state, summary.restarts)
    }

    #[test]
    fn the_state_follows_the_containers() {
        let containers = json!([{"name": "a"}, {"name": "b"}]);
        let pod =
            |status: Value| json!({"metadata": {}, "spec": {"containers": containers}, "status": status});
        let running = json!({"ready": true, "state": {"running": {}}});
        let table = [
            (json!({"phase": "Pending"}), (0, 2, "Pending")),
            (json!({"phase": "Running", "containerStatuses": [running, running]}), (2, 2, "Running")),
            (
                json!({"phase": "Running", "containerStatuses": [running,
                    {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
                (1, 2, "CrashLoopBackOff"),
            ),
            (
                json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}),
                (0, 2, "ExitCode:3"),
            ),
            (
                json!({"phase": "Succeeded", "containerStatuses": [
                    {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}),
                (0, 2, "Completed"),
            ),
            (json!({"phase": "Failed", "reason": "Evicted"}), (0, 2, "Evicted")),
        ];
        for (status, (ready, total, text)) in table {
            assert_eq!(state(pod(status.clone())), (ready, total, text.to_owned(), 0), "{status}");
        }
    }

    #[test]
    fn init_containers_and_sidecars_count() {
        let pod = |init: Value| {
            json!({"metadata": {}, "status": {"phase": "Pending", "initContainerStatuses": init,
                "containerStatuses": [{"ready": true, "state": {"running": {}}, "restartCount": 1}]},
                "spec": {"containers": [{"name": "c"}], "initContainers": [
                    {"name": "i"}, {"name": "s", "restartPolicy": "Always"}]}})
        };
        let done = json!({"name": "i", "state": {"terminated": {"exitCode": 0}}});
        let sidecar =
            json!({"name": "s", "started": true, "ready": true, "restartCount": 2, "state": {"running": {}}});
        assert_eq!(state(pod(json!([done, sidecar]))), (2, 2, "Pending".to_owned(), 3));
        let waiting = json!({"name": "i", "state": {"waiting": {"reason": "PodInitializing"}}});
        assert_eq!(state(pod(json!([waiting]))), (0, 2, "Init:0/2".to_owned(), 0));
        let failed = json!({"name": "i", "restartCount": 4, "state": {"terminated": {"exitCode": 1, "reason": "Error"}}});
        assert_eq!(state(pod(json!([failed]))), (0, 2, "Init:Error".to_owned(), 4));
    }

    #[test]
    fn a_pod_that_is_being_deleted_terminates() {
        let pod = json!({"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}, "status": {"phase": "Running"}});
        assert_eq!(state(pod).2, "Terminating");
    }
}
