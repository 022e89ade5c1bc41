//! A `VirtualMachineInstanceReplicaSet`: are there as many instances as there should be?
//!
//! ```text
//!      nobody's, and selected --claim--> its own --release--> nobody's (no longer selected)
//!                                         |  ^
//!                   too many, or finished |  | too few
//!                                         v  |
//!                                  deleted  created
//! ```
//!
//! Whose an instance is settles first; how many there are is judged by the next look. An instance is created by a name that
//! follows from its place in the set, so that doing it twice meets the first one ([`crate::name::replica`]).

mod action;
mod instance;
mod observed;

use api::names::{event, reason};
use jiff::Timestamp;

pub use machinery::selector::LabelSelector as Selector;

pub use self::action::Action;
pub use self::instance::instance;
pub use self::observed::{Member, Observed, Set};
use crate::replicas::{self, BURST, PACE, Seen, Voice, Words};
pub use crate::replicas::{Status, Trouble};
use crate::{Notice, Plan, name, time};

const WORDS: Words = Words {
    paused: "Paused",
    rests: "spec.paused is true: its instances stay as they are",
    events: (event::SUCCESSFUL_PAUSED, event::SUCCESSFUL_RESUMED),
};

/// Decides what a replica set needs now.
pub fn step(observed: &Observed, now: Timestamp) -> Plan<Action> {
    let set = &observed.set;
    let mut moves = Plan::nothing();
    if !set.deleting {
        settle(observed, &mut moves);
        if moves.actions.is_empty() && set.fits && !set.paused {
            scale(observed, now, &mut moves);
        }
    }
    let misfit = Trouble::new(
        reason::FAILED_CREATE,
        "spec.selector does not fit the labels of spec.template.metadata; make them the same",
    );
    let refused = observed.trouble.as_ref().filter(|_| !moves.actions.is_empty());
    let trouble = if set.fits { refused } else { Some(&misfit) };
    let settled = moves.actions.is_empty();
    let voice: Voice<Action> = (|patch| Action::WriteStatus { patch }, Action::Tell);
    let (mut plan, begins) = replicas::report(&seen(observed, trouble), &WORDS, voice, moves, now);
    if settled && !begins && !set.deleting && !set.marked {
        plan.push(Action::Mark);
    }
    plan
}

fn seen<'a>(observed: &'a Observed, trouble: Option<&'a Trouble>) -> Seen<'a> {
    let set = &observed.set;
    Seen {
        status: &set.status,
        created: set.created,
        deleting: set.deleting,
        paused: set.paused,
        selector: &set.selector,
        replicas: observed.active().count(),
        ready: observed.active().filter(|member| member.ready).count(),
        trouble,
    }
}

/// Claims instances that are selected and nobody's, and lets those go that are no longer selected.
fn settle(observed: &Observed, plan: &mut Plan<Action>) {
    for member in observed.members.iter().filter(|member| !member.deleting) {
        let (name, uid) = (member.name.clone(), member.uid.clone());
        if member.ours && !member.selected {
            plan.push(Action::Release { name, uid });
        } else if !member.ours && member.selected && !member.is_final() {
            plan.push(Action::Claim { name, uid });
        }
    }
}

/// Makes what is missing; removes what is too much, and what has ended.
fn scale(observed: &Observed, now: Timestamp, plan: &mut Plan<Action>) {
    let set = &observed.set;
    let mut active: Vec<&Member> = observed.active().collect();
    let mut missing = set.wanted.saturating_sub(active.len());
    let ended = |member: &&Member| member.ours && !member.deleting && !member.is_active();
    let mut removed = 0;
    for member in observed.members.iter().filter(ended) {
        let rests = time::left(member.created, PACE, now).filter(|_| member.is_final() && missing > 0);
        if let Some(left) = rests {
            missing -= 1;
            plan.look_again(left, "an instance that ended soon holds its place for a while");
        } else if removed < BURST {
            removed += 1;
            delete(member, &format!("Deleted the instance {}, which has ended", member.name), plan);
        }
    }
    active.sort_by(|a, b| {
        a.standing().cmp(&b.standing()).then(b.created.cmp(&a.created)).then(b.name.cmp(&a.name))
    });
    for member in active.iter().take(active.len().saturating_sub(set.wanted).min(BURST)) {
        delete(member, &format!("Deleted the instance {}: there are too many", member.name), plan);
    }
    let places = (0..).map(|place| name::replica(&set.base, &set.uid, set.generation, place));
    for name in places.filter(|name| !observed.taken.contains(name)).take(missing.min(BURST)) {
        let message = format!("Created the instance {name}");
        plan.push(Action::Create { name });
        plan.push(Action::Tell(Notice::normal(event::SUCCESSFUL_CREATE, message)));
    }
}

fn delete(member: &Member, message: &str, plan: &mut Plan<Action>) {
    plan.push(Action::Delete { name: member.name.clone(), uid: member.uid.clone() });
    plan.push(Action::Tell(Notice::normal(event::SUCCESSFUL_DELETE, message)));
}

#[cfg(test)]
mod tests;
