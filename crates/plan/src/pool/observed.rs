//! What a pool's controller looks at.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use machinery::selector::LabelSelector;

use super::revision::Revisions;
use super::strategy::{Healing, Limit, ScaleIn, Update};
use crate::replicas::{Status, Trouble};

/// A pool and its machines.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The pool.
    pub pool: Pool,
    /// The machines that it controls.
    pub members: Vec<Member>,
    /// Names that other machines of the namespace have, as far as the pool might want them.
    pub taken: BTreeSet<String>,
    /// What its machines were made from.
    pub revisions: Arc<Revisions>,
    /// What was refused last.
    pub trouble: Option<Trouble>,
}

/// A pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Name, with which those of its machines begin.
    pub name: String,
    /// Identity.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// Counts changes of the specification.
    pub generation: i64,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// How many machines there should be.
    pub wanted: usize,
    /// Whether machines are neither made, removed nor changed.
    pub paused: bool,
    /// What selects its machines.
    pub selector: LabelSelector,
    /// Whether it selects what is made from the template: else it would make one after the other.
    pub fits: bool,
    /// How many machines may be away at once while the pool changes them.
    pub may_be_away: Limit,
    /// How machines go.
    pub scale_in: ScaleIn,
    /// How a changed template reaches machines.
    pub update: Update,
    /// When machines that do not start are replaced, if ever.
    pub healing: Option<Healing>,
    /// The status as it is.
    pub status: Status,
}

/// A machine that a pool controls.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Name.
    pub name: String,
    /// Identity.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether the pool selects it.
    pub selected: bool,
    /// Whether the pool's policy for scaling in lets it go.
    pub may_go: bool,
    /// Whether the pool's policy for updates lets it change.
    pub may_change: bool,
    /// The revision that it was made from.
    pub revision: Option<String>,
    /// Whether it says that it is ready.
    pub ready: bool,
    /// Whether it has no instance that runs, and is to have none.
    pub rests: bool,
    /// Whether it is to have no instance, or to wait for one from elsewhere: nothing restarts it.
    pub halted: bool,
    /// Whether somebody asked it to start or stop, and it has not done so yet.
    pub asked: bool,
    /// How many starts in a row failed.
    pub failures: u32,
    /// Since when it has been in a state that only a replacement gets it out of.
    pub failing_since: Option<Timestamp>,
    /// Its instance.
    pub instance: Option<Instance>,
}

/// The instance of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Identity.
    pub uid: String,
    /// The revision that its machine was made from at the time.
    pub revision: Option<String>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it has ended.
    pub ended: bool,
    /// Whether it runs and is ready.
    pub ready: bool,
}

impl Member {
    /// Returns its number: what its name ends with after a dash.
    pub fn index(&self) -> Option<usize> {
        self.name.rsplit_once('-')?.1.parse().ok()
    }

    /// Tells whether it is there for whoever uses the pool.
    pub fn is_available(&self) -> bool {
        let ready = |instance: &Instance| instance.ready && !instance.deleting && !instance.ended;
        !self.deleting && !self.asked && self.instance.as_ref().is_some_and(ready)
    }

    /// Tells whether it is away although it should not be.
    pub fn is_away(&self) -> bool {
        !self.is_available() && !self.rests
    }
}
