//! Pools: as many machines as wanted, by number, and what the template says.

use std::time::Duration;

use e2e::{control_plane, example};
use kit::{Installation, until, until_some};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(240);
const REVISION: &str = "kubevirt.io/vm-pool-revision-name";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns the machines that a pool controls and that are not being deleted.
fn own(installation: &Installation, pool: &str) -> Vec<Value> {
    let owned = |machine: &Value| {
        let mut owners = machine["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.any(|owner| owner["name"] == pool && owner["controller"] == true)
    };
    let mut all = installation.list("vm");
    all.retain(|machine| owned(machine) && machine["metadata"]["deletionTimestamp"].is_null());
    all
}

fn names(installation: &Installation, pool: &str) -> Vec<String> {
    own(installation, pool).iter().map(|machine| text(&machine["metadata"]["name"])).collect()
}

fn status(installation: &Installation, pool: &str, field: &str) -> Value {
    installation.get("vmpool", "default", pool).unwrap_or_default()["status"][field].clone()
}

/// Waits until a pool has these machines, has no others, and says so.
fn are(installation: &Installation, pool: &str, numbers: &[usize]) {
    let wanted: Vec<String> = numbers.iter().map(|number| format!("{pool}-{number}")).collect();
    until(&format!("{pool} has the machines {numbers:?}, and says so"), PATIENCE, || {
        names(installation, pool) == wanted
            && status(installation, pool, "replicas").as_u64().unwrap_or(0) == wanted.len() as u64
    });
}

fn are_ready(installation: &Installation, pool: &str, number: usize) {
    until(&format!("{number} machines of {pool} are ready"), PATIENCE, || {
        status(installation, pool, "readyReplicas") == json!(number)
            && status(installation, pool, "replicas") == json!(number)
    });
}

fn condition(installation: &Installation, pool: &str, kind: &str) -> Option<Value> {
    let conditions = status(installation, pool, "conditions");
    conditions.as_array()?.iter().find(|condition| condition["type"] == kind).cloned()
}

fn patch(installation: &Installation, pool: &str, spec: Value) {
    let patch = json!({"spec": spec}).to_string();
    installation
        .kubectl(&["patch", "vmpool", pool, "--type", "merge", "-p", &patch])
        .expect("patching the pool");
}

/// Changes what instances are made of.
fn label_instances(installation: &Installation, pool: &str, version: &str) {
    let labels = json!({"metadata": {"labels": {"version": version}}});
    patch(installation, pool, json!({"virtualMachineTemplate": {"spec": {"template": labels}}}));
}

/// Returns the instances of a pool that run, as identity and version, by name.
fn running(installation: &Installation, pool: &str) -> Vec<(String, String)> {
    let mut all = installation.list("vmi");
    all.retain(|one| {
        one["metadata"]["labels"]["pool"] == pool
            && one["metadata"]["deletionTimestamp"].is_null()
            && one["status"]["phase"] == "Running"
    });
    let facts = |one: &Value| (text(&one["metadata"]["uid"]), text(&one["metadata"]["labels"]["version"]));
    all.iter().map(facts).collect()
}

fn revisions(installation: &Installation, pool: &str) -> Vec<String> {
    let all = installation.list("controllerrevisions");
    let owned = |one: &&Value| one["metadata"]["ownerReferences"][0]["name"] == pool;
    all.iter().filter(owned).map(|one| text(&one["metadata"]["name"])).collect()
}

#[test]
fn guests_come_go_and_follow_their_template() {
    let installation = Installation::start(kit::Options::default());
    let created = installation.kubectl_with(&["apply", "-f", "-"], Some(&example("pool.yaml")));
    assert!(!created.stderr.contains("Warning"), "{}", created.stderr);
    created.expect("creating the pool");
    are_ready(&installation, "shop", 2);
    are(&installation, "shop", &[0, 1]);
    assert_eq!(status(&installation, "shop", "labelSelector"), "pool=shop");
    for object in own(&installation, "shop").iter().chain(&installation.list("vmi")) {
        assert_eq!(object["metadata"]["labels"][REVISION], "shop-1", "{object}");
    }

    let second = text(&installation.get("vm", "default", "shop-1").expect("it is there")["metadata"]["uid"]);
    installation.kubectl(&["delete", "vm", "shop-1"]).expect("deleting one");
    until("another machine has its name", PATIENCE, || {
        let found = installation.get("vm", "default", "shop-1").unwrap_or_default();
        found["metadata"]["uid"].as_str().is_some_and(|uid| uid != second)
    });
    are_ready(&installation, "shop", 2);

    installation.kubectl(&["scale", "vmpool", "shop", "--replicas", "3"]).expect("scaling up");
    are_ready(&installation, "shop", 3);
    are(&installation, "shop", &[0, 1, 2]);
    let table = installation.kubectl(&["get", "vmpool", "shop"]).expect("reading the table");
    let row: Vec<&str> = table.lines().last().unwrap_or_default().split_whitespace().collect();
    assert_eq!(row[..4], ["shop", "3", "3", "3"], "{table}");
    let path = "/apis/pool.kubevirt.io/v1beta1/namespaces/default/virtualmachinepools/shop/scale";
    let scale = installation.kubectl(&["get", "--raw", path]).expect("reading the scale");
    let scale: Value = serde_json::from_str(&scale).expect("JSON");
    assert_eq!(scale["status"], json!({"replicas": 3, "selector": "pool=shop"}));

    // The template changes: the guests follow, one after the other.
    let before = running(&installation, "shop");
    assert_eq!(before.len(), 3, "{before:?}");
    label_instances(&installation, "shop", "2");
    let mut least = before.len();
    until("all guests are of the new template", 3 * PATIENCE, || {
        let now = running(&installation, "shop");
        least = least.min(now.len());
        now.len() == 3 && now.iter().all(|(_, version)| version == "2")
    });
    assert!(least >= 2, "one at a time: {least} were left");
    let after = running(&installation, "shop");
    assert!(after.iter().all(|(uid, _)| before.iter().all(|(old, _)| old != uid)), "{before:?} {after:?}");
    until(
        "the revision that nobody is of goes",
        PATIENCE,
        || matches!(revisions(&installation, "shop").as_slice(), [only] if only != "shop-1"),
    );
    are_ready(&installation, "shop", 3);

    // What does not reach guests disturbs none.
    let template = json!({"metadata": {"labels": {"team": "a"}}});
    patch(&installation, "shop", json!({"virtualMachineTemplate": template}));
    until("all machines and instances name the revision of that", PATIENCE, || {
        let kept = revisions(&installation, "shop");
        let [only] = kept.as_slice() else { return false };
        let of = |object: &Value| object["metadata"]["labels"][REVISION] == *only;
        let machines = own(&installation, "shop");
        machines.iter().all(|machine| machine["metadata"]["labels"]["team"] == "a" && of(machine))
            && installation.list("vmi").iter().all(of)
    });
    assert_eq!(running(&installation, "shop"), after, "no guest was restarted");

    // The control plane is killed while fewer are wanted; the last numbers go.
    installation.kubectl(&["scale", "vmpool", "shop", "--replicas", "1"]).expect("scaling down");
    installation.kill();
    installation.up();
    are(&installation, "shop", &[0]);
    assert_eq!(running(&installation, "shop"), after[..1], "the first is the same");
    for reason in ["SuccessfulCreate", "SuccessfulDelete", "SuccessfulUpdate"] {
        until(&format!("{reason} is told"), PATIENCE, || !installation.events("shop", reason).is_empty());
    }
    installation.kubectl(&["delete", "vmpool", "shop", "--cascade=foreground"]).expect("deleting the pool");
    assert!(installation.list("vm").is_empty(), "its machines went before it");
    until("nothing is left of it", PATIENCE, || revisions(&installation, "shop").is_empty());
}

/// Returns a pool of machines that are off; `more` joins its specification.
fn idle(name: &str, replicas: usize, more: Value) -> String {
    let mut spec = json!({
        "replicas": replicas,
        "selector": {"matchLabels": {"pool": name}},
        "virtualMachineTemplate": {
            "metadata": {"labels": {"pool": name}},
            "spec": {
                "runStrategy": "Halted",
                "template": {"spec": {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}},
            },
        },
    });
    merge(&mut spec, more);
    let kind = json!({"apiVersion": "pool.kubevirt.io/v1beta1", "kind": "VirtualMachinePool"});
    let mut object = json!({"metadata": {"name": name}, "spec": spec});
    merge(&mut object, kind);
    object.to_string()
}

fn merge(into: &mut Value, more: Value) {
    match more {
        Value::Object(fields) if into.is_object() => {
            for (name, value) in fields {
                merge(&mut into[name], value);
            }
        }
        other => *into = other,
    }
}

#[test]
fn machines_differ_by_their_numbers() {
    let installation = control_plane();
    let volumes = json!([
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "keys", "secret": {"secretName": "keys"}},
        {"name": "user", "cloudInitNoCloud": {"secretRef": {"name": "user"}}},
    ]);
    let disks =
        json!([{"name": "settings", "disk": {}}, {"name": "keys", "disk": {}}, {"name": "user", "disk": {}}]);
    let spec = json!({"domain": {"devices": {"disks": disks}}, "volumes": volumes});
    installation.apply(&idle(
        "each",
        2,
        json!({
            "nameGeneration": {"appendIndexToConfigMapRefs": true, "appendIndexToSecretRefs": true},
            "virtualMachineTemplate": {"spec": {"template": {"spec": spec}}},
        }),
    ));
    are(&installation, "each", &[0, 1]);
    for (number, machine) in own(&installation, "each").iter().enumerate() {
        let volumes = &machine["spec"]["template"]["spec"]["volumes"];
        assert_eq!(volumes[0]["configMap"]["name"], format!("settings-{number}"));
        assert_eq!(volumes[1]["secret"]["secretName"], format!("keys-{number}"));
        assert_eq!(volumes[2]["cloudInitNoCloud"]["secretRef"]["name"], format!("user-{number}"));
        assert_eq!(machine["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], true);
        assert_eq!(machine["metadata"]["labels"][REVISION], "each-1");
    }
    let revision = installation.get("controllerrevision", "default", "each-1").expect("it is kept");
    assert_eq!(revision["data"]["replicas"], 2, "it holds the pool's specification");

    // Names that others have are left out; gaps are filled.
    installation.apply(&e2e::HALTED.replace("name: halted", "name: each-2"));
    installation.kubectl(&["scale", "vmpool", "each", "--replicas", "3"]).expect("scaling up");
    are(&installation, "each", &[0, 1, 3]);
    installation.kubectl(&["delete", "vm", "each-2"]).expect("deleting the other one");
    installation.kubectl(&["scale", "vmpool", "each", "--replicas", "4"]).expect("scaling up");
    are(&installation, "each", &[0, 1, 2, 3]);
}

#[test]
fn who_goes_is_said_by_policies() {
    let installation = control_plane();
    let order = |order: &str| json!({"proactive": {"selectionPolicy": {"sortPolicy": order}}});
    installation.apply(&idle("ranks", 6, json!({"scaleInStrategy": order("AscendingOrder")})));
    are(&installation, "ranks", &[0, 1, 2, 3, 4, 5]);
    let shrink = |replicas: usize, strategy: Value| {
        // A merge patch takes away what it names with null.
        let mut whole = json!({"proactive": null, "opportunistic": null, "unmanaged": null});
        merge(&mut whole, strategy);
        patch(&installation, "ranks", json!({"replicas": replicas, "scaleInStrategy": whole}));
    };
    shrink(5, order("AscendingOrder"));
    are(&installation, "ranks", &[1, 2, 3, 4, 5]);
    shrink(4, order("DescendingOrder"));
    are(&installation, "ranks", &[1, 2, 3, 4]);
    let labelled = json!({"labelSelector": {"matchLabels": {"drain": "yes"}}});
    installation.kubectl(&["label", "vm", "ranks-2", "drain=yes"]).expect("labelling one");
    shrink(2, json!({"proactive": {"selectionPolicy": {"selectors": labelled}}}));
    are(&installation, "ranks", &[1, 3, 4]);
    let failure = until_some("it says that none may go", PATIENCE, || {
        condition(&installation, "ranks", "ReplicaFailure")
    });
    assert_eq!(failure["reason"], "FailedScaleIn", "{failure}");
    assert!(failure["message"].as_str().is_some_and(|text| text.contains("selectors")), "{failure}");
    shrink(2, json!({"opportunistic": {}}));
    until("the failure is over", PATIENCE, || condition(&installation, "ranks", "ReplicaFailure").is_none());
    installation.kubectl(&["delete", "vm", "ranks-3"]).expect("deleting one");
    are(&installation, "ranks", &[1, 4]);
    installation.kubectl(&["delete", "vm", "ranks-1"]).expect("deleting one more");
    are(&installation, "ranks", &[0, 4]);
    shrink(1, json!({"unmanaged": {}}));
    installation.kubectl(&["delete", "vm", "ranks-0"]).expect("deleting one");
    are(&installation, "ranks", &[4]);
}

/// Creates a claim that a machine owns.
fn claim(installation: &Installation, machine: &str) {
    let uid = text(&installation.get("vm", "default", machine).expect("it is there")["metadata"]["uid"]);
    installation.apply(
        &json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": format!("disk-of-{machine}"), "ownerReferences": [
                {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": machine, "uid": uid},
            ]},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
        })
        .to_string(),
    );
}

