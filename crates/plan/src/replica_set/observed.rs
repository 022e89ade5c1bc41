//! What a replica set's controller looks at.

use std::collections::BTreeSet;

use api::names::phase;
use jiff::Timestamp;
use machinery::selector::LabelSelector;

use crate::replicas::{Status, Trouble};

/// A set and the instances that may be its own.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The set.
    pub set: Set,
    /// Its instances, and those that nobody controls.
    pub members: Vec<Member>,
    /// Names that instances of the namespace have.
    pub taken: BTreeSet<String>,
    /// What was refused last.
    pub trouble: Option<Trouble>,
}

/// A replica set.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// Name.
    pub name: String,
    /// Identity.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// Counts changes of the specification.
    pub generation: i64,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether its annotations say which version of the API observed it.
    pub marked: bool,
    /// How many instances there should be.
    pub wanted: usize,
    /// Whether instances are neither made nor removed.
    pub paused: bool,
    /// What selects its instances.
    pub selector: LabelSelector,
    /// Whether it selects what is made from the template: else it would make one after the other.
    pub fits: bool,
    /// What the names of its instances begin with.
    pub base: String,
    /// The status as it is.
    pub status: Status,
}

/// An instance that is a set's own, or that nobody controls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name.
    pub name: String,
    /// Identity.
    pub uid: String,
    /// Whether the set controls it; else nobody does.
    pub ours: bool,
    /// Whether the set selects it.
    pub selected: bool,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its phase; empty before the first one.
    pub phase: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether its Pod is being deleted.
    pub losing_pod: bool,
}

impl Observed {
    /// Returns the instances that count.
    pub fn active(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.ours && member.is_active())
    }
}

impl Member {
    /// Tells whether it has ended.
    pub fn is_final(&self) -> bool {
        matches!(self.phase.as_str(), phase::SUCCEEDED | phase::FAILED)
    }

    /// Tells whether it is there to stay.
    pub fn is_active(&self) -> bool {
        !self.deleting && !self.is_final() && !self.losing_pod
    }

    /// Returns how far it has come: what has come least far is missed least.
    pub(super) fn standing(&self) -> u8 {
        match self.phase.as_str() {
            "" | phase::PENDING | phase::SCHEDULING => 0,
            phase::SCHEDULED => 1,
            _ if !self.ready => 2,
            _ => 3,
        }
    }
}
