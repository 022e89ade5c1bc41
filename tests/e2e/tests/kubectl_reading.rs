//! What people type to find out: kubectl's reading commands against the embedded API.

use std::time::Duration;

use e2e::{HALTED, control_plane};
use kit::until;

#[test]
fn explain_teaches_our_kinds_and_kubernetes_own() {
    let api = control_plane();
    let explain = |path: &str| api.kubectl(&["explain", path]).expect("explain");
    let strategy = explain("vm.spec.runStrategy");
    assert!(
        strategy.contains("KIND:       VirtualMachine") && strategy.contains("runStrategy <string>"),
        "{strategy}"
    );
    let paths = [
        "vm",
        "vm.spec",
        "vm.spec.template.spec.domain",
        "vmi.spec.domain.cpu",
        "vmi.spec.volumes.persistentVolumeClaim",
        "vmi.status",
        "pod.metadata",
        "pod.spec",
        "pod.spec.containers",
        "service.spec",
        "pvc.spec",
        "secret",
    ];
    for path in paths {
        let text = explain(path);
        let fields = text.split("FIELDS:").nth(1).unwrap_or_default();
        assert!(!fields.contains("<no description>"), "kubectl explain {path}:\n{text}");
    }
    for (path, leaf) in
        [("vmi.spec", "masquerade"), ("pod.spec", "containerPort"), ("pvc", "storageClassName")]
    {
        let tree = api.kubectl(&["explain", path, "--recursive"]).expect("explain --recursive");
        assert!(tree.contains(&format!("{leaf}\t<")), "kubectl explain {path} --recursive:\n{tree}");
    }
}

#[test]
fn our_kinds_are_discovered_listed_and_described() {
    let api = control_plane();
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
    let waited = "--for=jsonpath={.status.printableStatus}=Stopped";
    api.kubectl(&["wait", "vm/halted", waited, "--timeout", "60s"]).expect("wait for a field");
    api.kubectl(&["wait", "vm/halted", "--for=condition=Ready=false", "--timeout", "60s"])
        .expect("wait for a condition");
    let table = api.kubectl(&["get", "vm"]).expect("table");
    assert!(table.starts_with("NAME") && table.contains("STATUS") && table.contains("Stopped"), "{table}");
    let refused = api.kubectl(&["wait", "vm/halted", "--for=condition=Ready", "--timeout", "1s"]);
    assert!(!refused.success && refused.stderr.contains("timed out"), "{}", refused.stderr);
    api.kubectl(&["delete", "vm", "halted", "--wait=false"]).expect("delete");
    api.kubectl(&["wait", "vm/halted", "--for=delete", "--timeout", "60s"]).expect("wait for the end");
}

#[test]
fn watch_shows_changes_as_they_come() {
    let api = control_plane();
    api.apply(HALTED);
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut watch = api.kubectl_in_background(
        &["get", "vm", "-w", "-o", "wide", "--output-watch-events"],
        file.reopen().expect("a file"),
    );
    let seen = |event: &str, name: &str| {
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        text.lines().any(|line| line.starts_with(event) && line.contains(name))
    };
    let soon = Duration::from_secs(60);
    until("the watch has listed", soon, || seen("ADDED", "halted"));
    api.apply(&HALTED.replace("name: halted", "name: second"));
    until("the watch shows what is new", soon, || seen("ADDED", "second"));
    until("the watch shows what changes", soon, || seen("MODIFIED", "second"));
    api.kubectl(&["delete", "vm", "second", "--wait=false"]).expect("delete");
    until("the watch shows what goes", soon, || seen("DELETED", "second"));
    watch.kill().expect("ending the watch");
    watch.wait().expect("ending the watch");
}
