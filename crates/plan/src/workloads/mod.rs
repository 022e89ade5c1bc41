//! Workloads that Kubernetes' own controllers would make Pods for. Nothing here does, and each says so: in the words that
//! its kind has for a failure, and in the condition `Stalled`, which tools that wait for any kind understand.
//!
//! A workload that wants no Pod is as it should be and says that.

mod verdict;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition::{self, Condition};
use crate::{Notice, Plan, patch};

/// Why: the reason of conditions and Events.
pub const REASON: &str = "NotCarriedOut";
/// The condition by which tools that know no kind see that one will not come to its end
/// (the conventions of kstatus, <https://github.com/kubernetes-sigs/cli-utils>).
pub const STALLED: &str = "Stalled";
/// The value of a Job's `spec.managedBy` that means Kubernetes' own controller.
const JOB_CONTROLLER: &str = "kubernetes.io/job-controller";

/// A kind whose objects stand for Pods that somebody else makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Jobs at times; its status has no conditions.
    CronJob,
    /// A Pod on each node.
    DaemonSet,
    /// ReplicaSets that follow one another.
    Deployment,
    /// Pods that come to an end.
    Job,
    /// A number of Pods.
    ReplicaSet,
    /// A number of Pods, from before there were ReplicaSets.
    ReplicationController,
    /// A number of Pods with names of their own.
    StatefulSet,
}

/// A workload as it is.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Counts changes of its spec.
    pub generation: i64,
    /// What it asks for.
    pub spec: Spec,
    /// What it says.
    pub status: Status,
}

/// The part of all these specs that counts here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// How many Pods; one if it is not said.
    pub replicas: Option<i64>,
    /// How many Pods of a Job at a time; one if it is not said.
    pub parallelism: Option<i64>,
    /// Whether a Job or CronJob rests.
    pub suspend: bool,
    /// Whose a Job is.
    pub managed_by: Option<String>,
}

/// The part of all these statuses that is written here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The generation that the rest is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many Pods there are, where the kind requires to say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// How many Pods of a Deployment are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable_replicas: Option<i64>,
    /// When a Job was first looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// Conditions; those of others are kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One thing to do for a workload.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write the status.
    Report(Value),
    /// Tell what happened.
    Tell(Notice),
}

/// Decides what a workload says.
pub fn step(observed: &Observed, now: Timestamp) -> Plan<Action> {
    let mut plan = Plan::nothing();
    if observed.deleting || is_over(observed) || is_of_others(observed) {
        return plan;
    }
    let status = verdict::of(observed, now);
    if let Some(change) = patch::between(&observed.status, &status) {
        plan.push(Action::Report(change));
    }
    let stalls = |status: &Status| condition::is_true(&status.conditions, STALLED);
    let is_news = match observed.kind {
        // There is no status to remember it by: each change, and each start of the controller, tells it again.
        Kind::CronJob => !observed.spec.suspend,
        _ => stalls(&status) && !stalls(&observed.status),
    };
    if is_news {
        plan.push(Action::Tell(Notice::warning(REASON, verdict::message(observed.kind))));
    }
    plan
}

fn is_over(observed: &Observed) -> bool {
    let ended = |kind| condition::is_true(&observed.status.conditions, kind);
    observed.kind == Kind::Job && (ended("Complete") || ended("Failed"))
}

fn is_of_others(observed: &Observed) -> bool {
    let manager = observed.spec.managed_by.as_deref();
    observed.kind == Kind::Job && manager.is_some_and(|manager| manager != JOB_CONTROLLER)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report(change) => {
                f.write_str("write the status")?;
                patch::lines(change, f)
            }
            Self::Tell(notice) => notice.fmt(f),
        }
    }
}
