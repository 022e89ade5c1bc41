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
mod status;

use std::time::Duration;

use api::names::{condition as kind, event, reason};
use jiff::Timestamp;

pub use machinery::selector::LabelSelector as Selector;

pub use self::action::Action;
pub use self::instance::instance;
pub use self::observed::{Member, Observed, Set, Status, Trouble};
use crate::{Notice, Plan, condition, name, patch, time};

/// How many instances are made or removed at a time; others have their turn between.
const BURST: usize = 10;

/// How long an instance holds its place at least, so that guests that end at once are not replaced as fast as they end.
const PACE: Duration = Duration::from_secs(10);

/// How long a new set is left to begin before anything is written on it, so that what happens at once is written once.
const COALESCE: Duration = Duration::from_secs(1);

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
    let misfit = Trouble {
        reason: reason::FAILED_CREATE.to_owned(),
        message: "spec.selector does not fit the labels of spec.template.metadata; make them the same"
            .to_owned(),
    };
    let trouble = if set.fits { observed.trouble.as_ref() } else { Some(&misfit) };
    let trouble = trouble.filter(|_| !set.fits || !moves.actions.is_empty());
    let mut plan = Plan::nothing();
    let begins = time::left(set.created, COALESCE, now);
    let begins = begins.filter(|_| set.status == Status::default() && !set.deleting && trouble.is_none());
    if let Some(left) = begins {
        moves.look_again(left, "what a new set does is reported together");
    } else if moves.actions.is_empty() || trouble.is_some() {
        // What is asked for now changes the picture and calls for the next look, which reports it; what went wrong before
        // may go wrong again and is reported first.
        report(observed, trouble, now, &mut plan);
    }
    if begins.is_none() && moves.actions.is_empty() && !set.deleting && !set.marked {
        plan.push(Action::Mark);
    }
    plan.actions.append(&mut moves.actions);
    plan.again = moves.again;
    plan
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

/// Writes the status, if it says something new.
fn report(observed: &Observed, trouble: Option<&Trouble>, now: Timestamp, plan: &mut Plan<Action>) {
    let current = &observed.set.status;
    let wanted = status::of(observed, trouble, now);
    let Some(change) = patch::between(current, &wanted) else { return };
    plan.push(Action::WriteStatus { patch: change });
    let message =
        |status: &Status| condition::find(&status.conditions, kind::REPLICA_FAILURE)?.message.clone();
    if let Some(trouble) = trouble.filter(|_| message(current) != message(&wanted)) {
        let event =
            if trouble.reason == reason::FAILED_DELETE { event::FAILED_DELETE } else { event::FAILED_CREATE };
        plan.push(Action::Tell(Notice::warning(event, &*trouble.message)));
    }
    let paused = |status: &Status| condition::is_true(&status.conditions, kind::REPLICA_PAUSED);
    match (paused(current), paused(&wanted)) {
        (false, true) => plan.push(Action::Tell(Notice::normal(event::SUCCESSFUL_PAUSED, "Paused"))),
        (true, false) => plan.push(Action::Tell(Notice::normal(event::SUCCESSFUL_RESUMED, "Resumed"))),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
