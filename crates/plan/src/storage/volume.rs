//! What a volume needs: its phase, and its end.

use std::fmt;

use super::{Claim, PROVISIONER, Volume};
use crate::Plan;

/// A volume and the claim that it names.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The volume.
    pub volume: Volume,
    /// The claim of the name that the volume names, whatever its identity.
    pub claim: Option<Claim>,
}

/// One thing to do for a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write the phase.
    Phase {
        /// The phase.
        phase: &'static str,
    },
    /// Delete it: its claim is gone, and it was made for that one alone.
    Delete,
    /// Let it go.
    RemoveProtection,
}

/// Decides what a volume needs now.
pub fn step(observed: &Observed) -> Plan<Action> {
    let mut plan = Plan::nothing();
    let volume = &observed.volume;
    let phase = phase(observed);
    if let Some(phase) = phase.filter(|phase| *phase != volume.phase) {
        plan.push(Action::Phase { phase });
        // What follows from it is decided when it is written.
        return plan;
    }
    if volume.deleting {
        if volume.is_protected() && volume.phase != "Bound" {
            plan.push(Action::RemoveProtection);
        }
        return plan;
    }
    let ours = volume.provisioned_by.as_deref() == Some(PROVISIONER);
    if ours && volume.phase == "Released" && volume.reclaim == "Delete" {
        plan.push(Action::Delete);
    }
    plan
}

/// The phase as it should be; nothing while a binding is under way.
fn phase(observed: &Observed) -> Option<&'static str> {
    let volume = &observed.volume;
    let Some(owner) = volume.claim.as_ref().filter(|owner| !owner.uid.is_empty()) else {
        return Some("Available");
    };
    match observed.claim.as_ref().filter(|claim| owner.is(claim)) {
        Some(claim) if claim.volume == volume.name => Some("Bound"),
        Some(_) => None,
        None => Some("Released"),
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phase { phase } => write!(f, "write {phase}"),
            Self::Delete => f.write_str("delete it"),
            Self::RemoveProtection => f.write_str("let it go"),
        }
    }
}
