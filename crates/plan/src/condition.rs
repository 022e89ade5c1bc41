//! Conditions as controllers handle them.

use std::fmt;

use api::names::{condition as names, reason};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A condition of a machine, an instance or a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Since when the status is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
    /// When it was last looked at; kept for others who write it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_probe_time: Option<Timestamp>,
}

impl Condition {
    /// Creates a condition without a time.
    pub fn new(kind: &str, status: bool, reason: &str, message: impl Into<String>) -> Self {
        let (reason, message) = (reason.to_owned(), message.into());
        Self {
            kind: kind.to_owned(),
            status: if status { "True" } else { "False" }.to_owned(),
            reason: (!reason.is_empty()).then_some(reason),
            message: (!message.is_empty()).then_some(message),
            last_transition_time: None,
            last_probe_time: None,
        }
    }

    /// Tells whether it is so.
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Tells whether it is not so, and known not to be.
    pub fn is_false(&self) -> bool {
        self.status == "False"
    }

    /// Returns the reason, or the empty string.
    pub fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }

    /// Returns the message, or the empty string.
    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind, self.status)?;
        if let Some(reason) = &self.reason {
            write!(f, " {reason}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        Ok(())
    }
}

/// Returns what two controllers say alike of a machine that stands still: nobody should be sent there.
pub(crate) fn paused_is_not_ready() -> Condition {
    Condition::new(names::READY, false, reason::GUEST_NOT_RUNNING, "The machine is paused")
}

/// Returns the condition of type `kind`.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// Tells whether the condition of type `kind` is there and true.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(Condition::is_true)
}

/// Puts `condition` into `conditions`, keeping its place and, while the status stays, its times.
pub fn set(conditions: &mut Vec<Condition>, mut condition: Condition, now: Timestamp) {
    let stamp = Some(crate::time::stamp(now));
    if let Some(known) = conditions.iter_mut().find(|known| known.kind == condition.kind) {
        let same = known.status == condition.status;
        condition.last_transition_time = if same { known.last_transition_time } else { stamp };
        condition.last_probe_time = known.last_probe_time;
        *known = condition;
    } else {
        condition.last_transition_time = stamp;
        conditions.push(condition);
    }
}

/// Removes the condition of type `kind`.
pub fn remove(conditions: &mut Vec<Condition>, kind: &str) {
    conditions.retain(|condition| condition.kind != kind);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_move_with_the_status_only() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut conditions = Vec::new();
        set(&mut conditions, Condition::new("Ready", false, "A", "a"), at(1));
        set(&mut conditions, Condition::new("Ready", false, "B", "b"), at(2));
        assert_eq!(conditions[0].last_transition_time, Some(at(1)));
        set(&mut conditions, Condition::new("Ready", true, "", ""), at(3));
        assert_eq!(conditions[0].last_transition_time, Some(at(3)));
        assert_eq!((conditions.len(), conditions[0].reason.as_deref()), (1, None));
    }
}
