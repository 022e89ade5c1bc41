//! A node whose agent fell silent: no new machines for it, and no false news about those it had.
//!
//! The agent signs its life on the node by an annotation. When the last sign is too old, the node is marked as not
//! schedulable for machines, and the instances it had handed over count as failed, so that their machines can
//! start elsewhere once the launcher Pods are confirmed gone.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Notice, Plan};
use api::names::label;

/// How old the last sign of life may be.
pub const SILENCE: Duration = Duration::from_secs(300);

/// Reason of Events and of the instances that are given up.
pub const UNRESPONSIVE: &str = "NodeUnresponsive";

/// A node as this controller sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Name.
    pub name: String,
    /// Whether it is marked schedulable for machines; `None`: the agent never ran here.
    pub schedulable: Option<bool>,
    /// Last sign of life of the agent, by the node's clock.
    pub heartbeat: Option<Timestamp>,
    /// How long ago that was new, by the measure of who watches: clocks of nodes are not trusted, and one on the wall may
    /// have been set meanwhile.
    pub silent_for: Duration,
    /// Instances on the node that have not ended.
    pub instances: Vec<Instance>,
}

/// An instance on the node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instance {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Whether a launcher Pod of it still exists. While it does, the guest may be alive, however silent the node.
    pub has_pod: bool,
}

/// One thing to do for a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Change the node's labels.
    MarkNode {
        /// Merge patch of the node.
        patch: Value,
    },
    /// Mark an instance as failed.
    FailInstance {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// Tell what happened to the node.
    Tell(Notice),
}

/// Decides what a node needs now.
pub fn step(observed: &Observed) -> Plan<Action> {
    let mut plan = Plan::nothing();
    let (Some(schedulable), Some(heartbeat)) = (observed.schedulable, observed.heartbeat) else {
        return plan;
    };
    if let Some(left) = SILENCE.checked_sub(observed.silent_for).filter(|left| !left.is_zero()) {
        plan.look_again(left + Duration::from_secs(1), "the next sign of life");
        return plan;
    }
    if schedulable {
        plan.push(Action::MarkNode { patch: json!({"metadata": {"labels": {label::SCHEDULABLE: "false"}}}) });
        plan.push(Action::Tell(Notice::warning(
            UNRESPONSIVE,
            format!("The agent on this node has been silent since {heartbeat}; no machines are placed here"),
        )));
    }
    for instance in observed.instances.iter().filter(|instance| !instance.has_pod) {
        plan.push(Action::FailInstance {
            namespace: instance.namespace.clone(),
            name: instance.name.clone(),
        });
    }
    plan
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MarkNode { .. } => f.write_str("mark the node as not schedulable"),
            Self::FailInstance { namespace, name } => write!(f, "fail instance {namespace}/{name}"),
            Self::Tell(notice) => notice.fmt(f),
        }
    }
}
