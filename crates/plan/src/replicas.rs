//! What replica sets and pools say of themselves alike: how many there are, by which labels they are told, what is in the
//! way, and that they rest.

use api::names::condition as kind;
use jiff::Timestamp;
use machinery::selector::LabelSelector;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

use crate::condition::{self, Condition};
use crate::{Notice, Plan, patch, time};

/// How many are made or removed at a time; others have their turn between.
pub(crate) const BURST: usize = 10;

/// How long one holds its place at least, so that those that end at once are not replaced as fast as they end.
pub(crate) const PACE: Duration = Duration::from_secs(10);

/// How long a new set is left to begin before anything is written on it, so that what happens at once is written once.
const COALESCE: Duration = Duration::from_secs(1);

/// The same of a set that has nothing and does nothing: mostly somebody goes on to write it.
const IDLE: Duration = Duration::from_secs(5);

/// The part of the status that their controllers write: all of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// How many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<usize>,
    /// How many of them are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<usize>,
    /// The selector as text, for autoscalers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
    /// Conditions; those of others are kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Something that is in the way: mostly what the API server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One word for the condition.
    pub reason: &'static str,
    /// One word for the Event, if it has another one.
    pub event: &'static str,
    /// For people.
    pub message: String,
}

impl Trouble {
    /// Creates trouble that is called the same everywhere.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, event: reason, message: message.into() }
    }
}

/// What a set is seen to be.
pub(crate) struct Seen<'a> {
    /// Its status as it is.
    pub(crate) status: &'a Status,
    pub(crate) created: Timestamp,
    pub(crate) deleting: bool,
    pub(crate) paused: bool,
    pub(crate) selector: &'a LabelSelector,
    pub(crate) replicas: usize,
    pub(crate) ready: usize,
    pub(crate) trouble: Option<&'a Trouble>,
}

/// What each kind says in words of its own.
pub(crate) struct Words {
    /// Reason of the condition that it rests.
    pub(crate) paused: &'static str,
    /// Its message.
    pub(crate) rests: &'static str,
    /// Events: it rests, and it goes on.
    pub(crate) events: (&'static str, &'static str),
}

/// How actions of a kind are made: a write of the status, and news.
pub(crate) type Voice<A> = (fn(Value) -> A, fn(Notice) -> A);

/// Puts what is to be said before what is to be done (`moves`). Returns whether the set is still left to begin.
///
/// What is asked for now changes the picture and calls for the next look, which reports it; what went wrong before may go
/// wrong again and is reported first.
pub(crate) fn report<A>(
    seen: &Seen<'_>,
    words: &Words,
    (write, tell): Voice<A>,
    mut moves: Plan<A>,
    now: Timestamp,
) -> (Plan<A>, bool) {
    let idle = seen.replicas == 0 && moves.actions.is_empty();
    let begins = time::left(seen.created, if idle { IDLE } else { COALESCE }, now)
        .filter(|_| *seen.status == Status::default() && !seen.deleting && seen.trouble.is_none());
    if let Some(left) = begins {
        moves.look_again(left, "what a new set does is reported together");
        return (moves, true);
    }
    let mut plan = Plan::nothing();
    if moves.actions.is_empty() || seen.trouble.is_some() {
        let wanted = status(seen, words, now);
        if let Some(patch) = patch::between(seen.status, &wanted) {
            plan.push(write(patch));
            plan.actions.extend(news(seen, &wanted, words).into_iter().map(tell));
        }
    }
    plan.actions.append(&mut moves.actions);
    plan.again = moves.again;
    (plan, false)
}

/// Returns the status as it should be.
pub(crate) fn status(seen: &Seen<'_>, words: &Words, now: Timestamp) -> Status {
    let mut conditions = seen.status.conditions.clone();
    if seen.paused {
        let paused = Condition::new(kind::REPLICA_PAUSED, true, words.paused, words.rests);
        condition::set(&mut conditions, paused, now);
    } else {
        condition::remove(&mut conditions, kind::REPLICA_PAUSED);
    }
    if let Some(Trouble { reason, message, .. }) = seen.trouble {
        condition::set(&mut conditions, Condition::new(kind::REPLICA_FAILURE, true, reason, message), now);
    } else {
        condition::remove(&mut conditions, kind::REPLICA_FAILURE);
    }
    Status {
        replicas: Some(seen.replicas),
        ready_replicas: Some(seen.ready),
        label_selector: Some(text(seen.selector)),
        conditions,
    }
}

/// Returns what a change of the status tells.
fn news(seen: &Seen<'_>, wanted: &Status, words: &Words) -> Vec<Notice> {
    let mut news = Vec::new();
    let message =
        |status: &Status| condition::find(&status.conditions, kind::REPLICA_FAILURE)?.message.clone();
    if let Some(trouble) = seen.trouble.filter(|_| message(seen.status) != message(wanted)) {
        news.push(Notice::warning(trouble.event, &*trouble.message));
        if trouble.reason != trouble.event {
            news.push(Notice::warning(trouble.reason, &*trouble.message));
        }
    }
    let paused = |status: &Status| condition::is_true(&status.conditions, kind::REPLICA_PAUSED);
    match (paused(seen.status), paused(wanted)) {
        (false, true) => news.push(Notice::normal(words.events.0, "Paused")),
        (true, false) => news.push(Notice::normal(words.events.1, "Resumed")),
        _ => {}
    }
    news
}

/// Writes a selector in the order of its keys, as Kubernetes does.
fn text(selector: &LabelSelector) -> String {
    let mut requirements = selector.requirements().to_vec();
    requirements.sort_by(|a, b| a.key.cmp(&b.key));
    for one in &mut requirements {
        one.values.sort();
    }
    LabelSelector::new(requirements).to_string()
}
