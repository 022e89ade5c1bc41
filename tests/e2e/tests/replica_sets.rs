//! Replica sets: as many instances as wanted, whatever happens to them.

use std::time::Duration;

use e2e::{control_plane, example};
use kit::{Installation, Options, Output, until, until_some};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(180);

/// Returns the instances that a set controls and that are not being deleted, by name.
fn own(installation: &Installation, set: &str) -> Vec<String> {
    let owned = |instance: &Value| {
        let mut owners = instance["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.any(|owner| owner["name"] == set && owner["controller"] == true)
    };
    let all = installation.list("vmi");
    let live = all.iter().filter(|one| owned(one) && one["metadata"]["deletionTimestamp"].is_null());
    live.filter_map(|one| one["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

fn status(installation: &Installation, set: &str, field: &str) -> Value {
    installation.get("vmirs", "default", set).unwrap_or_default()["status"][field].clone()
}

fn is(installation: &Installation, set: &str, number: usize) {
    until(&format!("{set} has {number} instances, and says so"), PATIENCE, || {
        own(installation, set).len() == number && status(installation, set, "replicas") == json!(number)
    });
}

fn are_ready(installation: &Installation, set: &str, number: usize) {
    is(installation, set, number);
    until(&format!("{number} instances of {set} are ready"), PATIENCE, || {
        status(installation, set, "readyReplicas") == json!(number)
    });
}

fn condition(installation: &Installation, set: &str, kind: &str) -> Option<Value> {
    let conditions = status(installation, set, "conditions");
    conditions.as_array()?.iter().find(|condition| condition["type"] == kind).cloned()
}

fn pause(installation: &Installation, set: &str, paused: bool) {
    let patch = json!({"spec": {"paused": paused}}).to_string();
    installation.kubectl(&["patch", "vmirs", set, "--type", "merge", "-p", &patch]).expect("patching");
    until(&format!("{set} says whether it is paused"), PATIENCE, || {
        condition(installation, set, "ReplicaPaused").is_some() == paused
    });
}

#[test]
fn guests_come_go_and_are_replaced() {
    let installation = Installation::start(Options::default());
    let created = installation.kubectl_with(&["apply", "-f", "-"], Some(&example("replicas.yaml")));
    assert!(!created.stderr.contains("Warning"), "{}", created.stderr);
    created.expect("creating the set");
    are_ready(&installation, "web", 2);
    assert_eq!(status(&installation, "web", "labelSelector"), "app=web");
    let first = own(&installation, "web");
    assert!(first.iter().all(|name| name.len() == "web".len() + 5 && name.starts_with("web")), "{first:?}");

    installation.kubectl(&["delete", "vmi", &first[0]]).expect("deleting one");
    until("another one is there", PATIENCE, || {
        let now = own(&installation, "web");
        now.len() == 2 && now.contains(&first[1]) && !now.contains(&first[0])
    });
    are_ready(&installation, "web", 2);

    installation.kubectl(&["scale", "vmirs", "web", "--replicas", "3"]).expect("scaling up");
    are_ready(&installation, "web", 3);
    let table = installation.kubectl(&["get", "vmirs", "web"]).expect("reading the table");
    let row: Vec<&str> = table.lines().last().unwrap_or_default().split_whitespace().collect();
    assert_eq!(row[..4], ["web", "3", "3", "3"], "{table}");
    let path = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstancereplicasets/web/scale";
    let scale = installation.kubectl(&["get", "--raw", path]).expect("reading the scale");
    let scale: Value = serde_json::from_str(&scale).expect("JSON");
    assert_eq!(scale["status"], json!({"replicas": 3, "selector": "app=web"}));

    installation.kubectl(&["scale", "vmirs", "web", "--replicas", "1"]).expect("scaling down");
    is(&installation, "web", 1);
    assert_eq!(own(&installation, "web"), first[1..], "the oldest that runs stays");

    pause(&installation, "web", true);
    installation.kubectl(&["delete", "vmi", &first[1]]).expect("deleting the last");
    is(&installation, "web", 0);
    until("all go, and none is made while it is paused", PATIENCE, || installation.list("vmi").is_empty());
    pause(&installation, "web", false);
    are_ready(&installation, "web", 1);
    assert!(!own(&installation, "web").contains(&first[1]), "a new one has a new name");

    for reason in ["SuccessfulCreate", "SuccessfulDelete", "SuccessfulPaused", "SuccessfulResumed"] {
        until(&format!("{reason} is told"), PATIENCE, || !installation.events("web", reason).is_empty());
    }

    // The control plane is killed; what is there is known again.
    let before = own(&installation, "web");
    installation.kill();
    installation.up();
    installation.kubectl(&["scale", "vmirs", "web", "--replicas", "2"]).expect("scaling up");
    is(&installation, "web", 2);
    assert!(before.iter().all(|name| own(&installation, "web").contains(name)), "none is made anew");

    installation.kubectl(&["delete", "vmirs", "web", "--cascade=foreground"]).expect("deleting the set");
    assert!(installation.list("vmi").is_empty(), "its instances went before it");
}

/// Asks for the eviction of a Pod of the namespace `default`.
fn evict(installation: &Installation, pod: &str) -> Output {
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": pod, "namespace": "default"}});
    let path = format!("/api/v1/namespaces/default/pods/{pod}/eviction");
    installation.kubectl_with(&["create", "--raw", &path, "-f", "-"], Some(&eviction.to_string()))
}

#[test]
fn evictions_heed_a_budget() {
    let installation = Installation::start(Options::default());
    installation.apply(&example("replicas.yaml"));
    // The budget asks the set how many there should be.
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    installation.apply(&budget.to_string());
    are_ready(&installation, "web", 2);
    let allowed = |count: i64| {
        until(&format!("{count} may go"), PATIENCE, || {
            let budget = installation.get("pdb", "default", "web").unwrap_or_default();
            budget["status"]["disruptionsAllowed"] == count && budget["status"]["expectedPods"] == 2
        });
    };
    allowed(1);
    let first = own(&installation, "web");
    let pods: Vec<String> = installation
        .list("pod")
        .iter()
        .filter(|pod| pod["metadata"]["labels"]["app"] == "web")
        .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(pods.len(), 2, "{pods:?}");
    // While the set rests, nothing comes in the place of what goes.
    pause(&installation, "web", true);
    evict(&installation, &pods[0]).expect("one may go");
    let refused = evict(&installation, &pods[1]);
    assert!(refused.stderr.contains("disruption budget"), "and no other one with it: {}", refused.stderr);
    allowed(0);
    pause(&installation, "web", false);
    until("another instance has come for the one that went", PATIENCE, || {
        let now = own(&installation, "web");
        now.len() == 2 && now != first
    });
    are_ready(&installation, "web", 2);
    allowed(1);
}

/// Returns a set, and instances of the same labels, that no node runs.
fn idle(name: &str, replicas: usize) -> String {
    example("replicas.yaml")
        .replace("name: web", &format!("name: {name}"))
        .replace("app: web", &format!("app: {name}"))
        .replace("replicas: 2", &format!("replicas: {replicas}"))
}

#[test]
fn instances_are_claimed_and_let_go() {
    let installation = control_plane();
    installation.apply(
        "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\nmetadata: {name: lonely, labels: {app: web}}\n\
         spec: {domain: {memory: {guest: 64Mi}, devices: {}}}\n",
    );
    // Whoever gave it a phase knows it, and makes no other one in its stead.
    let lonely = until_some("the controllers have seen it", PATIENCE, || {
        installation.get("vmi", "default", "lonely").filter(|lonely| lonely["status"]["phase"].is_string())
    });
    let uid = lonely["metadata"]["uid"].clone();
    installation.apply(&idle("web", 2));
    is(&installation, "web", 2);
    assert!(own(&installation, "web").contains(&"lonely".to_owned()), "it is claimed");
    let lonely = installation.get("vmi", "default", "lonely").expect("it is there");
    assert_eq!(lonely["metadata"]["uid"], uid);
    assert_eq!(lonely["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], true);

    installation.kubectl(&["label", "vmi", "lonely", "app-", "--overwrite"]).expect("taking the label off");
    until("it is let go, and replaced", PATIENCE, || {
        let now = own(&installation, "web");
        now.len() == 2 && !now.contains(&"lonely".to_owned())
    });
    let lonely = installation.get("vmi", "default", "lonely").expect("it is still there");
    assert!(lonely["metadata"]["ownerReferences"].is_null(), "{lonely}");

    // Instances survive a set that is deleted alone, and the next one takes them over.
    let mut before = own(&installation, "web");
    installation.kubectl(&["delete", "vmirs", "web", "--cascade=orphan"]).expect("deleting the set alone");
    installation.apply(&idle("heir", 2).replace("app: heir", "app: web"));
    let mut after = until_some("the next set has them", PATIENCE, || {
        Some(own(&installation, "heir")).filter(|own| own.len() == 2)
    });
    before.sort();
    after.sort();
    assert_eq!(after, before);
    installation.kubectl(&["delete", "vmirs", "heir"]).expect("deleting the set");
    until("its instances go after it", PATIENCE, || installation.list("vmi").len() == 1);
}

#[test]
fn what_is_in_the_way_is_said() {
    let installation = control_plane();
    installation.apply(
        "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: few}\n\
         spec: {hard: {count/virtualmachineinstances.kubevirt.io: '3'}}\n",
    );
    installation.apply(&idle("many", 12));
    let failure = until_some("it says that there is no more room", PATIENCE, || {
        condition(&installation, "many", "ReplicaFailure")
    });
    assert_eq!(
        (failure["status"].as_str(), failure["reason"].as_str()),
        (Some("True"), Some("FailedCreate"))
    );
    assert!(failure["message"].as_str().is_some_and(|text| text.contains("quota")), "{failure}");
    is(&installation, "many", 3);
    until("an Event tells it, too", PATIENCE, || !installation.events("many", "FailedCreate").is_empty());
    installation.kubectl(&["delete", "resourcequota", "few"]).expect("deleting the quota");
    is(&installation, "many", 12);
    until("the failure is over", PATIENCE, || condition(&installation, "many", "ReplicaFailure").is_none());
    installation.kubectl(&["scale", "vmirs", "many", "--replicas", "0"]).expect("scaling down");
    is(&installation, "many", 0);
}
