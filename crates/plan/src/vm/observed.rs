//! What a step of a machine looks at.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Rollout;
use super::named::{Named, Policy};
use crate::condition::Condition;

/// Everything that matters for one machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The machine.
    pub vm: Vm,
    /// The instance of the machine's name, whoever owns it.
    pub instance: Option<Instance>,
    /// How the template, if it changed since the instance was made, reaches it.
    pub rollout: Rollout,
    /// Why the last attempt to create or delete the instance was refused, while that lasts.
    pub trouble: Option<Trouble>,
}

impl Observed {
    /// Returns the instance if the machine owns it.
    pub fn owned_instance(&self) -> Option<&Instance> {
        self.instance.as_ref().filter(|instance| instance.owner == Ownership::Ours)
    }
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vm {
    /// Name.
    pub name: String,
    /// Identity.
    pub uid: String,
    /// Counts changes of the specification.
    pub generation: i64,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its finalizers.
    pub finalizers: Vec<String>,
    /// Whether its annotations say which version of the API observed it.
    pub marked: bool,
    /// Where the devices of its instances stand, as its annotation says.
    pub places: Option<String>,
    /// `spec.runStrategy`, or what `spec.running` means.
    pub strategy: RunStrategy,
    /// Whether it is `spec.running` that says so.
    pub by_running: bool,
    /// Strategy that a receiver gets once its state has arrived, as its annotation says.
    pub restore: Option<RunStrategy>,
    /// Whether a claim that its template names has no volume yet.
    pub unbound_claims: bool,
    /// The instance type that it names.
    pub instancetype: Option<Named>,
    /// The preference that it names.
    pub preference: Option<Named>,
    /// What the installation does with names.
    pub policy: Policy,
    /// The status as it is.
    pub status: Status,
}

impl Vm {
    /// Tells whether it names anything.
    pub fn has_names(&self) -> bool {
        [&self.instancetype, &self.preference].into_iter().flatten().any(Named::is_given)
    }

    /// Tells whether it names something that its status does not hold on to yet.
    pub fn has_unheld_names(&self) -> bool {
        let unheld = |named: &Option<Named>, held: &Option<Named>| {
            named.as_ref().is_some_and(|named| named.is_given() && !named.is_held(held.as_ref()))
        };
        unheld(&self.instancetype, &self.status.instancetype_ref)
            || unheld(&self.preference, &self.status.preference_ref)
    }

    /// Tells whether `finalizer` is set.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|known| known == finalizer)
    }
}

/// When an instance should be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunStrategy {
    /// Always; one that ended is replaced.
    Always,
    /// Never.
    #[default]
    Halted,
    /// On request.
    Manual,
    /// Always, but one that ended in order is not replaced.
    RerunOnFailure,
    /// Once; one that ended stays.
    Once,
    /// To receive a machine of another cluster.
    WaitAsReceiver,
}

impl RunStrategy {
    /// Reads the strategy from the two fields that may hold it.
    pub fn from_spec(strategy: Option<&str>, running: Option<bool>) -> Self {
        match strategy {
            Some("Always") => Self::Always,
            Some("Manual") => Self::Manual,
            Some("RerunOnFailure") => Self::RerunOnFailure,
            Some("Once") => Self::Once,
            Some("WaitAsReceiver") => Self::WaitAsReceiver,
            None if running == Some(true) => Self::Always,
            _ => Self::Halted,
        }
    }

    /// Tells whether an instance that failed is replaced without a request.
    pub fn recovers(self) -> bool {
        matches!(self, Self::Always | Self::RerunOnFailure)
    }

    /// Tells whether instances that never ran are counted as failures.
    pub fn counts_starts(self) -> bool {
        matches!(self, Self::Always | Self::RerunOnFailure | Self::Once)
    }

    /// Returns the API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::Halted => "Halted",
            Self::Manual => "Manual",
            Self::RerunOnFailure => "RerunOnFailure",
            Self::Once => "Once",
            Self::WaitAsReceiver => "WaitAsReceiver",
        }
    }
}

/// The part of a machine's status that this controller writes (requests: that it consumes).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// An instance exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<bool>,
    /// The guest is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// One word for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub printable_status: Option<String>,
    /// Own conditions and the instance's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Requests to start and stop, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub state_change_requests: Vec<StateChange>,
    /// Failures in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_failure: Option<StartFailure>,
    /// Generation that the instance was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Generation that the next instance will be made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_generation: Option<i64>,
    /// The instance type in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instancetype_ref: Option<Named>,
    /// The preference in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preference_ref: Option<Named>,
    /// Strategy that was last acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_strategy: Option<RunStrategy>,
}

