//! What the kubelet keeps of a Pod's API object: enough to decide and to report, not the specification.

use std::collections::BTreeMap;
use std::time::Duration;

use api::names::{condition, reason};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodStatus};

use crate::probes::{self, Probe};

/// A Pod as far as decisions and reports need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Identity over time.
    pub uid: String,
    /// How long the Pod may take to end, once it is being deleted.
    pub grace: Option<Duration>,
    /// Whether something else must happen before the object may go.
    pub has_finalizers: bool,
    /// Containers in the order of the specification: name and image.
    pub containers: Vec<(String, String)>,
    /// Init containers likewise.
    pub init_containers: Vec<(String, String)>,
    /// Conditions that others set and readiness waits for, and whether they are true.
    pub gates: BTreeMap<String, bool>,
    /// Of these, the ones that nobody has set yet and that are open from the start, as the Pod's annotation says.
    pub opens: Vec<String>,
    /// What its container is probed by.
    pub probes: Vec<Probe>,
    /// Whether the machine in it stands still and will go on. It answers nobody until then, and has not failed.
    pub paused: bool,
    /// How long its container may take to end when a probe has found it dead.
    pub end_grace: Duration,
    /// The status as the API has it.
    pub status: StatusView,
}

/// The part of a Pod's status that the kubelet writes, without times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusView {
    /// `Pending`, `Running`, `Succeeded` or `Failed`; empty before the first report.
    pub phase: String,
    /// One word for the phase.
    pub reason: String,
    /// One sentence for the phase.
    pub message: String,
    /// Addresses of the Pod, the one that it is known by first.
    pub pod_ips: Vec<String>,
    /// The kubelet's own conditions by type.
    pub conditions: BTreeMap<String, ConditionView>,
    /// Containers by name, init containers included.
    pub containers: BTreeMap<String, ContainerView>,
}

/// A condition without times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConditionView {
    /// Whether it holds.
    pub status: bool,
    /// One word why.
    pub reason: String,
    /// One sentence why.
    pub message: String,
}

/// A container's state without times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerView {
    /// It does not run yet.
    Waiting {
        /// One word why.
        reason: String,
        /// One sentence why.
        message: String,
    },
    /// It runs.
    Running {
        /// Whether it can be used.
        ready: bool,
    },
    /// It has ended.
    Terminated {
        /// Exit code; 128 and the number for a signal.
        code: i32,
        /// One word why.
        reason: String,
        /// One sentence why.
        message: String,
    },
}

/// Annotation with readiness gates that are open until somebody closes them: whoever makes the Pod then needs no write
/// of its own to open them.
const OPEN_GATES: &str = "ironclad.local/open-gates";

/// Seconds that a Pod gets to end when it names none.
const END_GRACE: u64 = 30;

/// Reasons why a machine stands still that will go on where it stood; `Paused` is the word of earlier releases. One that
/// its hypervisor has stopped for good, or whose guest panicked, has failed.
const GOES_ON: [&str; 3] = [reason::PAUSED_BY_USER, reason::PAUSED_IO_ERROR, "Paused"];

/// Conditions that the kubelet writes.
pub const CONDITIONS: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", condition::NOT_ALIVE];

impl PodView {
    /// Takes what is needed of `pod`.
    pub fn of(pod: &Pod) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let status = pod.status.clone().unwrap_or_default();
        let named = |list: Vec<k8s_openapi::api::core::v1::Container>| {
            list.into_iter().map(|container| (container.name, container.image.unwrap_or_default())).collect()
        };
        let conditions = status.conditions.clone().unwrap_or_default();
        let annotations = pod.metadata.annotations.as_ref();
        let open = annotations.and_then(|all| all.get(OPEN_GATES)).map_or("", String::as_str);
        let unset = |kind: &&str| !conditions.iter().any(|condition| condition.type_ == *kind);
        let opens: Vec<String> =
            open.split(',').filter(|kind| !kind.is_empty()).filter(unset).map(str::to_owned).collect();
        let liveness = spec.containers.first().and_then(|container| container.liveness_probe.as_ref());
        // The probe's own word comes before the Pod's.
        let grace = liveness
            .and_then(|probe| probe.termination_grace_period_seconds)
            .or(spec.termination_grace_period_seconds)
            .and_then(|seconds| u64::try_from(seconds).ok());
        let gates = spec.readiness_gates.clone().unwrap_or_default().into_iter().map(|gate| {
            let is_true = |kind: &str| {
                conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
            };
            let kind = gate.condition_type;
            let is_open = is_true(&kind) || opens.contains(&kind);
            (kind, is_open)
        });
        Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            grace: pod.metadata.deletion_timestamp.as_ref().map(|_| {
                let seconds = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
                Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
            }),
            has_finalizers: pod.metadata.finalizers.as_ref().is_some_and(|list| !list.is_empty()),
            gates: gates.collect(),
            opens,
            probes: probes::of(&spec),
            paused: conditions.iter().any(|known| {
                let why = known.reason.as_deref().unwrap_or_default();
                known.type_ == condition::UNPAUSED && known.status == "False" && GOES_ON.contains(&why)
            }),
            end_grace: Duration::from_secs(grace.unwrap_or(END_GRACE)),
            containers: named(spec.containers),
            init_containers: named(spec.init_containers.unwrap_or_default()),
            status: StatusView::of(&status),
        }
    }
}

