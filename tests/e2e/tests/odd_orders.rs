//! What people do in an order that nobody planned.

use std::time::Duration;

use e2e::control_plane;
use kit::{Installation, Options, Output, program, until};

const PATIENCE: Duration = Duration::from_secs(120);

/// A machine with nothing to boot: it never heeds its power button.
const DEAF: &str = "
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: deaf}
spec:
  runStrategy: Always
  template:
    spec:
      terminationGracePeriodSeconds: 600
      domain:
        memory: {guest: 64Mi}
        devices: {}
";

#[test]
fn a_machine_made_anew_claims_its_instance_and_a_stop_can_lose_its_patience() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    let field = |kind: &str, pointer: &str| {
        let object = installation.get(kind, "default", "deaf").unwrap_or_default();
        object.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
    };
    installation.apply(DEAF);
    until("it runs", PATIENCE, || field("vmi", "/status/phase") == "Running");
    let (machine, instance) = (field("vm", "/metadata/uid"), field("vmi", "/metadata/uid"));

    let template = |spec: &str| {
        let patch = format!(r#"{{"spec": {{"template": {{"spec": {spec}}}}}}}"#);
        installation
            .kubectl(&["patch", "vm", "deaf", "--type", "merge", "-p", &patch])
            .expect("a new template");
    };
    let restart = || installation.condition("vm", "deaf", "RestartRequired").is_some();
    template(r#"{"nodeSelector": {"kubernetes.io/os": "linux"}}"#);
    until("where it may go follows", PATIENCE, || {
        field("vmi", "/spec/nodeSelector/kubernetes.io~1os") == "linux"
    });
    assert!(!restart(), "what followed asks for no restart");
    template(r#"{"domain": {"memory": {"guest": "96Mi"}}}"#);
    until("what it is waits for a restart", PATIENCE, restart);
    template(r#"{"domain": {"memory": {"guest": "64Mi"}}, "nodeSelector": null}"#);
    until("what is taken back waits for nothing", PATIENCE, || {
        !restart() && field("vmi", "/spec/nodeSelector/kubernetes.io~1os").is_empty()
    });
    assert_eq!(field("vmi", "/spec/domain/memory/guest"), "64Mi");

    installation.kubectl(&["delete", "vm", "deaf", "--cascade=orphan", "--timeout=60s"]).expect("orphaning");
    assert_eq!(field("vmi", "/metadata/uid"), instance, "the instance stays");
    installation.apply(DEAF);
    let anew = field("vm", "/metadata/uid");
    assert_ne!(anew, machine);
    until("it is claimed", PATIENCE, || field("vmi", "/metadata/ownerReferences/0/uid") == anew);
    until("it is seen", PATIENCE, || field("vm", "/status/printableStatus") == "Running");
    assert_eq!(field("vmi", "/metadata/uid"), instance, "nobody noticed");

    let virtctl = |arguments: &[&str]| -> Output {
        let mut command = installation.client_program(&program("virtctl"));
        let output = command.args(arguments).output().expect("virtctl starts");
        Output {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    };
    virtctl(&["stop", "deaf"]).expect("a stop");
    until("its power button is pressed", PATIENCE, || {
        !installation.events("deaf", "ShuttingDown").is_empty()
    });
    assert_eq!(field("vmi", "/metadata/uid"), instance, "a deaf guest has ten minutes");
    virtctl(&["stop", "deaf", "--force", "--grace-period=0"]).expect("a stop without patience");
    until("it is gone", PATIENCE, || field("vmi", "/metadata/uid").is_empty());
}

/// A restart leaves a request to start behind, and that is not to undo a later order.
#[test]
fn a_stop_during_a_restart_is_a_stop() {
    let api = control_plane();
    api.apply(DEAF);
    let virtctl = |order: &str| {
        let output = api.client_program(&program("virtctl")).args([order, "deaf"]).output();
        let output = output.expect("virtctl starts");
        assert!(output.status.success(), "{order}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let strategy = |strategy: &str| {
        let patch = format!(r#"{{"spec": {{"runStrategy": "{strategy}"}}}}"#);
        api.kubectl(&["patch", "vm", "deaf", "--type", "merge", "-p", &patch]).expect("another strategy");
    };
    // Whoever holds the instance decides how long the restart takes.
    let patch = |patch: &str| api.kubectl(&["patch", "vmi", "deaf", "--type", "json", "-p", patch]).success;
    let hold = || patch(r#"[{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/hold"}]"#);
    let let_go = || {
        let instance = api.get("vmi", "default", "deaf").unwrap_or_default();
        let mut all = instance["metadata"]["finalizers"].as_array().into_iter().flatten();
        let Some(at) = all.position(|finalizer| finalizer == "example.com/hold") else { return false };
        patch(&format!(
            r#"[{{"op": "test", "path": "/metadata/finalizers/{at}", "value": "example.com/hold"}},
                {{"op": "remove", "path": "/metadata/finalizers/{at}"}}]"#
        ))
    };
    let orders: [&dyn Fn(); 2] = [&|| virtctl("stop"), &|| strategy("Halted")];
    for stop in orders {
        until("it has been started", PATIENCE, || {
            let machine = api.get("vm", "default", "deaf").unwrap_or_default();
            machine["status"]["created"] == true && machine["status"]["runStrategy"] == "Always"
        });
        until("it is held", PATIENCE, hold);
        virtctl("restart");
        until("the instance is to go", PATIENCE, || {
            let instance = api.get("vmi", "default", "deaf").unwrap_or_default();
            !instance["metadata"]["deletionTimestamp"].is_null()
        });
        stop();
        until("it is let go", PATIENCE, let_go);
        until("it is off, and nothing is left to do", PATIENCE, || {
            let machine = api.get("vm", "default", "deaf").unwrap_or_default();
            machine["spec"]["runStrategy"] == "Halted"
                && machine["status"]["printableStatus"] == "Stopped"
                && machine["status"]["stateChangeRequests"].is_null()
                && api.get("vmi", "default", "deaf").is_none()
        });
        strategy("Always");
    }
}
