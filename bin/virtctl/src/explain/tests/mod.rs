//! Broken machines, and what is said of each. The words in the objects are those that this server, KubeVirt and Kubernetes
//! write there.

mod disks;
mod ends;
mod images;
mod places;
mod starts;
mod waiting;

use serde_json::{Value, json};

use super::{Facts, explain};

const NOW: &str = "2026-11-23T12:00:00Z";

/// A machine of these facts; what is not given does not exist.
fn facts(given: Value) -> Facts {
    let list = |name: &str| given[name].as_array().cloned().unwrap_or_default();
    let mut machine = given["vm"].clone();
    if machine.is_null() && given["alone"].is_null() {
        machine = json!({"spec": {"runStrategy": "Always"}});
    }
    if machine.is_object() {
        machine["metadata"]["name"] = "work".into();
        if machine["metadata"]["creationTimestamp"].is_null() {
            machine["metadata"]["creationTimestamp"] = "2026-11-23T11:50:00Z".into();
        }
        if machine["spec"]["template"].is_null() {
            machine["spec"]["template"] = json!({"spec": given["vmi"]["spec"]});
        }
    }
    Facts {
        name: "work".to_owned(),
        machine,
        instance: given["vmi"].clone(),
        pods: list("pods"),
        node: given["node"].clone(),
        claims: list("claims"),
        data_volumes: list("dataVolumes"),
        events: list("events"),
        unread: Vec::new(),
        now: NOW.parse().unwrap(),
    }
}

fn instance(phase: &str, conditions: Value) -> Value {
    json!({
        "metadata": {"name": "work", "uid": "u1", "creationTimestamp": "2026-11-23T11:59:00Z"},
        "spec": {"domain": {}},
        "status": {"phase": phase, "conditions": conditions},
    })
}

fn unsynchronized(phase: &str, reason: &str, message: &str) -> Value {
    instance(
        phase,
        json!([{"type": "Synchronized", "status": "False", "reason": reason, "message": message}]),
    )
}

fn unscheduled(message: &str) -> Value {
    instance(
        "Scheduling",
        json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]),
    )
}

fn with_volumes(mut instance: Value, volumes: Value) -> Value {
    instance["spec"]["volumes"] = volumes;
    instance
}

fn warning(kind: &str, name: &str, reason: &str, message: &str) -> Value {
    json!({"type": "Warning", "reason": reason, "message": message, "lastTimestamp": "2026-11-23T11:59:30Z",
           "involvedObject": {"kind": kind, "name": name}})
}

fn pod(status: Value) -> Value {
    json!({"metadata": {"name": "virt-launcher-work-x", "creationTimestamp": "2026-11-23T11:59:01Z"},
           "spec": {"nodeName": "node-0", "containers": [{"name": "compute", "image": "launcher:1",
                    "resources": {"requests": {"cpu": "4", "memory": "8Gi"}}}]},
           "status": status})
}

/// What is known, what the sentence is, what cause and next step say.
type Case = (&'static str, Value, &'static str, &'static str, &'static str);

#[track_caller]
fn hold(cases: Vec<Case>) {
    for (what, given, sentence, cause, next) in cases {
        let told = explain(&facts(given));
        assert_eq!(told.sentence, sentence, "{what}");
        assert!(told.cause.contains(cause), "{what}: {}", told.cause);
        assert!(told.next.contains(next), "{what}: {}", told.next);
        assert!(
            !told.next.is_empty() && !told.next.contains("{}") && !told.next.contains("NAME --follow"),
            "{what}"
        );
    }
}

#[test]
fn a_machine_that_runs_well_has_nothing_to_mend() {
    let mut instance = instance(
        "Running",
        json!([{"type": "AgentConnected", "status": "True"}, {"type": "Ready", "status": "True"}]),
    );
    instance["status"]["nodeName"] = "node-0".into();
    instance["status"]["phaseTransitionTimestamps"] =
        json!([{"phase": "Running", "phaseTransitionTimestamp": "2026-11-23T11:00:00Z"}]);
    let told = explain(&facts(json!({"vmi": instance})));
    assert_eq!(told.sentence, "work runs on node node-0, for 60m: its guest agent is connected.");
    assert!(told.next.starts_with("Nothing"), "{}", told.next);
}

#[test]
fn the_story_is_told_in_the_order_of_time() {
    let mut given = facts(json!({
        "vmi": unsynchronized("Scheduling", "ErrImagePull", "manifest unknown"),
        "events": [
            warning("Pod", "p", "Failed", "failed\nto pull image"),
            {"type": "Normal", "reason": "SuccessfulCreate", "message": "Created", "count": 2,
             "lastTimestamp": "2026-11-22T23:59:59Z", "involvedObject": {"kind": "VirtualMachine"}},
        ],
    }));
    given.instance["status"]["conditions"][0]["lastTransitionTime"] = "2026-11-23T11:59:40Z".into();
    given.unread.push("Node node-0: forbidden".to_owned());
    let told = explain(&given);
    let text = told.text();
    let story = "Timeline:
  2026-11-22 (UTC)
  23:59:59  VirtualMachine          SuccessfulCreate: Created (2 times)
  2026-11-23 (UTC)
  11:50:00  VirtualMachine          created
  11:59:00  VirtualMachineInstance  created
  11:59:30  Pod                     Failed: failed to pull image
  11:59:40  VirtualMachineInstance  Synchronized=False ErrImagePull: manifest unknown

Not looked at:
  Node node-0: forbidden
";
    assert!(text.ends_with(story), "{text}");
    assert!(
        text.starts_with("work does not run: an image does not exist.\n\nCause:\n  ErrImagePull: "),
        "{text}"
    );
    let document = told.document();
    assert_eq!(document["timeline"][0]["object"], "VirtualMachine");
    assert_eq!(document["nextStep"], told.next);
}
