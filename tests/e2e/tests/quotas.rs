//! Quotas and ranges of a namespace count a machine as its launcher Pod.

use std::time::Duration;

use e2e::{BLANK, blank, container_disk, control_plane, machine};
use kit::{Installation, Options, until, until_some};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);
const MEBIBYTE: u64 = 1 << 20;

fn pod(installation: &Installation, machine: &str) -> Option<Value> {
    let name = &installation.get("vmi", "default", machine)?["metadata"]["uid"];
    let pods = installation.list("pods");
    pods.into_iter().find(|pod| pod["metadata"]["ownerReferences"][0]["uid"] == *name)
}

/// Reads an amount of memory as Kubernetes writes it.
fn bytes(amount: &Value) -> u64 {
    let text = amount.as_str().expect("an amount");
    let digits = text.trim_end_matches(|last: char| !last.is_ascii_digit());
    let units = [("", 1), ("k", 1000), ("Ki", 1 << 10), ("M", 1_000_000), ("Mi", MEBIBYTE), ("Gi", 1 << 30)];
    let unit = units.iter().find(|(unit, _)| *unit == &text[digits.len()..]).expect("a unit").1;
    digits.parse::<u64>().expect("a number") * unit
}

/// Returns the container of a Pod that runs the machine.
fn compute(pod: &Value) -> &Value {
    let containers = pod["spec"]["containers"].as_array().expect("containers");
    containers.iter().find(|one| one["name"] == "compute").expect("the machine's container")
}

/// Returns the memory that a Pod counts for: that of its containers, and of those that show logs beside them.
fn memory(pod: &Value, what: &str) -> u64 {
    let lists = ["containers", "initContainers"].map(|list| pod["spec"][list].as_array().cloned());
    let all = lists.into_iter().flatten().flatten();
    all.map(|container| container["resources"][what]["memory"].clone())
        .filter(|amount| !amount.is_null())
        .map(|amount| bytes(&amount))
        .sum()
}

/// Whether an object says, in its status, that a quota has no room.
fn says(installation: &Installation, kind: &str, machine: &str, quota: &str) -> bool {
    let told = installation.condition(kind, machine, "Synchronized");
    told.is_some_and(|told| told.contains(&format!("exceeded quota: {quota}")))
}

#[test]
fn a_machine_counts_with_its_overhead_and_waits_for_room() {
    let installation = control_plane();
    installation.apply(
        "apiVersion: v1
kind: ResourceQuota
metadata: {name: narrow}
spec: {hard: {requests.memory: 256Mi}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: usual}
spec: {limits: [{type: Container, default: {cpu: '3'}, defaultRequest: {memory: 1Mi}}]}
",
    );
    installation.apply(&machine("first", &container_disk(BLANK)));
    let first = until_some("the first machine has a Pod", PATIENCE, || pod(&installation, "first"));
    let own = memory(&first, "requests");
    assert!((128 * MEBIBYTE..256 * MEBIBYTE).contains(&own), "the guest's 64Mi and an overhead: {own}");
    assert_eq!(compute(&first)["resources"]["limits"]["cpu"], "3", "the default of the namespace");
    let instance = installation.get("vmi", "default", "first").expect("the instance");
    assert!(instance["spec"]["domain"]["resources"]["limits"].is_null(), "the instance is left as it is");
    until("the quota counts what the Pod asks for", PATIENCE, || {
        let quota = installation.get("resourcequota", "default", "narrow").unwrap_or_default();
        let used = &quota["status"]["used"]["requests.memory"];
        !used.is_null() && bytes(used) == own
    });

    installation.apply(&machine("second", &container_disk(BLANK)));
    until("the second machine says that there is no room", PATIENCE, || {
        ["vmi", "vm"].iter().all(|kind| says(&installation, kind, "second", "narrow"))
    });
    until("an Event says it, too", PATIENCE, || {
        let told = installation.events("second", "FailedCreate");
        told.iter().any(|message| message.contains("exceeded quota: narrow"))
    });
    assert_eq!(pod(&installation, "second"), None);

    let more = json!({"spec": {"hard": {"requests.memory": "1Gi"}}}).to_string();
    installation
        .kubectl(&["patch", "resourcequota", "narrow", "--type=merge", "-p", &more])
        .expect("making room");
    until("the second machine has a Pod", PATIENCE, || pod(&installation, "second").is_some());
    until("nothing is in the way any more", PATIENCE, || {
        installation.condition("vm", "second", "Synchronized").is_none()
    });
}

#[test]
fn a_quota_of_limits_is_met_by_machines_that_name_none() {
    let installation = control_plane();
    installation.apply(
        "apiVersion: v1
kind: ResourceQuota
metadata: {name: bounded}
spec: {hard: {limits.memory: 1Gi, limits.cpu: '4'}}
",
    );
    installation
        .kubectl(&["label", "namespace", "default", "alpha.kubevirt.io/auto-memory-limits-ratio=1.5"])
        .expect("labelling the namespace");
    installation.apply(&machine("bounded", &container_disk(BLANK)));
    let pod = until_some("the machine has a Pod", PATIENCE, || pod(&installation, "bounded"));
    let resources = &compute(&pod)["resources"];
    assert_eq!(resources["limits"]["cpu"], "1", "a processor for each of the machine's");
    assert_eq!(2 * bytes(&resources["limits"]["memory"]), 3 * bytes(&resources["requests"]["memory"]));
    until("the quota counts what the Pod may use", PATIENCE, || {
        let quota = installation.get("resourcequota", "default", "bounded").unwrap_or_default();
        let used = &quota["status"]["used"]["limits.memory"];
        !used.is_null() && bytes(used) == memory(&pod, "limits")
    });
}

#[test]
fn a_guest_runs_when_another_makes_room() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    installation.apply(
        "apiVersion: v1
kind: ResourceQuota
metadata: {name: one}
spec: {hard: {pods: '1', limits.memory: 512Mi}}
",
    );
    installation.apply(&machine("first", &container_disk(BLANK)));
    let word = |name: &str| {
        let machine = installation.get("vm", "default", name).unwrap_or_default();
        machine["status"]["printableStatus"].as_str().map(str::to_owned)
    };
    until("the first runs", PATIENCE, || word("first").as_deref() == Some("Running"));
    installation.apply(&machine("second", &container_disk(BLANK)));
    until("the second has no room", PATIENCE, || says(&installation, "vmi", "second", "one"));
    installation.kubectl(&["delete", "vm", "first"]).expect("deleting the first");
    until("the second runs", PATIENCE, || word("second").as_deref() == Some("Running"));
    assert_eq!(word("first"), None);
}
