//! The part of a node that the controllers look at.

use api::names::{annotation, condition, label};
use jiff::Timestamp;
use kube_ext::{Meta, resources};
use plan::condition::Condition;
use serde::Deserialize;

/// Condition of a node that is short of memory, which keeps new machines away.
const MEMORY_PRESSURE: &str = "MemoryPressure";

/// A node as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NodeView {
    pub(crate) metadata: Meta,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

kube_ext::view!(NodeView => resources::NODE);

/// A node as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NodeFacts {
    /// Identity.
    pub(crate) uid: String,
    /// Whether machines may be placed on it, if its agent ever said so.
    pub(crate) schedulable: Option<bool>,
    /// The agent's last sign of life.
    pub(crate) heartbeat: Option<Timestamp>,
    /// Why no machine can start on it, if that is so.
    pub(crate) problem: Option<String>,
}

impl From<NodeView> for NodeFacts {
    fn from(view: NodeView) -> Self {
        let meta = view.metadata;
        let hypervisor = plan::condition::find(&view.status.conditions, condition::HYPERVISOR_AVAILABLE);
        let memory = plan::condition::find(&view.status.conditions, MEMORY_PRESSURE);
        let problem = hypervisor
            .filter(|hypervisor| hypervisor.is_false())
            .or_else(|| memory.filter(|pressure| pressure.is_true()));
        let heartbeat = meta.annotations.get(annotation::HEARTBEAT);
        Self {
            schedulable: meta.labels.get(label::SCHEDULABLE).map(|value| value == "true"),
            // Written as a JSON string.
            heartbeat: heartbeat.and_then(|text| text.trim_matches('"').parse().ok()),
            problem: problem.map(|problem| format!("node {}: {}", meta.name, problem.message())),
            uid: meta.uid,
        }
    }
}
