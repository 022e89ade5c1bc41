//! A `VirtualMachinePool`: are there as many machines as there should be, and are they what the template says?
//!
//! ```text
//!                 too few                     changed template
//!      (nothing) ---------> machine NAME-0 ------------------------> updated machine
//!          ^                  |        |                               |  proactively: instance by
//!          |  gone            |        | labels no longer selected     v  instance, few at a time
//!          +---- deleting <---+        +----> nobody's               restarted
//!                 too many, or it does not start and the pool heals
//! ```
//!
//! A machine's number is the first that is free, so that doing it twice meets the first one, and a machine that was deleted
//! comes again by its name. For the same reason a machine that is being deleted still counts: there are never more than wanted.
//! Whose a machine is, a pool does not decide: it lets go what it no longer selects, and claims nothing. A machine that is
//! deleted waits for [`leave`].

mod action;
mod change;
mod leaving;
mod machine;
mod observed;
mod revision;
mod strategy;

use std::collections::BTreeSet;
use std::time::Duration;

use api::names::{event, reason};
use jiff::Timestamp;

pub use self::action::Action;
pub use self::leaving::{Farewell, leave};
pub use self::machine::{machine, owner, updated};
pub use self::observed::{Instance, Member, Observed, Pool};
pub use self::revision::{Revisions, name as revision_name, template};
pub use self::strategy::{Healing, Limit, Order, Policy, ScaleIn, Update};
use crate::replicas::{self, BURST, PACE, Seen, Voice, Words};
pub use crate::replicas::{Status, Trouble};
use crate::{Notice, Plan, time};

const WORDS: Words = Words {
    paused: event::SUCCESSFUL_PAUSED,
    rests: "spec.paused is true: its machines stay as they are",
    events: (event::SUCCESSFUL_PAUSED, event::SUCCESSFUL_RESUME),
};

/// Why a step that makes or removes some looks again at once.
const MORE: &str = "there are more of them";

/// Decides what a pool needs now.
pub fn step(observed: &Observed, now: Timestamp) -> Plan<Action> {
    let pool = &observed.pool;
    let mut moves = Plan::nothing();
    let mut stuck = None;
    if !pool.deleting {
        release(observed, &mut moves);
        if !pool.fits {
            let why = "spec.selector does not fit the labels of spec.virtualMachineTemplate.metadata; make them the same";
            stuck = Some(Trouble::new(reason::FAILED_SCALE_OUT, why));
        } else if moves.actions.is_empty() && !pool.paused {
            stuck = act(observed, now, &mut moves);
        }
    }
    let settled = !pool.deleting && pool.fits && !pool.paused && moves.actions.is_empty();
    let unneeded = if settled { unneeded(observed) } else { Vec::new() };
    // What was refused is told as long as it is tried again.
    let tried = !moves.actions.is_empty() || !unneeded.is_empty();
    let trouble = stuck.as_ref().or_else(|| observed.trouble.as_ref().filter(|_| tried));
    let voice: Voice<Action> = (|patch| Action::WriteStatus { patch }, Action::Tell);
    let (mut plan, _) = replicas::report(&seen(observed, trouble), &WORDS, voice, moves, now);
    plan.actions.extend(unneeded.into_iter().map(|name| Action::ForgetRevision { name }));
    plan
}

fn seen<'a>(observed: &'a Observed, trouble: Option<&'a Trouble>) -> Seen<'a> {
    let pool = &observed.pool;
    Seen {
        status: &pool.status,
        created: pool.created,
        deleting: pool.deleting,
        paused: pool.paused,
        selector: &pool.selector,
        replicas: observed.members.len(),
        ready: observed.members.iter().filter(|member| member.ready && !member.deleting).count(),
        trouble,
    }
}

/// Lets machines go that are no longer selected.
fn release(observed: &Observed, plan: &mut Plan<Action>) {
    for member in observed.members.iter().filter(|member| !member.selected && !member.deleting) {
        plan.push(Action::Release { name: member.name.clone(), uid: member.uid.clone() });
    }
}

/// Heals, then counts, then updates: each when there is nothing to do before it. Returns what keeps it from doing so.
fn act(observed: &Observed, now: Timestamp, plan: &mut Plan<Action>) -> Option<Trouble> {
    heal(observed, now, plan);
    if plan.actions.is_empty() {
        grow(observed, plan);
    }
    let stuck = if plan.actions.is_empty() { shrink(observed, plan) } else { None };
    if plan.actions.is_empty() {
        change::update(observed, plan);
    }
    stuck
}

