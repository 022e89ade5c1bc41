//! Owner references: what goes when its owner goes.
//!
//! | deleted how | what happens |
//! |---|---|
//! | in the background | the owner goes; objects none of whose owners exists any more follow |
//! | in the foreground | the owner waits (finalizer `foregroundDeletion`) until the objects that block it are gone |
//! | with orphans | the owner waits (finalizer `orphan`) until nothing refers to it any more |

use std::fmt;

/// Finalizer of an owner that goes after what it owns.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an owner whose objects stay.
pub const ORPHAN: &str = "orphan";

/// An object and what surrounds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it waits for what it owns.
    pub foreground: bool,
    /// Whether it waits for its references to be dropped.
    pub orphan: bool,
    /// Its owners, and what is known of them.
    pub owners: Vec<Owner>,
    /// What refers to it.
    pub dependents: Vec<Dependent>,
}

/// An owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Identity.
    pub uid: String,
    /// What is known of it.
    pub state: OwnerState,
}

/// What is known of an owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnerState {
    /// It exists.
    #[default]
    Present,
    /// It waits in the foreground for what it owns.
    WaitsForOwned,
    /// The server was asked and does not have it (or has another of its name).
    Absent,
}

/// Something that refers to an object as its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependent {
    /// Name for people.
    pub name: String,
    /// Identity.
    pub uid: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether the owner may not go before it.
    pub blocks: bool,
}

/// How to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// What it owns follows.
    Background,
    /// What it owns goes first.
    Foreground,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Delete the object.
    Delete(Manner),
    /// Drop references to owners that are gone, while others remain.
    DropOwners(Vec<String>),
    /// Have a dependent drop its reference to the object.
    Release {
        /// Identity of the dependent.
        uid: String,
    },
    /// Take this finalizer off the object.
    RemoveFinalizer(&'static str),
}

/// Decides what an object needs now.
pub fn step(observed: &Observed) -> Vec<Action> {
    let mut actions = Vec::new();
    if observed.deleting {
        end(observed, &mut actions);
        return actions;
    }
    let gone = |owner: &&Owner| owner.state == OwnerState::Absent;
    let absent = observed.owners.iter().filter(gone).count();
    let waiting = observed.owners.iter().filter(|owner| owner.state == OwnerState::WaitsForOwned).count();
    let present = observed.owners.len() - absent - waiting;
    if observed.owners.is_empty() || (absent == 0 && waiting == 0) {
        return actions;
    }
    if present > 0 {
        let lost = observed.owners.iter().filter(|owner| owner.state != OwnerState::Present);
        actions.push(Action::DropOwners(lost.map(|owner| owner.uid.clone()).collect()));
    } else if waiting > 0 && observed.dependents.iter().any(|dependent| dependent.blocks) {
        actions.push(Action::Delete(Manner::Foreground));
    } else {
        actions.push(Action::Delete(Manner::Background));
    }
    actions
}

/// An object that is being deleted and waits for us.
fn end(observed: &Observed, actions: &mut Vec<Action>) {
    if observed.orphan {
        actions.extend(observed.dependents.iter().map(|d| Action::Release { uid: d.uid.clone() }));
        if observed.dependents.is_empty() {
            actions.push(Action::RemoveFinalizer(ORPHAN));
        }
    } else if observed.foreground && !observed.dependents.iter().any(|dependent| dependent.blocks) {
        actions.push(Action::RemoveFinalizer(FOREGROUND));
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete(Manner::Background) => f.write_str("delete it, what it owns follows"),
            Self::Delete(Manner::Foreground) => f.write_str("delete it, what it owns first"),
            Self::DropOwners(owners) => write!(f, "drop its references to {}", owners.join(", ")),
            Self::Release { uid } => write!(f, "have {uid} drop its reference"),
            Self::RemoveFinalizer(name) => write!(f, "remove finalizer {name}"),
        }
    }
}
