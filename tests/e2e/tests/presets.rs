//! Presets: what instances get by their labels, whoever creates them.

use std::time::Duration;

use e2e::control_plane;
use kit::{Installation, Output, until, until_some};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);
const MARK: &str = "virtualmachinepreset.kubevirt.io/two-processors";

fn create(installation: &Installation, object: &Value) -> Output {
    installation.kubectl_with(&["create", "-f", "-"], Some(&object.to_string()))
}

fn preset(name: &str, label: &str, mut domain: Value) -> Value {
    domain["devices"] = json!({});
    let spec = json!({"selector": {"matchLabels": {"size": label}}, "domain": domain});
    object("VirtualMachineInstancePreset", name, &spec)
}

fn template(label: &str) -> Value {
    json!({
        "metadata": {"labels": {"size": label}},
        "spec": {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}},
    })
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "kubevirt.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn machine(name: &str, label: &str) -> Value {
    object("VirtualMachine", name, &json!({"runStrategy": "Always", "template": template(label)}))
}

fn instance(name: &str, label: &str) -> Value {
    let mut object = template(label);
    object["apiVersion"] = json!("kubevirt.io/v1");
    object["kind"] = json!("VirtualMachineInstance");
    object["metadata"]["name"] = json!(name);
    object
}

fn cores(instance: &Value) -> &Value {
    &instance["spec"]["domain"]["cpu"]["cores"]
}

fn is_marked(instance: &Value) -> bool {
    instance["metadata"]["annotations"][MARK] == "kubevirt.io/v1"
}

#[test]
fn instances_get_what_presets_say_whoever_creates_them() {
    let installation = control_plane();
    let domain = json!({"cpu": {"cores": 2}, "firmware": {"serial": "preset"}});
    let made = create(&installation, &preset("two-processors", "small", domain));
    assert!(made.stderr.contains("VirtualMachineInstancePreset is deprecated"), "{}", made.stderr);
    assert!(!made.stderr.contains("has no effect"), "{}", made.stderr);
    made.expect("creating a preset");
    let made = create(&installation, &preset("memory", "none", json!({"memory": {"guest": "1Gi"}})));
    assert!(made.stderr.contains("ironclad: spec.domain.memory has no effect"), "{}", made.stderr);

    let made = create(&installation, &instance("alone", "small"));
    assert!(made.stderr.contains("VirtualMachineInstancePresets is now deprecated"), "{}", made.stderr);
    made.expect("creating an instance");
    let alone = installation.get("vmi", "default", "alone").expect("the instance");
    assert!(is_marked(&alone) && cores(&alone) == 2, "{alone}");
    assert_eq!(alone["spec"]["domain"]["firmware"]["serial"], "preset");

    let mut own = instance("own", "small");
    own["spec"]["domain"]["cpu"] = json!({"cores": 1});
    let made = create(&installation, &own);
    assert!(made.stderr.contains("spec.domain.cpu is the instance's own"), "{}", made.stderr);
    assert_eq!(cores(&installation.get("vmi", "default", "own").expect("the instance")), 1);

    let mut declined = instance("declined", "small");
    declined["metadata"]["annotations"] =
        json!({"virtualmachineinstancepresets.admission.kubevirt.io/exclude": "true"});
    create(&installation, &declined).expect("creating an instance");
    let declined = installation.get("vmi", "default", "declined").expect("the instance");
    assert!(!is_marked(&declined) && cores(&declined) == 1, "{declined}");

    create(&installation, &machine("machine", "small")).expect("creating a machine");
    let made =
        until_some("the machine has an instance", PATIENCE, || installation.get("vmi", "default", "machine"));
    assert!(is_marked(&made) && cores(&made) == 2, "{made}");
    // Of its own: it would claim those that are there.
    let mut of_set = template("small");
    of_set["metadata"]["labels"]["of"] = json!("set");
    let set = json!({"replicas": 1, "selector": {"matchLabels": {"of": "set"}}, "template": of_set});
    create(&installation, &object("VirtualMachineInstanceReplicaSet", "set", &set)).expect("creating a set");
    let made = until_some("the set has an instance", PATIENCE, || {
        let all = installation.list("vmi");
        all.into_iter().find(|one| one["metadata"]["ownerReferences"][0]["name"] == "set")
    });
    assert!(is_marked(&made) && cores(&made) == 2, "{made}");
}

#[test]
fn presets_that_disagree_keep_instances_from_being_created() {
    let installation = control_plane();
    for (name, cores) in [("one", 1), ("two", 2)] {
        create(&installation, &preset(name, "small", json!({"cpu": {"cores": cores}})))
            .expect("creating a preset");
    }
    let refused = create(&installation, &instance("alone", "small"));
    assert!(!refused.success && refused.stderr.contains("disagree on spec.domain.cpu"), "{}", refused.stderr);
    create(&installation, &instance("other", "large")).expect("creating an instance that neither chooses");
    create(&installation, &machine("machine", "small")).expect("creating a machine");
    until("the machine says which presets", PATIENCE, || {
        let named = |message: &String| message.contains("the presets one and two");
        installation.condition("vm", "machine", "Failure").as_ref().is_some_and(named)
            && installation.events("machine", "FailedCreate").iter().any(named)
    });
    installation.kubectl(&["delete", "vmipreset", "two"]).expect("deleting a preset");
    until("the machine has an instance", PATIENCE, || {
        installation.get("vmi", "default", "machine").is_some_and(|made| cores(&made) == 1)
    });
}