/// Replaces machines that do not start: they are deleted, and are missing then.
fn heal(observed: &Observed, now: Timestamp, plan: &mut Plan<Action>) {
    let Some(healing) = &observed.pool.healing else { return };
    let mut healed = 0;
    for member in observed.members.iter().filter(|member| !member.deleting) {
        let failed = member.failures >= healing.threshold;
        let waits = match member.failing_since {
            _ if failed => None,
            Some(since) => time::left(since, healing.patience, now),
            None => continue,
        };
        // However impatient the pool is: what cannot start does not come and go as fast as it can.
        if let Some(left) = waits.max(time::left(member.created, PACE, now)) {
            plan.look_again(left, "a machine that does not start may yet");
        } else if healed < BURST {
            healed += 1;
            let why = format!("Deleted the machine {}, which does not start", member.name);
            delete(observed, member, why, plan);
        }
    }
}

/// Makes what is missing.
fn grow(observed: &Observed, plan: &mut Plan<Action>) {
    let pool = &observed.pool;
    let missing = pool.wanted.saturating_sub(observed.members.len());
    if missing == 0 {
        return;
    }
    if missing > BURST {
        plan.look_again(Duration::ZERO, MORE);
    }
    let own: BTreeSet<&str> = observed.members.iter().map(|member| member.name.as_str()).collect();
    let revision = revision(observed, plan);
    let names = (0..).map(|index| (index, format!("{}-{index}", pool.name)));
    let free = names.filter(|(_, name)| !observed.taken.contains(name) && !own.contains(name.as_str()));
    for (index, name) in free.take(missing.min(BURST)) {
        let message = format!("Created the machine {name}");
        plan.push(Action::Create { name, index, revision: revision.clone() });
        plan.push(Action::Tell(Notice::normal(event::SUCCESSFUL_CREATE, message)));
    }
}

/// Removes what is too much, as far as the pool may choose. Returns why it cannot.
fn shrink(observed: &Observed, plan: &mut Plan<Action>) -> Option<Trouble> {
    let pool = &observed.pool;
    let ScaleIn::Proactive { policy, .. } = &pool.scale_in else { return None };
    let staying: Vec<&Member> = observed.members.iter().filter(|member| !member.deleting).collect();
    let surplus = staying.len().saturating_sub(pool.wanted);
    let mut chosen: Vec<&Member> = staying.into_iter().filter(|member| member.may_go).collect();
    if surplus > 0 && chosen.is_empty() {
        let why = format!(
            "{surplus} machines are too many, and none of them fits spec.scaleInStrategy.proactive.selectionPolicy.selectors; \
             change these, or delete machines"
        );
        return Some(Trouble::new(reason::FAILED_SCALE_IN, why));
    }
    policy.arrange(&mut chosen, &format!("{}/{}", pool.uid, pool.generation));
    if surplus.min(chosen.len()) > BURST {
        plan.look_again(Duration::ZERO, MORE);
    }
    for member in chosen.into_iter().take(surplus.min(BURST)) {
        let why = format!("Deleted the machine {}: there are too many", member.name);
        delete(observed, member, why, plan);
    }
    None
}

fn delete(observed: &Observed, member: &Member, why: String, plan: &mut Plan<Action>) {
    let (name, uid) = (member.name.clone(), member.uid.clone());
    if observed.pool.scale_in.keeps_disks() {
        plan.push(Action::KeepDisks { name: name.clone(), uid: uid.clone() });
    }
    plan.push(Action::Delete { name, uid, clean: false });
    plan.push(Action::Tell(Notice::normal(event::SUCCESSFUL_DELETE, why)));
}

/// Returns the revision that machines are made from, and sees to it that it is kept.
fn revision(observed: &Observed, plan: &mut Plan<Action>) -> String {
    if let Some(name) = observed.revisions.in_force() {
        return name.to_owned();
    }
    let name = revision_name(&observed.pool.name, observed.pool.generation);
    plan.push(Action::KeepRevision { name: name.clone() });
    name
}

/// Returns the revisions that nothing is made from, and nothing will be.
fn unneeded(observed: &Observed) -> Vec<String> {
    let mut needed: BTreeSet<&str> = observed.revisions.in_force().into_iter().collect();
    for member in &observed.members {
        needed.extend(member.revision.as_deref());
        needed.extend(member.instance.as_ref().and_then(|instance| instance.revision.as_deref()));
    }
    observed.revisions.kept.keys().filter(|name| !needed.contains(name.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests;
