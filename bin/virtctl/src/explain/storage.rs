//! The claims and DataVolumes behind a machine's disks.

use super::Verdict;
use super::facts::{Facts, list, text};

/// A claim or DataVolume that a volume names does not exist.
pub(super) fn missing(facts: &Facts) -> Option<Verdict> {
    if facts.has_ended() {
        return None;
    }
    let named = |objects: &[serde_json::Value], name: &str| {
        objects.iter().any(|object| text(object, "/metadata/name") == name)
    };
    let unread = |kind: &str| facts.unread.iter().any(|what| what.starts_with(kind));
    if let Some(told) =
        facts.condition("Synchronized", "False").filter(|told| told.reason() == "FailedPvcNotFound")
    {
        let gone = facts.storage().into_iter().find(|(_, name)| told.message().contains(name.as_str()));
        let (kind, name) = gone.unwrap_or_else(|| ("PersistentVolumeClaim", "of a volume".to_owned()));
        let cause = super::facts::said("condition Synchronized of the VirtualMachineInstance", told);
        return Some(gone_missing(facts, kind, &name).because(cause));
    }
    if running(facts) {
        return None;
    }
    facts.storage().into_iter().find_map(|(kind, name)| {
        let made_here = list(&facts.machine, "/spec/dataVolumeTemplates")
            .any(|template| text(template, "/metadata/name") == name);
        let found = named(&facts.claims, &name) || named(&facts.data_volumes, &name);
        let known = !unread(&format!("{kind} {name}"));
        (!found && !made_here && known)
            .then(|| gone_missing(facts, kind, &name).because(format!("{}.volumes names it", facts.prefix())))
    })
}

fn gone_missing(facts: &Facts, kind: &str, name: &str) -> Verdict {
    let field = if kind == "DataVolume" { "dataVolume.name" } else { "persistentVolumeClaim.claimName" };
    Verdict::stuck(format!("the {kind} {name} does not exist in its namespace"))
        .so(format!("Create it, or name another in {}.volumes[].{field}", facts.prefix()))
}

fn running(facts: &Facts) -> bool {
    matches!(facts.phase(), "Running" | "Scheduled")
}

/// A volume is not filled or not bound yet.
pub(super) fn filling(facts: &Facts) -> Option<Verdict> {
    if running(facts) || facts.has_ended() {
        return None;
    }
    facts
        .data_volumes
        .iter()
        .find_map(|data| filling_one(facts, data))
        .or_else(|| facts.claims.iter().find_map(|claim| unbound(facts, claim)))
}

/// Phases of a DataVolume that need nothing more.
const FILLED: [&str; 3] = ["Succeeded", "WaitForFirstConsumer", "PendingPopulation"];

fn filling_one(facts: &Facts, data: &serde_json::Value) -> Option<Verdict> {
    let (name, phase) = (text(data, "/metadata/name"), text(data, "/status/phase"));
    if FILLED.contains(&phase) {
        return None;
    }
    let told = ["Running", "Bound", "Ready"].into_iter().find_map(|kind| {
        let condition = super::facts::condition(data, kind, "False")?;
        (!condition.message().is_empty()).then_some(condition)
    });
    let event = facts
        .events
        .iter()
        .filter(|event| event["type"] == "Warning" && event["involvedObject"]["name"] == *name);
    let event = event.max_by_key(|event| super::facts::when(event));
    if phase.is_empty() && told.is_none() && event.is_none() {
        return Some(
            Verdict::stuck(format!("its volume {name} is not being filled"))
                .because(format!("no status: nothing on the server has looked at DataVolume {name}"))
                .so("Use a containerDisk, or a claim that a Pod of yours has filled; where CDI is installed, look at its Pods"),
        );
    }
    let cause = match (told, event) {
        (Some(told), _) => super::facts::said(&format!("DataVolume {name}"), told),
        (None, Some(event)) => {
            format!("{}: {} (Event of {name})", text(event, "/reason"), text(event, "/message"))
        }
        (None, None) => {
            format!("phase {} (DataVolume {name})", if phase.is_empty() { "unknown" } else { phase })
        }
    };
    let restarts = data["status"]["restartCount"].as_i64().unwrap_or(0);
    if phase == "Failed" || restarts > 2 || told.is_some_and(|told| told.reason() == "Error") {
        return Some(
            Verdict::stuck(format!("its volume {name} cannot be filled"))
                .because(cause)
                .so(format!("Correct the source of DataVolume {name}, delete it, and let it be made anew: kubectl describe dv {name}")),
        );
    }
    let progress = match text(data, "/status/progress") {
        "" | "N/A" => String::new(),
        progress => format!(" ({progress})"),
    };
    Some(
        Verdict::new("waits for its disk", format!("its volume {name} is being filled{progress}"))
            .because(cause)
            .so(format!("Wait, or watch it: kubectl get dv {name} --watch")),
    )
}

