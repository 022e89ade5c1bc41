//! A repository and a user who both apply the same machine: each keeps what is its own, and none undoes the other's.

use std::time::Duration;

use e2e::control_plane;
use kit::{Installation, Output, until};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the repository says of the machine; with the run strategy at first, because a machine needs one.
fn repository(strategy: &str) -> String {
    format!(
        "apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {{name: shared, labels: {{app: web}}}}
spec:{strategy}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      nodeSelector: {{disks: fast}}
      domain:
        cpu: {{cores: 2}}
        memory: {{guest: 64Mi}}
        devices:
          disks: [{{name: root, disk: {{bus: virtio}}}}]
          interfaces: [{{name: default, masquerade: {{}}}}]
      networks: [{{name: default, pod: {{}}}}]
      volumes: [{{name: root, emptyDisk: {{capacity: 64Mi}}}}]
"
    )
}

/// What the user says of it: when it runs, a note, and where.
const USER: &str = "apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: shared, annotations: {example.com/note: mine}}
spec:
  runStrategy: Manual
  template:
    spec:
      nodeSelector: {zone: here}
";

fn apply(api: &Installation, manager: &str, manifest: &str, more: &[&str]) -> Output {
    let mut arguments = vec!["apply", "--server-side", "--field-manager", manager, "-f", "-"];
    arguments.extend(more);
    api.kubectl_with(&arguments, Some(manifest))
}

fn machine(api: &Installation) -> Value {
    api.get("vm", "default", "shared").expect("the machine")
}

#[test]
fn a_repository_and_a_user_share_a_machine() {
    let api = control_plane();
    let first = repository("\n  runStrategy: Halted");
    apply(&api, "gitops", &first, &[]).expect("the repository's first");
    let refused = apply(&api, "user", USER, &[]);
    assert!(!refused.success && refused.stderr.contains(".spec.runStrategy"), "{}", refused.stderr);
    apply(&api, "user", USER, &["--force-conflicts"]).expect("the user takes the run strategy over");
    // From now on the repository leaves it to the user.
    let kept = repository("");
    apply(&api, "gitops", &kept, &[]).expect("the repository lets go of it");
    let both = |object: &Value| {
        let places = &object["spec"]["template"]["spec"]["nodeSelector"];
        assert_eq!(object["spec"]["runStrategy"], "Manual");
        assert_eq!(object["metadata"]["annotations"]["example.com/note"], "mine");
        assert_eq!(object["metadata"]["labels"]["app"], "web");
        assert_eq!(*places, json!({"disks": "fast", "zone": "here"}));
    };
    both(&machine(&api));

    // The controllers write what they have to say, and then each applies again and again: nothing moves.
    until("the controller says something", PATIENCE, || {
        machine(&api)["status"]["printableStatus"] == "Stopped"
    });
    let generation = machine(&api)["metadata"]["generation"].clone();
    for _ in 0..2 {
        for (manager, manifest) in [("gitops", kept.as_str()), ("user", USER)] {
            apply(&api, manager, manifest, &[]).expect("applying again");
            is_no_drift(&api, manager, manifest);
        }
    }
    let object = machine(&api);
    both(&object);
    assert_eq!(object["metadata"]["generation"], generation, "nothing was changed by that");

    // Starting it is nobody's field: the repository does not stop it again.
    let start = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/shared/start";
    api.kubectl_with(&["replace", "--raw", start, "-f", "-"], Some("{}")).expect("starting it");
    until("it has an instance", PATIENCE, || api.get("vmi", "default", "shared").is_some());
    apply(&api, "gitops", &kept, &[]).expect("the repository once more");
    is_no_drift(&api, "gitops", &kept);
    let object = machine(&api);
    both(&object);
    assert_eq!(object["metadata"]["generation"], generation);
    let instance = api.get("vmi", "default", "shared").expect("it goes on");
    assert!(instance["metadata"]["deletionTimestamp"].is_null(), "{instance}");

    // What the user gives up goes, and what the repository says stays.
    let less =
        USER.replace("nodeSelector: {zone: here}", "{}").replace("annotations: {example.com/note: mine}", "");
    apply(&api, "user", &less, &[]).expect("the user gives the place up");
    let object = machine(&api);
    assert_eq!(object["spec"]["template"]["spec"]["nodeSelector"], json!({"disks": "fast"}));
    assert!(object["metadata"]["annotations"]["example.com/note"].is_null(), "{object}");
    assert_eq!(object["spec"]["runStrategy"], "Manual");
}

/// kubectl looks twice, at what is there and at what would be: a status that is written in between looks like a drift, once.
fn is_no_drift(api: &Installation, manager: &str, manifest: &str) {
    until(&format!("{manager} sees no drift"), PATIENCE, || {
        let differs = ["diff", "--server-side", "--field-manager", manager, "-f", "-"];
        api.kubectl_with(&differs, Some(manifest)).success
    });
}
