//! The part of a launcher Pod that the controllers look at.

use api::names::{condition, label};
use jiff::Timestamp;
use kube_ext::{Meta, resources};
use plan::condition::Condition;
use plan::ending::Ending;
use plan::vmi::{Gate, Pod, PodPhase, Waiting};
use serde::Deserialize;

/// Container that runs the machine.
const COMPUTE: &str = "compute";
/// Reasons of waiting that pass by themselves.
const PASSING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// A Pod as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PodView {
    pub(crate) metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    reason: Option<String>,
    message: Option<String>,
    conditions: Vec<Condition>,
    init_container_statuses: Vec<ContainerStatus>,
    container_statuses: Vec<ContainerStatus>,
    qos_class: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    name: String,
    state: State,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    waiting: Option<WaitingState>,
    running: Option<RunningState>,
    terminated: Option<TerminatedState>,
}

#[derive(Clone, Debug, Deserialize)]
struct RunningState {}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WaitingState {
    reason: String,
    message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TerminatedState {
    exit_code: i32,
    reason: Option<String>,
    message: Option<String>,
    finished_at: Option<Timestamp>,
}

kube_ext::view!(PodView => resources::POD);

/// A launcher Pod as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PodFacts {
    /// Identity of its instance.
    pub(crate) instance_uid: String,
    /// Name of its instance.
    pub(crate) instance_name: String,
    /// What the instance's controller looks at.
    pub(crate) pod: Pod,
}

impl PodFacts {
    /// Keeps the Pod if it says which instance it belongs to.
    pub(crate) fn of(view: PodView) -> Option<Self> {
        let meta = view.metadata;
        let owner = meta.controller().filter(|owner| owner.kind == "VirtualMachineInstance")?.clone();
        let instance_uid = meta.labels.get(label::CREATED_BY).filter(|uid| **uid == owner.uid)?.clone();
        let status = view.status;
        let compute = status.container_statuses.iter().find(|container| container.name == COMPUTE);
        let ended = compute.and_then(|container| container.state.terminated.as_ref());
        let conditions =
            status.conditions.iter().filter(|c| matches!(c.kind.as_str(), "Ready" | "PodScheduled"));
        Some(Self {
            instance_uid,
            instance_name: owner.name,
            pod: Pod {
                created: meta.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH),
                deleting: meta.is_deleting(),
                name: meta.name,
                uid: meta.uid,
                node: view.spec.node_name.unwrap_or_default(),
                phase: PodPhase::from_word(&status.phase),
                launcher_runs: compute.is_some_and(|container| container.state.running.is_some()),
                conditions: conditions.cloned().collect(),
                not_alive: status
                    .conditions
                    .iter()
                    .find(|c| c.kind == condition::NOT_ALIVE && c.status == "True")
                    .map(|why| why.message().to_owned()),
                gate: status
                    .conditions
                    .iter()
                    .find(|c| c.kind == condition::UNPAUSED)
                    .map(|gate| Gate { open: gate.is_true(), reason: gate.reason().to_owned() }),
                waiting: waiting(status.init_container_statuses.iter().chain(&status.container_statuses)),
                ended: ending(ended, status.reason.as_deref(), status.message.as_deref()),
                killed: ended.is_some_and(|ended| ended.told().is_abrupt()),
                ended_at: ended.and_then(|ended| ended.finished_at),
                qos_class: status.qos_class,
            },
        })
    }
}

fn waiting<'a>(containers: impl Iterator<Item = &'a ContainerStatus>) -> Option<Waiting> {
    let mut stuck = containers.filter_map(|container| container.state.waiting.as_ref());
    let stuck =
        stuck.find(|waiting| !waiting.reason.is_empty() && !PASSING.contains(&waiting.reason.as_str()))?;
    Some(Waiting { reason: stuck.reason.clone(), message: stuck.message.clone() })
}

impl TerminatedState {
    fn told(&self) -> Ending<'_> {
        Ending {
            code: self.exit_code,
            reason: self.reason.as_deref().unwrap_or_default(),
            message: self.message.as_deref().unwrap_or_default(),
        }
    }
}

/// Says how a Pod ended: what the container says, or else what the Pod says.
fn ending(
    container: Option<&TerminatedState>,
    reason: Option<&str>,
    message: Option<&str>,
) -> Option<String> {
    if let Some(ended) = container {
        let mut told = ended.told();
        told.reason = if told.reason.is_empty() { reason.unwrap_or_default() } else { told.reason };
        told.message = if told.message.is_empty() { message.unwrap_or_default() } else { told.message };
        return Some(told.to_string());
    }
    let words: Vec<&str> = [reason, message].into_iter().flatten().map(str::trim).collect();
    let words: Vec<&str> = words.into_iter().filter(|text| !text.is_empty()).collect();
    (!words.is_empty()).then(|| words.join(", "))
}
