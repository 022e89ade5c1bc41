//! What people type: kubectl against the embedded API.

use std::time::Duration;

use kit::{Installation, Options, until};
use serde_json::Value;

/// A control plane without an agent: objects only.
fn control_plane() -> Installation {
    Installation::start(Options { nodes: 0, images: false, ..Options::default() })
}

const HALTED: &str = r"
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata:
  name: halted
spec:
  runStrategy: Halted
  template:
    spec:
      domain:
        memory: {guest: 64Mi}
        devices: {}
";

#[test]
fn apply_patch_diff_and_delete_a_machine() {
    let api = control_plane();
    api.apply(HALTED);
    let again = api.kubectl_with(&["apply", "-f", "-"], Some(HALTED)).expect("applying again");
    assert!(again.contains("unchanged"), "{again}");

    let diff = api.kubectl_with(&["diff", "-f", "-"], Some(&HALTED.replace("64Mi", "96Mi")));
    assert!(
        diff.stdout.contains("-        guest: 64Mi") || diff.stdout.contains("96Mi"),
        "{}{}",
        diff.stdout,
        diff.stderr
    );

    api.kubectl(&[
        "patch",
        "vm",
        "halted",
        "--type",
        "merge",
        "-p",
        r#"{"metadata":{"labels":{"tier":"gold"}}}"#,
    ])
    .expect("merge patch");
    api.kubectl(&[
        "patch",
        "vm",
        "halted",
        "--type",
        "json",
        "-p",
        r#"[{"op":"test","path":"/metadata/labels/tier","value":"gold"}]"#,
    ])
    .expect("JSON patch");
    api.kubectl(&["label", "vm", "halted", "zone=a"]).expect("label");
    api.kubectl(&["annotate", "vm", "halted", "note=kept"]).expect("annotate");
    let selected =
        api.kubectl(&["get", "vm", "-l", "tier=gold,zone in (a,b)", "-o", "name"]).expect("selector");
    assert_eq!(selected.trim(), "virtualmachine.kubevirt.io/halted");

    until("the controller says Stopped", Duration::from_secs(20), || {
        api.get("vm", "default", "halted").is_some_and(|vm| vm["status"]["printableStatus"] == "Stopped")
    });
    let table = api.kubectl(&["get", "vm"]).expect("table");
    assert!(table.starts_with("NAME") && table.contains("STATUS") && table.contains("Stopped"), "{table}");

    api.kubectl(&["delete", "vm", "halted", "--wait", "--timeout", "30s"]).expect("delete --wait");
    assert!(api.get("vm", "default", "halted").is_none());
}

#[test]
fn server_side_apply_tracks_owners_and_refuses_conflicts() {
    let api = control_plane();
    let manifest = |value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: shared}}\ndata: {{key: {value}}}\n")
    };
    let apply = |manager: &str, value: &str, more: &[&str]| {
        let mut arguments = vec!["apply", "--server-side", "--field-manager", manager, "-f", "-"];
        arguments.extend(more);
        api.kubectl_with(&arguments, Some(&manifest(value)))
    };
    apply("one", "a", &[]).expect("the first owner");
    let conflict = apply("two", "b", &[]);
    assert!(!conflict.success && conflict.stderr.contains("conflict"), "{}", conflict.stderr);
    apply("two", "b", &["--force-conflicts"]).expect("the second owner by force");
    let object = api.kubectl(&["get", "cm", "shared", "-o", "json", "--show-managed-fields"]).expect("get");
    let object: Value = serde_json::from_str(&object).expect("JSON");
    let owners: Vec<_> = object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|entry| entry["fieldsV1"]["f:data"]["f:key"].is_object())
        .filter_map(|entry| entry["manager"].as_str())
        .collect();
    assert_eq!(owners, ["two"]);
}

#[test]
fn explain_describe_and_discovery_know_our_kinds() {
    let api = control_plane();
    let explained = api.kubectl(&["explain", "vm.spec.runStrategy"]).expect("explain");
    assert!(
        explained.contains("KIND:       VirtualMachine") && explained.contains("runStrategy <string>"),
        "{explained}"
    );
    let resources =
        api.kubectl(&["api-resources", "--api-group", "kubevirt.io", "-o", "name"]).expect("api-resources");
    for name in
        ["virtualmachines.kubevirt.io", "virtualmachineinstances.kubevirt.io", "kubevirts.kubevirt.io"]
    {
        assert!(resources.contains(name), "{resources}");
    }
    api.apply(HALTED);
    let described = api.kubectl(&["describe", "vm", "halted"]).expect("describe");
    assert!(described.contains("Run Strategy:") && described.contains("Halted"), "{described}");
}

#[test]
fn watch_shows_changes_as_they_come() {
    let api = control_plane();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut watch =
        api.kubectl_in_background(&["get", "configmaps", "-w", "-o", "name"], file.reopen().expect("a file"));
    let seen = || std::fs::read_to_string(file.path()).unwrap_or_default();
    until("the watch has listed", Duration::from_secs(20), || seen().contains("kube-root-ca.crt"));
    api.kubectl(&["create", "configmap", "comes"]).expect("create");
    until("the watch shows it", Duration::from_secs(20), || seen().contains("configmap/comes"));
    watch.kill().expect("ending the watch");
    watch.wait().expect("ending the watch");
}

#[test]
fn wait_returns_when_a_condition_holds() {
    let api = control_plane();
    api.apply(HALTED);
    api.kubectl(&[
        "wait",
        "vm/halted",
        "--for",
        "jsonpath={.status.printableStatus}=Stopped",
        "--timeout",
        "30s",
    ])
    .expect("wait --for");
}

#[test]
fn bad_input_is_refused_with_field_value_and_remedy() {
    let api = control_plane();
    let cases = [
        ("an unknown field", HALTED.replace("devices: {}", "devices: {}\n        memroy: {}"), "memroy"),
        ("a wrong type", HALTED.replace("64Mi}", "[1]}"), "guest"),
        ("an unknown run strategy", HALTED.replace("Halted", "Sometimes"), "Sometimes"),
        (
            "an impossible disk",
            HALTED.replace("devices: {}", "devices: {disks: [{name: lost, disk: {}}]}"),
            "lost",
        ),
    ];
    for (what, manifest, named) in cases {
        let refused = api.kubectl_with(&["apply", "-f", "-"], Some(&manifest));
        assert!(!refused.success, "{what} was accepted");
        assert!(refused.stderr.contains(named), "{what}: {}", refused.stderr);
    }
}

#[test]
fn strangers_are_refused_and_rights_are_enforced() {
    let api = control_plane();
    let anonymous = api.kubectl(&[
        "get",
        "pods",
        "--token",
        "nonsense",
        "--client-certificate",
        "/dev/null",
        "--client-key",
        "/dev/null",
    ]);
    assert!(!anonymous.success);
    api.kubectl(&["create", "serviceaccount", "reader"]).expect("service account");
    let denied = api.kubectl(&["get", "secrets", "--as", "system:serviceaccount:default:reader"]);
    assert!(!denied.success && denied.stderr.contains("forbidden"), "{}", denied.stderr);
    api.kubectl(&[
        "create",
        "rolebinding",
        "reader",
        "--clusterrole",
        "view",
        "--serviceaccount",
        "default:reader",
    ])
    .expect("role binding");
    until("the right is there", Duration::from_secs(5), || {
        api.kubectl(&["get", "configmaps", "--as", "system:serviceaccount:default:reader"]).success
    });
    let token = api.kubectl(&["create", "token", "reader"]).expect("token");
    assert_eq!(token.trim().split('.').count(), 3, "a JSON web token");
}