impl StatusView {
    fn of(status: &PodStatus) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let conditions = status.conditions.iter().flatten();
        let own = conditions.filter(|condition| CONDITIONS.contains(&condition.type_.as_str()));
        let containers = [&status.init_container_statuses, &status.container_statuses];
        Self {
            phase: text(&status.phase),
            reason: text(&status.reason),
            message: text(&status.message),
            pod_ips: status.pod_ips.iter().flatten().map(|entry| entry.ip.clone()).collect(),
            conditions: own
                .map(|condition| {
                    let view = ConditionView {
                        status: condition.status == "True",
                        reason: text(&condition.reason),
                        message: text(&condition.message),
                    };
                    (condition.type_.clone(), view)
                })
                .collect(),
            containers: containers
                .into_iter()
                .flatten()
                .flatten()
                .map(|container| (container.name.clone(), ContainerView::of(container)))
                .collect(),
        }
    }

    /// Says whether the Pod was found dead and is being ended for that.
    pub fn is_not_alive(&self) -> bool {
        self.conditions.get(condition::NOT_ALIVE).is_some_and(|found| found.status)
    }

    /// Says whether the Pod's work is over.
    pub fn is_terminal(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }
}

impl ContainerView {
    fn of(container: &ContainerStatus) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        match &container.state {
            Some(ContainerState { running: Some(_), .. }) => Self::Running { ready: container.ready },
            Some(ContainerState { terminated: Some(end), .. }) => Self::Terminated {
                code: end.exit_code,
                reason: text(&end.reason),
                message: text(&end.message),
            },
            Some(ContainerState { waiting: Some(wait), .. }) => {
                Self::Waiting { reason: text(&wait.reason), message: text(&wait.message) }
            }
            _ => Self::Waiting { reason: String::new(), message: String::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_probes_own_grace_comes_before_the_pods() {
        let grace = |probe: serde_json::Value, pod: serde_json::Value| {
            let containers = json!([{"name": "c", "livenessProbe": probe}]);
            let spec = json!({"containers": containers, "terminationGracePeriodSeconds": pod});
            let pod = json!({"metadata": {"name": "p"}, "spec": spec});
            PodView::of(&serde_json::from_value(pod).expect("a Pod")).end_grace.as_secs()
        };
        assert_eq!(grace(json!({"terminationGracePeriodSeconds": 5}), json!(60)), 5);
        assert_eq!(grace(json!({}), json!(60)), 60);
        assert_eq!(grace(json!(null), json!(null)), END_GRACE);
    }

    #[test]
    fn who_will_go_on_stands_still_and_who_has_failed_does_not() {
        let paused = |status: &str, reason: &str| {
            let gate = json!({"type": condition::UNPAUSED, "status": status, "reason": reason});
            let pod = json!({"metadata": {"name": "p"}, "status": {"conditions": [gate]}});
            PodView::of(&serde_json::from_value(pod).expect("a Pod")).paused
        };
        assert!(
            paused("False", "PausedIOError") && paused("False", "PausedByUser") && paused("False", "Paused")
        );
        assert!(!paused("True", "NotPaused"));
        assert!(!paused("False", "Stopped") && !paused("False", "GuestPanicked"));
    }
}
