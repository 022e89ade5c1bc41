//! What kubectl is refused, and how it is told.

use std::time::Duration;

use e2e::{HALTED, control_plane};
use kit::until;

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
fn what_is_not_there_is_told_with_what_is() {
    let api = control_plane();
    let numa = "devices: {}\n        cpu: {numaTopologyPolicy: restricted}";
    let import = "apiVersion: imports.example/v1\nkind: Import\nmetadata: {name: d}\n";
    for (manifest, remedy) in [
        (
            HALTED.replace("devices: {}", "devices: {}\n        memroy: {}"),
            "did you mean spec.template.spec.domain.memory?",
        ),
        (HALTED.replace("devices: {}", numa), "cpu.numa.guestMappingPassthrough"),
        (import.to_owned(), "no matches for kind \"Import\""),
    ] {
        let refused = api.kubectl_with(&["apply", "-f", "-"], Some(&manifest));
        assert!(!refused.success && refused.stderr.contains(remedy), "{remedy}: {}", refused.stderr);
    }
    let stored = api.kubectl(&["create", "deployment", "idle", "--image", "registry.example/idle:1"]);
    assert!(stored.success && stored.stderr.contains("nothing here carries it out"), "{}", stored.stderr);
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
    until("the right is there", Duration::from_secs(60), || {
        api.kubectl(&["get", "configmaps", "--as", "system:serviceaccount:default:reader"]).success
    });
    let token = api.kubectl(&["create", "token", "reader"]).expect("token");
    assert_eq!(token.trim().split('.').count(), 3, "a JSON web token");
}
