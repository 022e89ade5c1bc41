//! Migrations, as far as their status goes: machines do not move while they run yet. A migration waits, and says so; it fails
//! when its instance ends, and holds nothing when it is deleted.

use std::fmt;

use api::names::{finalizer, migration_phase, phase};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::condition::Condition;
use crate::{Notice, Plan, time};

/// Reason of Events of migrations that came to nothing.
pub const FAILED: &str = "FailedMigration";
/// Type and reason of the condition of a migration that waits for what is not offered.
const PROGRESSING: &str = "Progressing";
const NOT_OFFERED: &str = "NotOffered";

/// A migration as this controller sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// When this is.
    pub now: Timestamp,
    /// Name of the instance that shall move.
    pub instance_name: String,
    /// Phase of that instance, if it exists.
    pub instance: Option<String>,
    /// Whether the machine arrives from another cluster: its instance may come later.
    pub receives: bool,
    /// The migration's own state.
    pub migration: Migration,
}

/// The state of a migration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Migration {
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Finalizers.
    pub finalizers: Vec<String>,
    /// What its status says.
    pub status: Status,
}

/// The part of the status that this controller reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Phase; empty for a new migration.
    pub phase: String,
    /// When each phase began.
    pub phase_transition_timestamps: Vec<Value>,
}

/// One thing to do for a migration.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Change its status by a merge patch.
    ChangeStatus(Value),
    /// Let it go, by a merge patch.
    Release(Value),
    /// Tell what happened.
    Tell(Notice),
}

/// Decides what a migration needs now.
pub fn step(observed: &Observed) -> Plan<Action> {
    let mut plan = Plan::nothing();
    let migration = &observed.migration;
    let ended = [migration_phase::SUCCEEDED, migration_phase::FAILED].contains(&&*migration.status.phase);
    let held = migration.finalizers.iter().any(|own| own == finalizer::MIGRATION);
    if migration.deleting || ended {
        // Nothing of it is anywhere: no second Pod was made.
        if held {
            let kept = migration.finalizers.iter().filter(|own| *own != finalizer::MIGRATION);
            let kept: Vec<&String> = kept.collect();
            plan.push(Action::Release(json!({"metadata": {"finalizers": kept}})));
        }
        return plan;
    }
    let name = &observed.instance_name;
    let why = match observed.instance.as_deref() {
        None if observed.receives => None,
        None => Some(format!("There is no instance {name} to move")),
        Some(phase @ (phase::SUCCEEDED | phase::FAILED)) => {
            Some(format!("The instance {name} has ended ({phase})"))
        }
        Some(_) => None,
    };
    if let Some(why) = why {
        plan.push(Action::ChangeStatus(entered(observed, migration_phase::FAILED, &[])));
        plan.push(Action::Tell(Notice::warning(FAILED, why)));
    } else if migration.status.phase.is_empty() {
        let message = format!(
            "Machines do not move while they run yet: {name} stays where it is. Delete this migration; to have the machine \
             start elsewhere, stop and start it"
        );
        let mut waits = Condition::new(PROGRESSING, false, NOT_OFFERED, message);
        waits.last_transition_time = Some(time::stamp(observed.now));
        plan.push(Action::ChangeStatus(entered(observed, migration_phase::PENDING, &[waits])));
    }
    plan
}

/// Returns the patch for a phase that begins now.
fn entered(observed: &Observed, phase: &str, conditions: &[Condition]) -> Value {
    let mut times = observed.migration.status.phase_transition_timestamps.clone();
    times.push(json!({"phase": phase, "phaseTransitionTimestamp": time::stamp(observed.now)}));
    let mut status = json!({"phase": phase, "phaseTransitionTimestamps": times});
    if !conditions.is_empty() {
        status["conditions"] = json!(conditions);
    }
    json!({"status": status})
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChangeStatus(patch) => {
                f.write_str("change the status")?;
                crate::patch::lines(patch, f)
            }
            Self::Release(patch) => {
                f.write_str("let the migration go")?;
                crate::patch::lines(patch, f)
            }
            Self::Tell(notice) => notice.fmt(f),
        }
    }
}
