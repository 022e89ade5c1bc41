//! Pools that shrink: who goes, what stays of those that went, and who is let go.

use e2e::control_plane;
use e2e::pools::{PATIENCE, are, condition, idle, merge, patch, text};
use kit::{Installation, until, until_some};
use serde_json::{Value, json};

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
