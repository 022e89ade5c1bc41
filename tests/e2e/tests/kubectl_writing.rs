//! What people type to change things: kubectl's writing commands against the embedded API.

use std::time::Duration;

use e2e::{HALTED, control_plane};
use kit::{Installation, until};
use serde_json::Value;

#[test]
fn apply_again_diff_label_and_delete() {
    let api = control_plane();
    api.apply(HALTED);
    let again = api.kubectl_with(&["apply", "-f", "-"], Some(HALTED)).expect("applying again");
    assert!(again.contains("unchanged"), "{again}");

    assert!(api.kubectl_with(&["diff", "-f", "-"], Some(HALTED)).success, "nothing differs");
    let diff = api.kubectl_with(&["diff", "-f", "-"], Some(&HALTED.replace("64Mi", "96Mi")));
    assert!(!diff.success, "diff tells by its exit code that something differs");
    for line in ["-          guest: 64Mi", "+          guest: 96Mi"] {
        assert!(diff.stdout.contains(line), "{}{}", diff.stdout, diff.stderr);
    }

    api.kubectl(&["label", "vm", "halted", "zone=a", "tier=gold"]).expect("label");
    api.kubectl(&["annotate", "vm", "halted", "note=kept"]).expect("annotate");
    let selected =
        api.kubectl(&["get", "vm", "-l", "tier=gold,zone in (a,b)", "-o", "name"]).expect("selector");
    assert_eq!(selected.trim(), "virtualmachine.kubevirt.io/halted");
    until("the controller says Stopped", Duration::from_secs(60), || {
        api.get("vm", "default", "halted").is_some_and(|vm| vm["status"]["printableStatus"] == "Stopped")
    });
    api.kubectl(&["delete", "vm", "halted", "--wait", "--timeout", "60s"]).expect("delete --wait");
    assert!(api.get("vm", "default", "halted").is_none());
}

