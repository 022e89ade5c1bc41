//! The status of a budget.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::time;

/// The condition that tells whether a Pod may go.
pub const ALLOWED: &str = "DisruptionAllowed";

/// What a budget's status says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The generation that the rest is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pods that evictions have taken, and when.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub disrupted_pods: BTreeMap<String, Timestamp>,
    /// How many Pods may go now.
    pub disruptions_allowed: i64,
    /// How many are ready and stay.
    pub current_healthy: i64,
    /// How many have to be.
    pub desired_healthy: i64,
    /// How many Pods there should be.
    pub expected_pods: i64,
    /// Conditions; those of others are kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A condition in the form that names the generation it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The generation that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Since when the status is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
    /// One word.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Status {
    /// Says of a generation whether a Pod may go, and why.
    pub(super) fn observe(
        &mut self,
        generation: i64,
        allowed: bool,
        reason: &str,
        message: &str,
        now: Timestamp,
    ) {
        self.observed_generation = Some(generation);
        let known = self.conditions.iter().position(|condition| condition.kind == ALLOWED);
        let at = known.unwrap_or_else(|| {
            self.conditions.push(Condition { kind: ALLOWED.to_owned(), ..Condition::default() });
            self.conditions.len() - 1
        });
        let condition = &mut self.conditions[at];
        let status = if allowed { "True" } else { "False" };
        if condition.status != status {
            status.clone_into(&mut condition.status);
            condition.last_transition_time = Some(time::stamp(now));
        }
        condition.observed_generation = Some(generation);
        reason.clone_into(&mut condition.reason);
        message.clone_into(&mut condition.message);
    }
}
