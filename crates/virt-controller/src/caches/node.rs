//! The part of a node that the controllers look at.

use api::names::{annotation, label};
use jiff::Timestamp;
use kube_ext::{Meta, resources};
use serde::Deserialize;

/// A node as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NodeView {
    pub(crate) metadata: Meta,
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
}

impl From<NodeView> for NodeFacts {
    fn from(view: NodeView) -> Self {
        let meta = view.metadata;
        let heartbeat = meta.annotations.get(annotation::HEARTBEAT);
        Self {
            schedulable: meta.labels.get(label::SCHEDULABLE).map(|value| value == "true"),
            // Written as a JSON string.
            heartbeat: heartbeat.and_then(|text| text.trim_matches('"').parse().ok()),
            uid: meta.uid,
        }
    }
}
