//! The object of an installation: what its status says while the controllers run.
//!
//! Clients wait for `Available` before they make machines; that whoever writes this runs is what it means.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition::{self, Condition};
use crate::patch;

const DEPLOYED: &str = "Deployed";
/// Conditions that are as they should be, with the reference's reasons: type, status, reason, message.
const CONDITIONS: [(&str, bool, &str, &str); 4] = [
    ("Created", true, "AllResourcesCreated", "All resources were created."),
    ("Available", true, "AllComponentsReady", "All components are ready."),
    ("Progressing", false, "AllComponentsReady", "All components are ready."),
    ("Degraded", false, "AllComponentsReady", "All components are ready."),
];

/// The part of the status that is written here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Generation that the controllers act by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Release of whoever installs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_version: Option<String>,
    /// Release that is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_kube_virt_version: Option<String>,
    /// Release that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_kube_virt_version: Option<String>,
    /// Architecture of machines that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_architecture: Option<String>,
}

/// Returns the merge patch of the status, if it does not say what it should.
pub fn status(
    current: &Status,
    generation: Option<i64>,
    version: &str,
    architecture: &str,
    now: Timestamp,
) -> Option<Value> {
    let mut wanted = current.clone();
    wanted.phase = Some(DEPLOYED.to_owned());
    for (kind, holds, reason, message) in CONDITIONS {
        condition::set(&mut wanted.conditions, Condition::new(kind, holds, reason, message), now);
    }
    wanted.observed_generation = generation;
    for field in [
        &mut wanted.operator_version,
        &mut wanted.target_kube_virt_version,
        &mut wanted.observed_kube_virt_version,
    ] {
        *field = Some(version.to_owned());
    }
    wanted.default_architecture = Some(architecture.to_owned());
    patch::between(current, &wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_available_and_said_once() {
        let now = Timestamp::UNIX_EPOCH;
        let first = status(&Status::default(), Some(1), "v1", "amd64", now).unwrap();
        assert_eq!(first["phase"], "Deployed");
        let kept: Status = serde_json::from_value(first).unwrap();
        assert!(condition::is_true(&kept.conditions, "Available"));
        assert!(!condition::is_true(&kept.conditions, "Degraded"));
        assert_eq!(status(&kept, Some(1), "v1", "amd64", now), None);
        let after = status(&kept, Some(2), "v1", "amd64", now).unwrap();
        assert_eq!(after, serde_json::json!({"observedGeneration": 2}));
    }
}