#[test]
fn each_type_of_patch_does_what_it_is_for() {
    let api = control_plane();
    let patch =
        |object: &str, kind: &str, patch: &str| api.kubectl(&["patch", object, "--type", kind, "-p", patch]);
    api.kubectl(&["create", "service", "clusterip", "web", "--tcp", "80"]).expect("a Service");
    let ports = || {
        let service = api.get("service", "default", "web").expect("the Service");
        let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
        ports.iter().filter_map(|port| port["port"].as_u64()).collect::<Vec<_>>()
    };
    patch("service/web", "strategic", r#"{"spec":{"ports":[{"name":"tls","port":443}]}}"#)
        .expect("a strategic patch");
    let mut both = ports();
    both.sort_unstable();
    assert_eq!(both, [80, 443], "a strategic patch merges a list by its key");
    patch("service/web", "merge", r#"{"spec":{"ports":[{"name":"alt","port":8080}]}}"#)
        .expect("a merge patch");
    assert_eq!(ports(), [8080], "a merge patch replaces a list");
    patch("service/web", "json", r#"[{"op":"replace","path":"/spec/ports/0/port","value":8081}]"#)
        .expect("a JSON patch");
    assert_eq!(ports(), [8081]);
    let refused = patch("service/web", "json", r#"[{"op":"test","path":"/spec/ports/0/port","value":1}]"#);
    assert!(!refused.success && ports() == [8081], "a test that fails changes nothing");

    api.apply(HALTED);
    patch("vm/halted", "merge", r#"{"spec":{"template":{"spec":{"domain":{"cpu":{"cores":2}}}}}}"#)
        .expect("a merge patch of a machine");
    let machine = api.get("vm", "default", "halted").expect("the machine");
    assert_eq!(machine["spec"]["template"]["spec"]["domain"]["cpu"]["cores"], 2);
    let strategic = patch("vm/halted", "strategic", "{}");
    assert!(!strategic.success && strategic.stderr.contains("merge-patch"), "{}", strategic.stderr);
}

#[test]
fn edit_keeps_what_others_changed_and_shows_what_was_refused() {
    let api = control_plane();
    api.apply(HALTED);
    api.kubectl_editing(&["edit", "vm", "halted"], "sed -i 's/64Mi/96Mi/' \"$1\"").expect("edit");
    let machine = || api.get("vm", "default", "halted").expect("the machine");
    assert_eq!(machine()["spec"]["template"]["spec"]["domain"]["memory"]["guest"], "96Mi");

    // While the editor is open, somebody else labels the machine.
    let meanwhile = "\"$KUBECTL\" label vm halted owner=other >&2\nsed -i 's/96Mi/128Mi/' \"$1\"";
    api.kubectl_editing(&["edit", "vm", "halted"], meanwhile).expect("edit beside another change");
    let both = machine();
    assert_eq!(both["metadata"]["labels"]["owner"], "other");
    assert_eq!(both["spec"]["template"]["spec"]["domain"]["memory"]["guest"], "128Mi");

    // What the server refuses comes back into the editor, with the reason as a comment; unchanged, it ends the edit.
    let wrong = "if grep -q Sometimes \"$1\"; then cp \"$1\" \"$HOME/seen\"; else \
                 sed -i 's/runStrategy: Halted/runStrategy: Sometimes/' \"$1\"; fi";
    let refused = api.kubectl_editing(&["edit", "vm", "halted"], wrong);
    assert!(!refused.success, "{}", refused.stdout);
    let home = api.data_dir().parent().expect("the test's directory").join("seen");
    let seen = std::fs::read_to_string(home).expect("the editor was opened again");
    assert!(seen.contains("# ") && seen.contains("spec.runStrategy"), "{seen}");
    assert_eq!(machine()["spec"]["runStrategy"], "Halted");

    // A stale resourceVersion is a conflict, and the newer state stays.
    let stale = "sed -i 's/resourceVersion: .*/resourceVersion: \"1\"/; s/128Mi/256Mi/' \"$1\"";
    let conflict = api.kubectl_editing(&["edit", "vm", "halted"], stale);
    assert!(!conflict.success, "{}{}", conflict.stdout, conflict.stderr);
    assert_eq!(machine()["spec"]["template"]["spec"]["domain"]["memory"]["guest"], "128Mi");
}

#[test]
fn server_side_apply_tracks_owners_and_refuses_conflicts() {
    let api = control_plane();
    let apply = |manager: &str, manifest: &str, more: &[&str]| {
        let mut arguments = vec!["apply", "--server-side", "--field-manager", manager, "-f", "-"];
        arguments.extend(more);
        api.kubectl_with(&arguments, Some(manifest))
    };
    let other = HALTED.replace("Halted", "Manual");
    apply("one", HALTED, &[]).expect("the first owner");
    let conflict = apply("two", &other, &[]);
    assert!(!conflict.success, "{}", conflict.stdout);
    for named in ["conflict", "\"one\"", ".spec.runStrategy"] {
        assert!(conflict.stderr.contains(named), "{named}: {}", conflict.stderr);
    }
    apply("two", &other, &["--force-conflicts"]).expect("the second owner by force");
    let owners = |path: &[&str]| owners(&api, path);
    assert_eq!(owners(&["f:spec", "f:runStrategy"]), ["two"]);
    let shared = owners(&["f:spec", "f:template", "f:spec", "f:domain", "f:memory", "f:guest"]);
    assert_eq!(shared, ["one", "two"], "what both want belongs to both");

    let differs = api.kubectl_with(&["diff", "--server-side", "-f", "-"], Some(HALTED));
    assert!(!differs.success, "{}", differs.stdout);
}

/// Managers of a field of the machine `halted`, in alphabetical order.
fn owners(api: &Installation, path: &[&str]) -> Vec<String> {
    let object = api.kubectl(&["get", "vm", "halted", "-o", "json", "--show-managed-fields"]).expect("get");
    let object: Value = serde_json::from_str(&object).expect("JSON");
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let owns = |entry: &Value| path.iter().try_fold(&entry["fieldsV1"], |at, step| at.get(step)).is_some();
    let applied = |entry: &&Value| entry["operation"] == "Apply" && owns(entry);
    let mut managers: Vec<_> = entries
        .iter()
        .filter(applied)
        .filter_map(|entry| entry["manager"].as_str().map(str::to_owned))
        .collect();
    managers.sort();
    managers
}

#[test]
fn deleting_an_owner_cascades_as_asked() {
    let api = control_plane();
    let owned = |owner: &str| {
        api.kubectl(&["create", "configmap", owner]).expect("an owner");
        let uid = api.get("cm", "default", owner).expect("the owner")["metadata"]["uid"].clone();
        api.apply(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: of-{owner}\n  ownerReferences:\n  - {{apiVersion: v1, \
             kind: ConfigMap, name: {owner}, uid: {uid}, blockOwnerDeletion: true}}\n"
        ));
    };
    let delete = |owner: &str, cascade: &str| {
        let cascade = format!("--cascade={cascade}");
        api.kubectl(&["delete", "cm", owner, "--wait", "--timeout", "60s", &cascade]).expect("delete");
    };
    owned("strict");
    delete("strict", "foreground");
    assert!(api.get("cm", "default", "of-strict").is_none(), "the dependent went before its owner");

    owned("lax");
    delete("lax", "background");
    until("the dependent follows", Duration::from_secs(60), || api.get("cm", "default", "of-lax").is_none());

    owned("gone");
    delete("gone", "orphan");
    let orphan = api.get("cm", "default", "of-gone").expect("the orphan stays");
    assert!(orphan["metadata"].get("ownerReferences").is_none(), "{orphan}");
}

#[test]
fn what_an_installation_brings_is_made_again_and_kept_while_there_are_machines() {
    let api = control_plane();
    let there = |kind: &str, namespace: &str, name: &str| api.get(kind, namespace, name).is_some();
    until("the installation is told of", Duration::from_secs(60), || {
        api.get("kubevirt", "kubevirt", "kubevirt")
            .is_some_and(|object| object["status"]["phase"] == "Deployed")
    });
    let gates = r#"{"spec":{"configuration":{"developerConfiguration":{"featureGates":["HostDisk"]}}}}"#;
    api.kubectl(&["patch", "kubevirt", "kubevirt", "-n", "kubevirt", "--type", "merge", "-p", gates])
        .expect("a gate");
    api.apply(HALTED);
    for object in [["kubevirt", "kubevirt"], ["namespace", "kubevirt"]] {
        let refused = api.kubectl(&["delete", object[0], object[1], "-n", "kubevirt"]);
        assert!(
            !refused.success && refused.stderr.contains("Delete all machines first"),
            "{}",
            refused.stderr
        );
    }
    let kubevirt = api.get("kubevirt", "kubevirt", "kubevirt").expect("it stays");
    assert_eq!(kubevirt["spec"]["configuration"]["developerConfiguration"]["featureGates"][0], "HostDisk");

    api.kubectl(&["delete", "vm", "halted", "--timeout", "60s"]).expect("deleting the machine");
    api.kubectl(&["delete", "storageclass", "local", "--wait=false"]).expect("deleting the class");
    api.kubectl(&["delete", "namespace", "kubevirt", "--wait=false"]).expect("deleting the namespace");
    until("all is there again", Duration::from_secs(120), || {
        let new = api.get("kubevirt", "kubevirt", "kubevirt");
        there("storageclass", "", "local")
            && new.is_some_and(|new| new["metadata"]["uid"] != kubevirt["metadata"]["uid"])
    });
    until("that the settings are lost is said", Duration::from_secs(60), || {
        api.kubectl(&["get", "events", "-n", "kubevirt"]).stdout.contains("SettingsReset")
    });
}