/// A request to start or stop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StateChange {
    /// `Start` or `Stop`.
    pub action: String,
    /// Details; `paused: "true"` starts a machine that stands still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<std::collections::BTreeMap<String, String>>,
    /// The instance to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

impl StateChange {
    /// Creates a request to start.
    pub fn start() -> Self {
        Self { action: "Start".to_owned(), ..Self::default() }
    }

    /// Tells whether this asks for a start.
    pub fn is_start(&self) -> bool {
        self.action == "Start"
    }

    /// Tells whether this asks for the end of the instance `uid`.
    pub fn stops(&self, uid: &str) -> bool {
        self.action == "Stop" && self.uid.as_deref().is_none_or(|wanted| wanted == uid)
    }

    /// Tells whether the machine should stand still after the start.
    pub fn paused(&self) -> bool {
        self.data.as_ref().and_then(|data| data.get("paused")).is_some_and(|value| value == "true")
    }
}

/// Failures in a row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StartFailure {
    /// How many.
    pub consecutive_fail_count: i32,
    /// The instance that failed last.
    #[serde(rename = "lastFailedVMIUID", skip_serializing_if = "Option::is_none")]
    pub last_failed_vmi_uid: Option<String>,
    /// When the next start may be tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_timestamp: Option<Timestamp>,
}

/// Who controls an instance of a machine's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// The machine.
    Ours,
    /// Nobody: a machine of this name that is gone left it behind, or a person made it.
    #[default]
    Nobodys,
    /// Something else.
    Others,
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instance {
    /// Identity.
    pub uid: String,
    /// Who controls it.
    pub owner: Ownership,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Phase.
    pub phase: String,
    /// Why the phase is what it is, for people.
    pub why: String,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Generation of the machine that it was made from.
    pub generation: Option<i64>,
    /// Since when it has been running, if it is.
    pub running_since: Option<Timestamp>,
    /// Whether it ever ran.
    pub ran: bool,
    /// Whether it was made to receive a machine of another cluster.
    pub receiver: bool,
    /// Whether such a machine has arrived.
    pub received: bool,
    /// Whether it is moving to another node.
    pub migrating: bool,
    /// Where its devices stand, as its annotation says.
    pub places: Option<String>,
}

impl Instance {
    /// Tells whether the instance has ended, one way or the other.
    pub fn is_final(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Tells whether the instance ended badly.
    pub fn is_failed(&self) -> bool {
        self.phase == "Failed"
    }

    /// Tells whether its guest has not run yet, or never will.
    pub fn never_ran(&self) -> bool {
        !self.ran && self.running_since.is_none() && self.phase != "Running"
    }
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One word.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vm = &self.vm;
        write!(f, "machine {} generation {}, {}", vm.name, vm.generation, vm.strategy.as_str())?;
        if vm.deleting {
            write!(f, ", being deleted")?;
        }
        if let Some(status) = &vm.status.printable_status {
            write!(f, ", shown as {status}")?;
        }
        for request in &vm.status.state_change_requests {
            write!(f, "\n  request: {}", request.action)?;
            if let Some(uid) = &request.uid {
                write!(f, " {uid}")?;
            }
        }
        if let Some(failure) = &vm.status.start_failure {
            write!(f, "\n  failures in a row: {}", failure.consecutive_fail_count)?;
        }
        match &self.instance {
            None => write!(f, "\nno instance")?,
            Some(instance) => {
                let phase = if instance.phase.is_empty() { "no phase" } else { &instance.phase };
                write!(f, "\ninstance {}: {phase}", instance.uid)?;
                if !instance.why.is_empty() {
                    write!(f, " ({})", instance.why)?;
                }
                match instance.owner {
                    Ownership::Ours => {}
                    Ownership::Nobodys => write!(f, ", nobody's")?,
                    Ownership::Others => write!(f, ", not ours")?,
                }
                if instance.receiver {
                    write!(f, ", receives")?;
                }
                if instance.deleting {
                    write!(f, ", being deleted")?;
                }
                for condition in &instance.conditions {
                    write!(f, "\n  {condition}")?;
                }
            }
        }
        if let Some(trouble) = &self.trouble {
            write!(f, "\nrefused before: {}: {}", trouble.reason, trouble.message)?;
        }
        Ok(())
    }
}
