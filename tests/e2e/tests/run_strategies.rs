//! Run strategies, requests to start and stop, and guests that end by themselves.

use std::time::Duration;

use e2e::{BLANK, blank, container_disk, example, machine};
use kit::{Installation, Options, until, until_some};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);

fn word(installation: &Installation, name: &str) -> Option<String> {
    let machine = installation.get("vm", "default", name)?;
    machine["status"]["printableStatus"].as_str().map(str::to_owned)
}

fn is(installation: &Installation, name: &str, wanted: &str) {
    until(&format!("{name} is {wanted}"), PATIENCE, || word(installation, name).as_deref() == Some(wanted));
}

fn uid(installation: &Installation, name: &str) -> Option<String> {
    let instance = installation.get("vmi", "default", name)?;
    instance["metadata"]["uid"].as_str().map(str::to_owned)
}

/// Writes requests into the status, as the subresources do.
fn request(installation: &Installation, name: &str, requests: &Value) {
    let patch = json!({"status": {"stateChangeRequests": requests}}).to_string();
    installation
        .kubectl(&["patch", "vm", name, "--subresource", "status", "--type", "merge", "-p", &patch])
        .expect("patching the status");
}

/// Waits until the controller has met all requests.
fn met(installation: &Installation, name: &str) {
    until(&format!("the requests of {name} are met"), PATIENCE, || {
        let machine = installation.get("vm", "default", name);
        machine.is_some_and(|vm| vm["status"]["stateChangeRequests"].is_null())
    });
}

#[test]
fn requests_start_stop_and_restart_a_machine() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    let with = |name: &str, strategy: &str| {
        machine(name, &container_disk(BLANK))
            .replace("runStrategy: Always", &format!("runStrategy: {strategy}"))
    };
    installation.apply(&with("manual", "Manual"));
    installation.apply(&with("halted", "Halted"));
    is(&installation, "manual", "Stopped");
    assert_eq!(uid(&installation, "manual"), None);

    request(&installation, "manual", &json!([{"action": "Start"}]));
    is(&installation, "manual", "Running");
    met(&installation, "manual");
    let first = uid(&installation, "manual").expect("its instance is there");
    let places = |kind: &str| {
        let object = installation.get(kind, "default", "manual")?;
        object["metadata"]["annotations"]["ironclad.local/places"].as_str().map(str::to_owned)
    };
    let stood = until_some("the machine remembers where its devices stand", PATIENCE, || places("vm"));
    request(&installation, "manual", &json!([{"action": "Stop", "uid": first}, {"action": "Start"}]));
    let second = until_some("another instance is there", PATIENCE, || {
        uid(&installation, "manual").filter(|other| *other != first)
    });
    is(&installation, "manual", "Running");
    met(&installation, "manual");
    assert_eq!(places("vmi"), Some(stood), "devices stay where they stood");
    // A request about an instance that is gone stops nobody else.
    request(&installation, "manual", &json!([{"action": "Stop", "uid": first}]));
    met(&installation, "manual");
    assert_eq!(uid(&installation, "manual").as_ref(), Some(&second));
    request(&installation, "manual", &json!([{"action": "Stop", "uid": second}]));
    is(&installation, "manual", "Stopped");

    request(&installation, "halted", &json!([{"action": "Start", "data": {"paused": "true"}}]));
    is(&installation, "halted", "Paused");
    let machine = installation.get("vm", "default", "halted").expect("it is there");
    assert_eq!(machine["spec"]["runStrategy"], "Always");
    let paused = machine["status"]["conditions"].as_array().into_iter().flatten();
    let paused = paused.into_iter().find(|condition| condition["type"] == "Paused").expect("it says so");
    assert_eq!(paused["reason"], "PausedByUser");
    leaves_its_service_while_it_stands_still(&installation, "halted");
}

fn leaves_its_service_while_it_stands_still(installation: &Installation, name: &str) {
    installation.apply(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  selector: {{vm.kubevirt.io/name: {name}}}\n  \
         ports: [{{port: 80}}]\n"
    ));
    let serves = || {
        let slices = installation.list("endpointslices");
        let own =
            slices.iter().find(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == name)?;
        own["endpoints"][0]["conditions"]["ready"].as_bool()
    };
    until("a machine that stands still serves nobody", PATIENCE, || serves() == Some(false));
    let is_ready = || {
        let instance = installation.get("vmi", "default", name).unwrap_or_default();
        let mut conditions = instance["status"]["conditions"].as_array().into_iter().flatten();
        conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    assert!(!is_ready(), "a machine that stands still is not ready");
    let path = format!(
        "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances/{name}/unpause"
    );
    installation
        .kubectl_with(&["replace", "--raw", &path, "-f", "-"], Some("{}"))
        .expect("resuming the machine");
    until("a machine that runs again serves", PATIENCE, || serves() == Some(true));
    until("it is ready", PATIENCE, is_ready);
}

#[test]
fn a_machine_that_is_stopped_before_it_ran_waits_like_one_that_failed() {
    let installation = e2e::control_plane();
    let manifest = machine("early", "emptyDisk: {capacity: 1Mi}");
    installation.apply(&manifest.replace("runStrategy: Always", "runStrategy: RerunOnFailure"));
    // There is no node to run it.
    is(&installation, "early", "ErrorUnschedulable");
    let first = uid(&installation, "early").expect("its instance is there");
    request(&installation, "early", &json!([{"action": "Stop", "uid": first}]));
    is(&installation, "early", "CrashLoopBackOff");
    let machine = installation.get("vm", "default", "early").expect("it is there");
    assert_eq!(machine["status"]["startFailure"]["lastFailedVMIUID"], first, "{machine}");
    until("its instance goes", PATIENCE, || uid(&installation, "early").is_none());
    // Whoever asks gets another one, once the wait is over.
    request(&installation, "early", &json!([{"action": "Start"}]));
    until("another instance is there", PATIENCE, || {
        uid(&installation, "early").is_some_and(|other| other != first)
    });
}

#[test]
fn a_guest_that_ends_is_treated_as_its_strategy_says() {
    let installation = Installation::start(Options::default());
    let hello = example("hello.yaml");
    let guest = |name: &str, strategy: &str, command: &str| {
        hello
            .replace("name: hello\n", &format!("name: {name}\n"))
            .replace("runStrategy: Always", &format!("runStrategy: {strategy}"))
            .replace(r#"echo "GREETING" > /dev/console"#, command)
    };
    installation.apply(&guest("leaves", "RerunOnFailure", "poweroff -f"));
    installation.apply(&guest("stays", "Always", "poweroff -f"));
    let first = until_some("the other instance is there", PATIENCE, || uid(&installation, "stays"));

    until("the instance whose guest went is told of", PATIENCE, || {
        installation.events("leaves", "Stopped").iter().any(|message| message.contains("shut itself down"))
    });
    is(&installation, "leaves", "Stopped");
    until("its instance goes", PATIENCE, || uid(&installation, "leaves").is_none());

    // One that always runs is started anew. It did not fail, so that nothing waits.
    until("the other machine has another instance", PATIENCE, || {
        uid(&installation, "stays").is_some_and(|other| other != first)
    });
    let stays = installation.get("vm", "default", "stays").expect("it is there");
    assert!(stays["status"]["startFailure"].is_null(), "{stays}");
    assert_eq!(uid(&installation, "leaves"), None, "one that ended well is not replaced");
}
