//! The part of nodes, their Leases and their Pods that tells of life.

use jiff::Timestamp;
use kube_ext::{Meta, resources};
use plan::condition::{self, Condition};
use plan::liveness::Taint;
use plan::liveness::pods::Endurance;
use plan::scheduler::Toleration;
use serde::Deserialize;

/// A node as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NodeView {
    pub(super) metadata: Meta,
    #[serde(default)]
    spec: NodeSpec,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    taints: Vec<Taint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    conditions: Vec<Reported>,
}

/// A condition with the sign of life that only nodes' conditions have.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Reported {
    #[serde(flatten)]
    condition: Condition,
    last_heartbeat_time: Option<Timestamp>,
}

kube_ext::view!(NodeView => resources::NODE);

/// A node as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NodeFacts {
    pub(super) uid: String,
    pub(super) created: Timestamp,
    pub(super) conditions: Vec<Condition>,
    /// When the kubelet last reported, by its own clock: good for telling one report from another.
    pub(super) reported: Option<Timestamp>,
    pub(super) taints: Vec<Taint>,
}

impl NodeFacts {
    pub(super) fn is_ready(&self) -> bool {
        condition::is_true(&self.conditions, "Ready")
    }
}

impl From<NodeView> for NodeFacts {
    fn from(view: NodeView) -> Self {
        let reports = &view.status.conditions;
        let reported = reports.iter().find(|report| report.condition.kind == "Ready");
        Self {
            uid: view.metadata.uid,
            created: view.metadata.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH),
            reported: reported.and_then(|report| report.last_heartbeat_time),
            conditions: view.status.conditions.into_iter().map(|report| report.condition).collect(),
            taints: view.spec.taints,
        }
    }
}

/// A node's Lease as it is read; its times differ from renewal to renewal, and that is all that counts.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct LeaseView {
    pub(super) metadata: Meta,
    #[serde(default)]
    pub(super) spec: LeaseSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LeaseSpec {
    pub(super) renew_time: String,
}

kube_ext::view!(LeaseView => resources::LEASE);

/// A Pod as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PodView {
    pub(super) metadata: Meta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: String,
    tolerations: Vec<TolerationView>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TolerationView {
    key: String,
    operator: String,
    value: String,
    effect: String,
    toleration_seconds: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    phase: String,
    conditions: Vec<Condition>,
}

kube_ext::view!(PodView => resources::POD);

/// A Pod as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PodFacts {
    pub(super) uid: String,
    pub(super) node: String,
    pub(super) ready: bool,
    pub(super) ended: bool,
    pub(super) deleting: bool,
    pub(super) endures: Vec<Endurance>,
}

impl PodFacts {
    /// Takes what is needed of a Pod that has a node.
    pub(super) fn of(view: PodView) -> Option<Self> {
        let endurance = |view: TolerationView| Endurance {
            toleration: Toleration {
                key: view.key,
                operator: view.operator,
                value: view.value,
                effect: view.effect,
            },
            seconds: view.toleration_seconds,
        };
        (!view.spec.node_name.is_empty()).then(|| Self {
            deleting: view.metadata.is_deleting(),
            uid: view.metadata.uid,
            node: view.spec.node_name,
            ready: condition::is_true(&view.status.conditions, "Ready"),
            ended: matches!(view.status.phase.as_str(), "Succeeded" | "Failed"),
            endures: view.spec.tolerations.into_iter().map(endurance).collect(),
        })
    }
}
