//! What a step of an instance looks at.

use std::collections::BTreeMap;
use std::fmt;

use api::names::phase;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;

/// Everything that matters for one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The instance.
    pub instance: Instance,
    /// Its launcher Pods, in the order of their names. More than one only while it moves.
    pub pods: Vec<Pod>,
    /// Why no node of this installation can run it; empty: some might.
    pub refusals: Vec<Refusal>,
    /// What stopped the last attempt to create the Pod, while that lasts.
    pub pod_refused: Option<String>,
    /// What keeps nodes from taking any machine, a sentence for each, while the instance waits for one.
    pub node_problems: Vec<String>,
    /// Version of the launcher that new Pods get.
    pub launcher_version: String,
}

/// Something in the specification that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Path of the field.
    pub field: String,
    /// What it holds, shortened.
    pub value: String,
    /// Why.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: {}", self.field, self.value, self.reason)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instance {
    /// Name.
    pub name: String,
    /// Identity.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// Since when it is being deleted.
    pub deleting_since: Option<Timestamp>,
    /// Its finalizers.
    pub finalizers: Vec<String>,
    /// Seconds that the guest gets to shut down.
    pub grace_seconds: u64,
    /// Whether it receives a machine of another cluster instead of starting one.
    pub receiver: bool,
    /// What this controller writes.
    pub facts: Facts,
}

impl Instance {
    /// Tells whether the instance has ended.
    pub fn is_final(&self) -> bool {
        matches!(self.facts.phase(), phase::SUCCEEDED | phase::FAILED)
    }

    /// Tells whether the node's agent has the instance.
    pub fn is_handed_over(&self) -> bool {
        matches!(self.facts.phase(), phase::SCHEDULED | phase::RUNNING | phase::UNKNOWN)
    }

    /// Tells whether no node has the instance yet, as far as its status says.
    pub fn waits_for_node(&self) -> bool {
        matches!(self.facts.phase(), "" | phase::PENDING | phase::SCHEDULING)
    }

    /// Tells whether the instance has not had a Pod yet and wants one. A receiver's Pod comes with its migration.
    pub fn awaits_pod(&self) -> bool {
        !self.receiver && matches!(self.facts.phase(), "" | phase::PENDING)
    }
}

/// The part of an instance that this controller writes, in the shape of the object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The one label and the annotations that it sets.
    pub metadata: Labels,
    /// Status.
    pub status: Status,
}

impl Facts {
    /// Returns the phase, or the empty string.
    pub fn phase(&self) -> &str {
        self.status.phase.as_deref().unwrap_or_default()
    }
}

/// Labels and annotations that this controller sets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Labels {
    /// Only `kubevirt.io/nodeName`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Only those of [`crate::version`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Status fields that this controller writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Why the phase is what it is, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Conditions, the agent's among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// When each phase began.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phase_transition_timestamps: Vec<PhaseTime>,
    /// Nodes of live Pods, by Pod identity.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub active_pods: BTreeMap<String, String>,
    /// Quality of service class of the Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos_class: Option<String>,
    /// User that the launcher runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_user: Option<u64>,
    /// Launcher that the Pod was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launcher_container_image_version: Option<String>,
}

/// When a phase began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PhaseTime {
    /// Phase.
    pub phase: String,
    /// Its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase_transition_timestamp: Option<Timestamp>,
}

/// A Pod's readiness gate, which keeps a machine that stands still from being sent requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The guest does not stand still.
    pub open: bool,
    /// Why it is open or closed.
    pub reason: String,
}

impl Gate {
    /// Tells whether people are told the same by both; for an open one nobody asks why.
    pub(super) fn says(&self, other: &Self) -> bool {
        self.open == other.open && (self.open || self.reason == other.reason)
    }
}

/// A launcher Pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// Name.
    pub name: String,
    /// Identity.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Node; empty before it has one.
    pub node: String,
    /// Phase.
    pub phase: PodPhase,
    /// The launcher's container runs. Whether it is ready is the guest's affair: it may have a probe.
    pub launcher_runs: bool,
    /// `PodScheduled` and `Ready`.
    pub conditions: Vec<Condition>,
    /// Why its kubelet ends it: its liveness probe failed.
    pub not_alive: Option<String>,
    /// What its gate says, if it says anything.
    pub gate: Option<Gate>,
    /// A container that waits for something that may not come.
    pub waiting: Option<Waiting>,
    /// How it ended, in words.
    pub ended: Option<String>,
    /// Whether it was killed: then nobody in it could say how the machine ended.
    pub killed: bool,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Quality of service class.
    pub qos_class: Option<String>,
}

impl Pod {
    /// Tells whether something of it may still run.
    pub fn is_live(&self) -> bool {
        !matches!(self.phase, PodPhase::Succeeded | PodPhase::Failed)
    }
}

/// Phase of a Pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodPhase {
    /// Not all containers have started.
    #[default]
    Pending,
    /// Containers run.
    Running,
    /// All ended well.
    Succeeded,
    /// Some did not.
    Failed,
    /// Nobody knows.
    Unknown,
}

impl PodPhase {
    /// Reads the API's word.
    pub fn from_word(word: &str) -> Self {
        match word {
            "Running" => Self::Running,
            "Succeeded" => Self::Succeeded,
            "Failed" => Self::Failed,
            "Unknown" => Self::Unknown,
            _ => Self::Pending,
        }
    }
}

/// What a container waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// One word, such as `ImagePullBackOff`.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instance = &self.instance;
        let phase = if instance.facts.phase().is_empty() { "no phase" } else { instance.facts.phase() };
        write!(f, "instance {}: {phase}", instance.name)?;
        if instance.deleting_since.is_some() {
            write!(f, ", being deleted")?;
        }
        for condition in &instance.facts.status.conditions {
            write!(f, "\n  {condition}")?;
        }
        for refusal in &self.refusals {
            write!(f, "\n  cannot be had: {refusal}")?;
        }
        if let Some(refused) = &self.pod_refused {
            write!(f, "\n  the Pod was refused: {refused}")?;
        }
        for problem in &self.node_problems {
            write!(f, "\n{problem}")?;
        }
        if self.pods.is_empty() {
            write!(f, "\nno Pod")?;
        }
        for pod in &self.pods {
            write!(f, "\nPod {}: {:?}", pod.name, pod.phase)?;
            if !pod.node.is_empty() {
                write!(f, " on {}", pod.node)?;
            }
            if pod.launcher_runs {
                write!(f, ", launcher runs")?;
            }
            if pod.deleting {
                write!(f, ", being deleted")?;
            }
            if let Some(why) = &pod.not_alive {
                write!(f, ", not alive: {why}")?;
            }
            if let Some(waiting) = &pod.waiting {
                write!(f, ", waits: {}: {}", waiting.reason, waiting.message)?;
            }
            if let Some(ended) = &pod.ended {
                write!(f, ", ended: {ended}")?;
            }
            for condition in &pod.conditions {
                write!(f, "\n  {condition}")?;
            }
        }
        Ok(())
    }
}