#[test]
fn disks_stay_when_the_pool_says_so() {
    let installation = control_plane();
    let has = |machine: &str| installation.get("pvc", "default", &format!("disk-of-{machine}")).is_some();
    let policy = json!({"sortPolicy": "DescendingOrder"});
    let proactive =
        |keeps: &str| json!({"proactive": {"selectionPolicy": policy, "statePreservation": keeps}});
    installation.apply(&idle("kept", 3, json!({"scaleInStrategy": proactive("Offline")})));
    are(&installation, "kept", &[0, 1, 2]);
    for machine in ["kept-0", "kept-1", "kept-2"] {
        claim(&installation, machine);
    }
    patch(&installation, "kept", json!({"replicas": 2}));
    are(&installation, "kept", &[0, 1]);
    let claim = installation.get("pvc", "default", "disk-of-kept-2").expect("it stays");
    assert!(claim["metadata"]["ownerReferences"].is_null(), "{claim}");
    patch(&installation, "kept", json!({"replicas": 1, "scaleInStrategy": proactive("Disabled")}));
    until("the disk goes after its machine", PATIENCE, || !has("kept-1"));
    let opportunistic = json!({"proactive": null, "opportunistic": {"statePreservation": "Offline"}});
    patch(&installation, "kept", json!({"replicas": 0, "scaleInStrategy": opportunistic}));
    installation.kubectl(&["delete", "vm", "kept-0"]).expect("deleting the last");
    are(&installation, "kept", &[]);
    // A claim that belonged to the machine would go with it, only later.
    for claim in ["disk-of-kept-0", "disk-of-kept-2"] {
        let claim =
            installation.get("pvc", "default", claim).expect("what was deleted by hand left its disk");
        assert!(claim["metadata"]["ownerReferences"].is_null(), "{claim}");
    }
    let online =
        json!({"spec": {"scaleInStrategy": {"opportunistic": {"statePreservation": "Online"}}}}).to_string();
    let warned = installation.kubectl(&["patch", "vmpool", "kept", "--type", "merge", "-p", &online]);
    assert!(warned.stderr.contains("statePreservation has no effect: disks are kept"), "{}", warned.stderr);
}

