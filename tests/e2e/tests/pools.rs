//! Pools: as many machines as wanted, by number, and what the template says.

use e2e::pools::{PATIENCE, are, condition, idle, names, own, patch, status, text};
use e2e::{control_plane, example};
use kit::{Installation, until, until_some};
use serde_json::{Value, json};

const REVISION: &str = "kubevirt.io/vm-pool-revision-name";

fn are_ready(installation: &Installation, pool: &str, number: usize) {
    until(&format!("{number} machines of {pool} are ready"), PATIENCE, || {
        status(installation, pool, "readyReplicas") == json!(number)
            && status(installation, pool, "replicas") == json!(number)
    });
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
