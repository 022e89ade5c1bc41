//! What machines run on: nodes, storage, and how those of the namespace are.

use serde_json::Value;

use super::Finding;
use super::sight::Sight;

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object["status"]["conditions"].as_array().into_iter().flatten()
}

/// Whether there are nodes, whether they are ready, and whether they have KVM.
pub(super) fn nodes(sight: &Sight) -> Option<Finding> {
    let subject = "nodes";
    let nodes = sight.nodes.items()?;
    if nodes.is_empty() {
        return Some(Finding::bad(
            subject,
            "there is no node, so no machine can run",
            "start one: `ironclad up` without `--nodes 0`, or `ironclad node`",
        ));
    }
    let ready =
        |node: &&Value| conditions(node).any(|told| told["type"] == "Ready" && told["status"] == "True");
    let troubles: Vec<String> = nodes.iter().flat_map(troubles).collect();
    let count = nodes.iter().filter(ready).count();
    if count == 0 {
        return Some(Finding::bad(
            subject,
            format!("no node is ready: {}", troubles.join("; ")),
            "bring a node back: kubectl describe nodes",
        ));
    }
    if !troubles.is_empty() {
        return Some(Finding::limited(
            subject,
            format!("{count} of {} nodes are ready: {}", nodes.len(), troubles.join("; ")),
            "mend what is said: kubectl describe nodes; `ironclad doctor` on the node tells more",
        ));
    }
    let kvm = |node: &&Value| {
        let amount = text(node, "/status/allocatable/devices.kubevirt.io~1kvm");
        !matches!(amount, "" | "0")
    };
    if !nodes.iter().any(|node| kvm(&node)) {
        return Some(Finding::limited(
            subject,
            format!(
                "{count} ready, none with KVM: guests are emulated, several times slower, where that is allowed"
            ),
            "`ironclad doctor` on a node says what KVM lacks there",
        ));
    }
    Some(Finding::good(subject, format!("{count} ready, with KVM")))
}

/// What a node says is wrong with it.
fn troubles(node: &Value) -> Vec<String> {
    let wrong = conditions(node).filter(|told| {
        let kind = text(told, "/type");
        match kind {
            "Ready" | "HypervisorAvailable" => told["status"] != "True",
            _ => kind.ends_with("Pressure") && told["status"] == "True",
        }
    });
    let name = text(node, "/metadata/name");
    wrong
        .map(|told| match text(told, "/message") {
            "" => format!("{name}: {}={}", text(told, "/type"), text(told, "/status")),
            message => format!("{name}: {message}"),
        })
        .collect()
}

/// Whether claims that name no class get a volume.
pub(super) fn storage(sight: &Sight) -> Option<Finding> {
    let subject = "storage";
    let classes = sight.classes.items()?;
    let default = classes.iter().find(|class| {
        text(class, "/metadata/annotations/storageclass.kubernetes.io~1is-default-class") == "true"
    });
    let names: Vec<_> = classes.iter().map(|class| text(class, "/metadata/name")).collect();
    Some(match default {
        Some(class) => {
            Finding::good(subject, format!("class {} is the default", text(class, "/metadata/name")))
        }
        None if names.is_empty() => Finding::limited(
            subject,
            "there is no StorageClass, so claims get only volumes that somebody made for them",
            "have a StorageClass made; container disks work without",
        ),
        None => Finding::limited(
            subject,
            format!("there is no default StorageClass; there are: {}", names.join(", ")),
            "name one of them in each claim (spec.storageClassName), or have one made the default",
        ),
    })
}

/// Words for machines that nobody has to look after.
const CALM: [&str; 10] = [
    "Running",
    "Stopped",
    "Starting",
    "Stopping",
    "Terminating",
    "Migrating",
    "Provisioning",
    "WaitingForVolumeBinding",
    "Paused",
    "WaitingForReceiver",
];

/// How the machines of the namespace are.
pub(super) fn machines(sight: &Sight) -> Finding {
    let subject = "machines";
    let namespace = &sight.namespace;
    let Some(machines) = sight.machines.items() else {
        return Finding::good(subject, format!("those in namespace {namespace} may not be listed"));
    };
    let troubled: Vec<_> = machines
        .iter()
        .map(|machine| (text(machine, "/metadata/name"), text(machine, "/status/printableStatus")))
        .filter(|(_, status)| !status.is_empty() && !CALM.contains(status))
        .collect();
    let Some((first, _)) = troubled.first() else {
        return Finding::good(
            subject,
            format!("{} in namespace {namespace}, none in trouble", machines.len()),
        );
    };
    let named: Vec<_> = troubled.iter().take(10).map(|(name, status)| format!("{name} ({status})")).collect();
    Finding::limited(
        subject,
        format!(
            "{} of {} in namespace {namespace} are in trouble: {}",
            troubled.len(),
            machines.len(),
            named.join(", ")
        ),
        format!("virtctl explain-status {first} says why and what to do"),
    )
}