fn unbound(facts: &Facts, claim: &serde_json::Value) -> Option<Verdict> {
    let (name, phase) = (text(claim, "/metadata/name"), text(claim, "/status/phase"));
    if phase == "Lost" {
        return Some(
            Verdict::stuck(format!("the volume behind its claim {name} is gone"))
                .because(format!("phase Lost (PersistentVolumeClaim {name})"))
                .so("Restore the PersistentVolume, or delete the claim and restore its data into a new one"),
        );
    }
    if phase != "Pending" {
        return None;
    }
    let class = text(claim, "/spec/storageClassName");
    let of_claim = |event: &&serde_json::Value| {
        event["involvedObject"]["kind"] == "PersistentVolumeClaim" && event["involvedObject"]["name"] == *name
    };
    let newest = facts.events.iter().filter(of_claim).max_by_key(|event| super::facts::when(event));
    let (reason, message) =
        newest.map_or(("", ""), |event| (text(event, "/reason"), text(event, "/message")));
    let cause = match reason {
        "" => format!("phase Pending (PersistentVolumeClaim {name})"),
        reason => format!("{reason}: {message} (Event of PersistentVolumeClaim {name})"),
    };
    let stuck = |why: String, next: String| Some(Verdict::stuck(why).because(cause.clone()).so(next));
    match reason {
        "ExternalProvisioning" | "Provisioning" if old(facts, claim) => stuck(
            format!("its claim {name} has no volume yet"),
            format!("Look at what provides volumes of this class: kubectl describe pvc {name}"),
        ),
        // It is bound when the machine is placed, or is being made; the Pod says what keeps it.
        _ if reason.is_empty() || newest.is_some_and(|event| event["type"] == "Normal") => None,
        "ProvisioningFailed" if message.contains("storageclass") && message.contains("not found") => stuck(
            format!("its claim {name} asks for the class {class}, which does not exist"),
            format!(
                "Create the StorageClass {class}, or make the claim anew with one of: kubectl get storageclass"
            ),
        ),
        "ProvisioningFailed" | "VolumeMismatch" => stuck(
            format!("no volume can be made for its claim {name}"),
            format!("Make the claim {name} anew with what the cause says can be had, or mend the storage"),
        ),
        "FailedBinding" => stuck(
            format!("no volume fits its claim {name}"),
            format!(
                "Create a PersistentVolume that fits, or make the claim {name} anew with a StorageClass: kubectl get storageclass"
            ),
        ),
        _ => stuck(
            format!("its claim {name} has no volume yet"),
            format!("Look at what provides volumes of this class: kubectl describe pvc {name}"),
        ),
    }
}

/// Whether a claim has waited for longer than a volume takes to be made.
fn old(facts: &Facts, claim: &serde_json::Value) -> bool {
    const MAKING: i64 = 120;
    let made = super::facts::time(claim, "/metadata/creationTimestamp");
    made.is_some_and(|made| super::life::seconds(made, facts.now) > MAKING)
}
