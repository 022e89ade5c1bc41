//! What each kind says of itself.

use jiff::Timestamp;

use super::{Kind, Observed, REASON, STALLED, Status};
use crate::condition::{self, Condition};

/// Returns why nothing happens, and what to do instead.
pub(super) fn message(kind: Kind) -> String {
    let made = if kind == Kind::CronJob { "Jobs" } else { "Pods" };
    format!(
        "ironclad: nothing in this installation makes {made} for a {kind}; run the work in a VirtualMachine, or in \
         Pods that you create yourself"
    )
}

/// Returns the status as it should be.
pub(super) fn of(observed: &Observed, now: Timestamp) -> Status {
    let mut status = observed.status.clone();
    let wanted = wanted(observed);
    match observed.kind {
        Kind::CronJob => return status,
        // No generation: what is not counted on nodes is not observed, and `kubectl rollout status` waits.
        Kind::DaemonSet => {}
        Kind::Job => {
            if !observed.spec.suspend && wanted > 0 && status.start_time.is_none() {
                status.start_time = Some(crate::time::stamp(now));
            }
        }
        Kind::Deployment => {
            status.observed_generation = Some(observed.generation);
            status.unavailable_replicas = (wanted > 0).then_some(wanted);
        }
        Kind::ReplicaSet | Kind::ReplicationController | Kind::StatefulSet => {
            status.observed_generation = Some(observed.generation);
            status.replicas = status.replicas.or(Some(0));
        }
    }
    let stalled = Condition::new(STALLED, true, REASON, message(observed.kind));
    let said = if wanted > 0 { stalls(observed, &stalled) } else { rests(observed) };
    let spoken = |kind: &str| said.iter().any(|condition| condition.kind == kind);
    for word in [STALLED, "ReplicaFailure"].into_iter().filter(|word| !spoken(word)) {
        condition::remove(&mut status.conditions, word);
    }
    for condition in said {
        condition::set(&mut status.conditions, condition, now);
    }
    status
}

/// How many Pods there should be at once.
fn wanted(observed: &Observed) -> i64 {
    let spec = &observed.spec;
    match observed.kind {
        Kind::CronJob => 0,
        Kind::DaemonSet => 1,
        Kind::Job if spec.suspend => 0,
        Kind::Job => spec.parallelism.unwrap_or(1),
        Kind::Deployment | Kind::ReplicaSet | Kind::ReplicationController | Kind::StatefulSet => {
            spec.replicas.unwrap_or(1)
        }
    }
}

/// What a workload says that waits for Pods which do not come.
fn stalls(observed: &Observed, stalled: &Condition) -> Vec<Condition> {
    let why =
        |kind: &str, status: bool, reason: &str| Condition::new(kind, status, reason, stalled.message());
    let own = match observed.kind {
        Kind::Deployment => vec![
            Condition::new(
                "Available",
                false,
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            ),
            // The reason by which `kubectl rollout status` and others know that waiting is in vain.
            why("Progressing", false, "ProgressDeadlineExceeded"),
        ],
        Kind::ReplicaSet | Kind::ReplicationController => vec![why("ReplicaFailure", true, REASON)],
        // It has been decided, and it has happened: Kubernetes wants both of a Job that failed.
        Kind::Job => {
            let mut own = resumed(observed);
            own.extend([why("FailureTarget", true, REASON), why("Failed", true, REASON)]);
            own
        }
        Kind::CronJob | Kind::DaemonSet | Kind::StatefulSet => Vec::new(),
    };
    own.into_iter().chain([stalled.clone()]).collect()
}

/// What a workload says that wants no Pods.
fn rests(observed: &Observed) -> Vec<Condition> {
    match observed.kind {
        Kind::Deployment => vec![
            Condition::new(
                "Available",
                true,
                "MinimumReplicasAvailable",
                "Deployment has minimum availability.",
            ),
            Condition::new(
                "Progressing",
                true,
                "NewReplicaSetAvailable",
                format!("Deployment {:?} has successfully progressed.", observed.name),
            ),
        ],
        Kind::Job if observed.spec.suspend => {
            vec![Condition::new("Suspended", true, "JobSuspended", "Job suspended")]
        }
        Kind::Job => resumed(observed),
        _ => Vec::new(),
    }
}

/// A Job that rested says that it no longer does.
fn resumed(observed: &Observed) -> Vec<Condition> {
    let rested = condition::find(&observed.status.conditions, "Suspended").is_some();
    let resumed = rested.then(|| Condition::new("Suspended", false, "JobResumed", "Job resumed"));
    resumed.into_iter().collect()
}
