//! The part of a node that counts for placing Pods.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube_ext::{Meta, resources};
use plan::condition::{self, Condition};
use plan::scheduler::{Node, Taint};
use plan::storage::annotation;
use serde::Deserialize;

use super::convert;

/// A node as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NodeView {
    pub(super) metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    unschedulable: bool,
    taints: Vec<TaintView>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TaintView {
    key: String,
    value: String,
    effect: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    allocatable: BTreeMap<String, Quantity>,
    capacity: BTreeMap<String, Quantity>,
    conditions: Vec<Condition>,
}

kube_ext::view!(NodeView => resources::NODE);

/// A node as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct NodeFacts {
    pub(super) node: Node,
    /// Directory of its local volumes.
    pub(super) local_volumes: Option<String>,
}

/// Compares what matters for placing; what is used is counted elsewhere.
impl PartialEq for NodeFacts {
    fn eq(&self, other: &Self) -> bool {
        let key = |facts: &Self| {
            let node = &facts.node;
            (node.name.clone(), node.labels.clone(), node.cordoned, node.ready, node.taints.clone())
        };
        key(self) == key(other)
            && self.node.allocatable == other.node.allocatable
            && self.local_volumes == other.local_volumes
    }
}

impl From<NodeView> for NodeFacts {
    fn from(view: NodeView) -> Self {
        let status = view.status;
        let has = if status.allocatable.is_empty() { status.capacity } else { status.allocatable };
        let taints = view.spec.taints.into_iter();
        Self {
            local_volumes: view.metadata.annotations.get(annotation::LOCAL_VOLUMES).cloned(),
            node: Node {
                name: view.metadata.name,
                labels: view.metadata.labels,
                cordoned: view.spec.unschedulable,
                ready: condition::is_true(&status.conditions, "Ready"),
                taints: taints.map(|t| Taint { key: t.key, value: t.value, effect: t.effect }).collect(),
                allocatable: convert::amounts(&has),
                ..Node::default()
            },
        }
    }
}