#[test]
fn machines_are_let_go() {
    let installation = control_plane();
    // Whether a machine has an owner, and whether a pool holds it.
    let held = |machine: &str| {
        let found = installation.get("vm", "default", machine).unwrap_or_default();
        let all = found["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        let owned = found["metadata"]["ownerReferences"].as_array().is_some_and(|owners| !owners.is_empty());
        (owned, all.contains(&json!("pool.kubevirt.io/finalizer")))
    };
    installation.apply(&idle("free", 3, json!({})));
    are(&installation, "free", &[0, 1, 2]);
    assert_eq!(held("free-0"), (true, true));
    installation.kubectl(&["label", "vm", "free-0", "pool-"]).expect("taking the label off");
    let orphan = json!({"metadata": {"ownerReferences": null}}).to_string();
    installation
        .kubectl(&["patch", "vm", "free-1", "--type", "merge", "-p", &orphan])
        .expect("taking the owner off");
    are(&installation, "free", &[2, 3, 4]);
    for machine in ["free-0", "free-1"] {
        until(&format!("nothing holds {machine}"), PATIENCE, || held(machine) == (false, false));
        installation.kubectl(&["delete", "vm", machine]).expect("deleting it");
    }

    // A paused pool makes none, and holds nobody up.
    patch(&installation, "free", json!({"paused": true}));
    until("it says that it rests", PATIENCE, || condition(&installation, "free", "ReplicaPaused").is_some());
    installation.kubectl(&["delete", "vm", "free-4"]).expect("deleting one of a paused pool");
    are(&installation, "free", &[2, 3]);
    patch(&installation, "free", json!({"paused": false}));
    are(&installation, "free", &[0, 2, 3]);
    assert!(condition(&installation, "free", "ReplicaPaused").is_none());
    for reason in ["SuccessfulPaused", "SuccessfulResume"] {
        until(&format!("{reason} is told"), PATIENCE, || !installation.events("free", reason).is_empty());
    }

    // Machines survive a pool that is deleted alone, and can be deleted after it; a pool of its name begins anew.
    installation.kubectl(&["delete", "vmpool", "free", "--cascade=orphan"]).expect("deleting the pool alone");
    for machine in ["free-0", "free-2", "free-3"] {
        until(&format!("nothing holds {machine}"), PATIENCE, || held(machine) == (false, false));
    }
    installation.apply(&idle("free", 1, json!({})));
    are(&installation, "free", &[1]);
    installation.kubectl(&["delete", "vm", "free-0", "free-2", "free-3"]).expect("deleting them");
    installation.kubectl(&["delete", "vmpool", "free"]).expect("deleting the pool");
    until("its machine goes after it", PATIENCE, || installation.list("vm").is_empty());
}

#[test]
fn machines_change_as_the_strategy_says() {
    let installation = control_plane();
    for (name, strategy, changed) in [
        ("all", json!({}), [true, true]),
        ("slow", json!({"opportunistic": {}}), [true, true]),
        ("none", json!({"unmanaged": {}}), [false, false]),
        (
            "some",
            json!({"proactive": {"selectionPolicy": {"selectors": {"labelSelector": {"matchLabels": {"canary": "yes"}}}}}}),
            [false, true],
        ),
    ] {
        installation.apply(&idle(name, 2, json!({"updateStrategy": strategy})));
        are(&installation, name, &[0, 1]);
        installation.kubectl(&["label", "vm", &format!("{name}-1"), "canary=yes"]).expect("labelling one");
        let before = own(&installation, name);
        let memory = json!({"spec": {"domain": {"memory": {"guest": "96Mi"}}}});
        patch(
            &installation,
            name,
            json!({"replicas": 3, "virtualMachineTemplate": {"spec": {"template": memory}}}),
        );
        are(&installation, name, &[0, 1, 2]);
        let is_new =
            |machine: &Value| machine["spec"]["template"]["spec"]["domain"]["memory"]["guest"] == "96Mi";
        let mut expected = changed.to_vec();
        expected.push(true);
        until(&format!("{name}: machines change as they should"), PATIENCE, || {
            own(&installation, name).iter().map(is_new).collect::<Vec<_>>() == expected
        });
        for (before, now) in before.iter().zip(own(&installation, name)) {
            let firmware =
                |machine: &Value| machine["spec"]["template"]["spec"]["domain"]["firmware"].clone();
            assert_eq!(firmware(&now), firmware(before), "{name}: the guest keeps its identity");
            assert_eq!(now["metadata"]["labels"].get("canary"), before["metadata"]["labels"].get("canary"));
            assert_eq!(now["metadata"]["uid"], before["metadata"]["uid"], "{name}");
        }
    }
}

#[test]
fn machines_that_do_not_start_are_made_anew() {
    let installation = control_plane();
    let volumes = json!([{"name": "d", "persistentVolumeClaim": {"claimName": "nowhere"}}]);
    let spec = json!({"domain": {"devices": {"disks": [{"name": "d", "disk": {}}]}}, "volumes": volumes});
    let template = json!({"spec": {"runStrategy": "Always", "template": {"spec": spec}}});
    installation.apply(&idle("ill", 1, json!({"virtualMachineTemplate": template})));
    until("it says what it lacks", PATIENCE, || {
        let machine = installation.get("vm", "default", "ill-0").unwrap_or_default();
        machine["status"]["printableStatus"] == "ErrorPvcNotFound"
    });
    let uid = || text(&installation.get("vm", "default", "ill-0").unwrap_or_default()["metadata"]["uid"]);
    let first = uid();
    patch(&installation, "ill", json!({"autohealing": {"minFailingToStartDuration": "1s"}}));
    until("another machine has its name", PATIENCE, || !uid().is_empty() && uid() != first);
    let wrong = json!({"spec": {"autohealing": {"minFailingToStartDuration": "soon"}}}).to_string();
    let refused = installation.kubectl(&["patch", "vmpool", "ill", "--type", "merge", "-p", &wrong]);
    assert!(refused.stderr.contains("write a duration such as 5m0s"), "{}", refused.stderr);
}

#[test]
fn what_is_in_the_way_is_said() {
    let installation = control_plane();
    installation.apply(
        "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: few}\n\
         spec: {hard: {count/virtualmachines.kubevirt.io: '3'}}\n",
    );
    installation.apply(&idle("many", 12, json!({})));
    let failure = until_some("it says that there is no more room", PATIENCE, || {
        condition(&installation, "many", "ReplicaFailure")
    });
    assert_eq!(failure["reason"], "FailedScaleOut", "{failure}");
    assert!(failure["message"].as_str().is_some_and(|text| text.contains("quota")), "{failure}");
    are(&installation, "many", &[0, 1, 2]);
    for reason in ["FailedCreate", "FailedScaleOut"] {
        until(&format!("{reason} is told"), PATIENCE, || !installation.events("many", reason).is_empty());
    }
    installation.kubectl(&["delete", "resourcequota", "few"]).expect("deleting the quota");
    until("all are there", PATIENCE, || names(&installation, "many").len() == 12);
    until("the failure is over", PATIENCE, || condition(&installation, "many", "ReplicaFailure").is_none());
    installation.kubectl(&["scale", "vmpool", "many", "--replicas", "0"]).expect("scaling down");
    are(&installation, "many", &[]);
}
