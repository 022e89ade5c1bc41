//! A PodDisruptionBudget: how many of the Pods that it is about may be taken away now.
//!
//! Evictions spend what the status says and write down which Pods they take; here it is counted anew whenever a Pod comes,
//! changes or goes. A Pod that was to go and is still there after a while is counted again.

mod status;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

pub use self::status::{ALLOWED, Condition, Status};
use crate::{Notice, Plan, patch, time};

/// How long a Pod that an eviction has taken may still be there before it counts again.
pub const GOING: Duration = Duration::from_secs(120);

/// Reasons of the condition and of Events.
const ENOUGH: &str = "SufficientPods";
const TOO_FEW: &str = "InsufficientPods";
const UNKNOWN: &str = "SyncFailed";

/// A number of Pods, or a share of all of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// So many.
    Count(i64),
    /// So many of a hundred, such as `50%`.
    Share(String),
}

/// What a budget asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bounds {
    /// So many stay.
    pub min_available: Option<Amount>,
    /// No more than so many are missing.
    pub max_unavailable: Option<Amount>,
}

/// A Pod that the budget is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// How many Pods there should be, for budgets that speak of shares or of what is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What all owners of the Pods want together.
    pub pods: i64,
    /// Pods that have no owner.
    pub unmanaged: Vec<String>,
}

/// A budget and its Pods as they are.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The budget's name.
    pub name: String,
    /// Counts changes of what it asks for.
    pub generation: i64,
    /// What it asks for.
    pub bounds: Bounds,
    /// What its status says.
    pub status: Status,
    /// Its Pods.
    pub pods: Vec<Pod>,
    /// How many there should be, or why that is not known; looked at only where [`Bounds::are_relative`].
    pub wanted: Result<Wanted, String>,
}

/// One thing to do for a budget.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write the status.
    Report(Value),
    /// Tell what happened.
    Tell(Notice),
}

impl Bounds {
    /// Whether what they ask for depends on how many Pods there should be.
    pub fn are_relative(&self) -> bool {
        self.max_unavailable.is_some() || matches!(self.min_available, Some(Amount::Share(_)))
    }

    /// How many Pods there should be, and how many of them have to be ready.
    fn count(&self, pods: i64, wanted: &Wanted) -> (i64, i64) {
        match (&self.max_unavailable, &self.min_available) {
            (Some(missing), _) => (wanted.pods, (wanted.pods - missing.of(wanted.pods)).max(0)),
            (None, Some(Amount::Count(count))) => (pods, *count),
            (None, Some(share)) => (wanted.pods, share.of(wanted.pods)),
            (None, None) => (0, 0),
        }
    }
}

impl Amount {
    /// The number, where it is a share of `whole`; any part of a Pod is one.
    fn of(&self, whole: i64) -> i64 {
        match self {
            Self::Count(count) => *count,
            Self::Share(text) => {
                let share: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
                let parts = share.saturating_mul(whole.max(0));
                parts / 100 + i64::from(parts % 100 > 0)
            }
        }
    }
}

/// Decides what a budget says.
pub fn step(observed: &Observed, now: Timestamp) -> Plan<Action> {
    let mut plan = Plan::nothing();
    let mut status = observed.status.clone();
    let mut news = Vec::new();
    match &observed.wanted {
        Err(why) if observed.bounds.are_relative() => {
            // Who does not know how many there should be lets none go.
            status.disruptions_allowed = 0;
            status.observe(observed.generation, false, UNKNOWN, why, now);
            news.push(Notice::warning(
                "CalculateExpectedPodCountFailed",
                format!("Failed to calculate the number of expected pods: {why}"),
            ));
        }
        wanted => {
            let none = Wanted::default();
            let wanted = wanted.as_ref().unwrap_or(&none);
            status.disrupted_pods = going(observed, now, &mut plan, &mut news);
            count(observed, wanted, &mut status, now);
            if observed.pods.is_empty() {
                news.push(Notice::normal("NoPods", "No matching pods found"));
            } else if observed.bounds.are_relative() && !wanted.unmanaged.is_empty() {
                news.push(Notice::warning("UnmanagedPods", unmanaged(&wanted.unmanaged)));
            }
        }
    }
    if let Some(change) = patch::between(&observed.status, &status) {
        plan.push(Action::Report(change));
        plan.actions.extend(news.into_iter().map(Action::Tell));
    }
    plan
}

/// The Pods that evictions have taken and that are still there, each with the time of its eviction. Those that go are none
/// any more; nor are those that should have gone long ago.
fn going(
    observed: &Observed,
    now: Timestamp,
    plan: &mut Plan<Action>,
    news: &mut Vec<Notice>,
) -> BTreeMap<String, Timestamp> {
    let mut left = BTreeMap::new();
    for pod in observed.pods.iter().filter(|pod| !pod.deleting) {
        let Some(since) = observed.status.disrupted_pods.get(&pod.name) else { continue };
        match time::left(*since, GOING, now) {
            Some(wait) => {
                plan.look_again(wait, "an evicted Pod should be gone by then");
                left.insert(pod.name.clone(), *since);
            }
            None => news.push(Notice::warning(
                "NotDeleted",
                format!("Pod {} was expected by PDB {} to be deleted but it wasn't", pod.name, observed.name),
            )),
        }
    }
    left
}

/// Counts what there is, and what that allows.
fn count(observed: &Observed, wanted: &Wanted, status: &mut Status, now: Timestamp) {
    let stays = |pod: &&Pod| !pod.deleting && !status.disrupted_pods.contains_key(&pod.name);
    let healthy = observed.pods.iter().filter(stays).filter(|pod| pod.ready).count();
    let there = i64::try_from(observed.pods.len()).unwrap_or(i64::MAX);
    status.current_healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    (status.expected_pods, status.desired_healthy) = observed.bounds.count(there, wanted);
    // Where no Pod should be, the first one that comes is not to go before it was counted.
    let spare = status.current_healthy - status.desired_healthy;
    status.disruptions_allowed = if status.expected_pods > 0 { spare.max(0) } else { 0 };
    let (allowed, reason) = if status.disruptions_allowed > 0 { (true, ENOUGH) } else { (false, TOO_FEW) };
    status.observe(observed.generation, allowed, reason, "", now);
}

fn unmanaged(pods: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = if pods.len() > SHOWN { " and others" } else { "" };
    format!(
        "Pods without an owner that says how many there should be are not counted as expected: {}{more}. Set \
         spec.minAvailable to a number",
        pods[..pods.len().min(SHOWN)].join(", ")
    )
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report(change) => {
                f.write_str("write the status")?;
                patch::lines(change, f)
            }
            Self::Tell(notice) => notice.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
