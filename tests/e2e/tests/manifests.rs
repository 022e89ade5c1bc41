//! Manifests and objects of the reference projects, applied as a user would. They stand beside the repository; a plain checkout
//! has none.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use e2e::{configure, control_plane};
use kit::{Installation, repository};
use serde_json::Value;

/// Manifests that the reference refuses, too, with what they are told here.
const REFUSED: &[(&str, &str)] = &[
    ("kubevirt-hal.yaml", "the hypervisors are spec.configuration.hypervisors"),
    ("tdx-numa.yaml", "cpu.numa.guestMappingPassthrough"),
    ("tdx.yaml", "set spec.runStrategy"),
    ("clone-datavolume.yaml", "say which volume is wanted: give storage"),
    ("vm-cirros-clarge.yaml", DECIDED),
    ("vm-cirros-clarge-virtio.yaml", DECIDED),
    ("vm-cirros-clarge-windows.yaml", DECIDED),
    ("vm-cirros-cluster-csmall.yaml", DECIDED),
    ("vm-cirros-csmall.yaml", DECIDED),
    ("vm-windows-clarge-windows.yaml", DECIDED),
];
const DECIDED: &str = "the instance type decides this; remove it from the machine";

const GATES: &str = r#"{"developerConfiguration": {"featureGates":
    ["GPUsWithDRA", "HostDevices", "HostDisk", "Sidecar", "WorkloadEncryptionTDX"]}}"#;

#[test]
fn every_manifest_of_the_reference_projects_is_taken_and_comes_back_as_it_was() {
    let Some(spec) = shared() else { return };
    let api = control_plane();
    configure(&api, GATES);
    let mut left = manifests(&spec.join("examples"));
    let (count, mut names, mut faults) = (left.len(), HashMap::new(), Vec::new());
    // What another file brings may come later: those that are refused are tried once more.
    for last in [false, true] {
        let files = std::mem::take(&mut left);
        for file in files {
            match judge(&api, &file, &mut names) {
                Ok(()) => {}
                Err(fault) if last => faults.push(fault),
                Err(_) => left.push(file),
            }
        }
    }
    println!("{} of {count} manifests are answered as they should be", count - faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Each of their fields has a value that none may have, so that they are refused, but for no field.
#[test]
fn objects_with_every_field_have_none_that_is_not_known() {
    let Some(spec) = shared() else { return };
    let api = control_plane();
    for file in manifests(&spec.join("objects")) {
        let text = std::fs::read_to_string(&file).expect("a file that was listed");
        // Numbers beyond what fits are values, too.
        let text = text.replace("namespaceValue", "default").replace("generateNameValue", "generated");
        let answer = api.kubectl_with(
            &["create", "--validate=strict", "-f", "-"],
            Some(&text.replace("nameValue", "every")),
        );
        let told = answer.stderr.to_lowercase();
        assert!(
            !told.contains("unknown field") && !told.contains("no such field"),
            "{}: {told}",
            file.display()
        );
        assert!(answer.success || told.contains("value"), "{}: {told}", file.display());
    }
}

/// The folder of manifests; none in a plain checkout.
fn shared() -> Option<PathBuf> {
    let spec = repository().join("../shared/spec");
    if !spec.join("examples").exists() {
        println!("skipped: {} has no examples", spec.display());
        return None;
    }
    Some(spec)
}

/// The YAML files below a folder, in order.
fn manifests(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(manifests(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Applies a file and looks at what came back. `names` are the objects that are there, each with its file: who has an
/// object of the same name makes room.
fn judge(api: &Installation, file: &Path, names: &mut HashMap<String, String>) -> Result<(), String> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let path = file.to_str().unwrap_or_default();
    let written = api.kubectl(&["create", "--dry-run=client", "--validate=false", "-f", path, "-o", "json"]);
    let written = objects(&written.stdout);
    let own: Vec<String> = written.iter().map(identity).collect();
    for earlier in own.iter().filter_map(|one| names.get(one).cloned()).collect::<BTreeSet<_>>() {
        api.kubectl(&["delete", "-f", &earlier, "--ignore-not-found", "--timeout=60s"]);
        names.retain(|_, file| *file != earlier);
    }
    let applied = api.kubectl(&["apply", "-f", path, "-o", "json"]);
    if let Some((_, meant)) = REFUSED.iter().find(|(known, _)| *known == name) {
        let told = !applied.success && applied.stderr.contains(meant);
        return if told { Ok(()) } else { Err(format!("{path} is not told {meant:?}: {}", applied.stderr)) };
    }
    if !applied.success {
        return Err(format!("{path} is refused: {}", applied.stderr));
    }
    let there = objects(&applied.stdout);
    if written.is_empty() || written.len() != there.len() {
        return Err(format!("{path}: {} objects were applied, {} are there", written.len(), there.len()));
    }
    let mut lost = Vec::new();
    for (written, there) in written.iter().zip(&there) {
        for (part, value) in written.as_object().into_iter().flatten() {
            if !matches!(part.as_str(), "metadata" | "status" | "apiVersion") {
                missing(value, &there[part], part, &mut lost);
            }
        }
    }
    names.extend(own.into_iter().map(|one| (one, path.to_owned())));
    if lost.is_empty() { Ok(()) } else { Err(format!("{path} comes back otherwise: {}", lost.join("; "))) }
}

fn identity(object: &Value) -> String {
    let meta = &object["metadata"];
    format!("{} {} {}", object["kind"], meta["namespace"], meta["name"])
}

/// The objects of what kubectl prints: one, one after the other, or a list.
fn objects(text: &str) -> Vec<Value> {
    let documents = serde_json::Deserializer::from_str(text).into_iter::<Value>().flatten();
    let whole = |document: Value| match document["items"].as_array() {
        Some(items) => items.clone(),
        None => vec![document],
    };
    documents.flat_map(whole).collect()
}

/// Lists what `written` holds and `there` does not.
fn missing(written: &Value, there: &Value, path: &str, lost: &mut Vec<String>) {
    match (written, there) {
        (Value::Null, _) => {}
        // No text is none given: a default may stand there.
        (Value::String(text), _) if text.is_empty() => {}
        (Value::Object(written), _) => {
            for (name, child) in written {
                missing(child, &there[name], &format!("{path}.{name}"), lost);
            }
        }
        (Value::Array(written), Value::Array(there)) if written.len() == there.len() => {
            for (index, child) in written.iter().enumerate() {
                missing(child, &there[index], &format!("{path}[{index}]"), lost);
            }
        }
        (written, there) if written == there => {}
        _ => lost.push(format!("{path} was {written} and is {there}")),
    }
}
