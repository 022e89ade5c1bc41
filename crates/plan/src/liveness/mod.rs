//! Whether a node is alive, and what follows when it is not: its conditions become unknown, its Pods count as not ready,
//! and a taint says that they are to go. All of it is undone when the node is heard of again.
//!
//! ```text
//!            signs of life stop            grace is over             Pods' tolerations end
//!   Ready ------------------------> Ready ---------------> Unknown ------------------------> Pods deleted
//!     ^                                                       |                                   |
//!     +-------------------- a sign of life: the kubelet writes its conditions ------+------------+
//! ```
//!
//! Silence is measured by whoever asks, from when the last change of the node's Lease or status was seen: clocks of nodes
//! are not trusted, nor is one on the wall. A Pod that is deleted stays until the node's kubelet confirms that it has
//! ended, or somebody says that the node is gone ([`pods`]): until then a guest may be alive, however silent the node.

pub mod pods;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::condition::{self, Condition};
use crate::taints::{NOT_READY, UNREACHABLE};
use crate::{Notice, Plan, time};

/// The effect that ends Pods.
pub const NO_EXECUTE: &str = "NoExecute";
/// Conditions that only a kubelet knows.
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// How long nodes may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A node that has reported before.
    pub grace: Duration,
    /// A node that has never reported.
    pub first: Duration,
}

impl Default for Patience {
    /// The times that Kubernetes' controllers are known for.
    fn default() -> Self {
        Self { grace: Duration::from_secs(40), first: Duration::from_secs(60) }
    }
}

/// How the nodes are, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fleet {
    /// Most of them are well.
    #[default]
    Well,
    /// So many are silent that the network is the likelier cause: no further node loses its Pods.
    Disturbed,
    /// All are silent, so that it is us who hear nothing: no node loses its Pods.
    Silent,
}

impl Fleet {
    /// Judges the nodes by how many there are and how many of them are ready.
    pub fn of(all: usize, ready: usize) -> Self {
        let lost = all.saturating_sub(ready);
        match (ready, lost) {
            (0, 1..) => Self::Silent,
            // Kubernetes' threshold for clusters of up to fifty nodes: at least three, and more than half.
            (_, 3..) if lost * 100 >= all * 55 => Self::Disturbed,
            _ => Self::Well,
        }
    }
}

/// A taint as the API has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_added: Option<Timestamp>,
}

/// A node as this controller sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Name.
    pub name: String,
    /// When it was registered.
    pub created: Timestamp,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// All its taints.
    pub taints: Vec<Taint>,
    /// How long it has been silent.
    pub silent_for: Duration,
    /// How all nodes are.
    pub fleet: Fleet,
    /// How long until another node may lose its Pods: not all do at once.
    pub turn_in: Duration,
    /// Names of its Pods that are shown as ready, namespace first.
    pub ready_pods: Vec<(String, String)>,
}

/// One thing to do for a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write conditions.
    Report {
        /// Strategic merge patch of the status.
        patch: Value,
    },
    /// Replace the taints.
    Taint {
        /// All of them.
        taints: Vec<Taint>,
        /// Whether this is the beginning of the end of the node's Pods.
        begins: bool,
    },
    /// Show a Pod as not ready.
    Doubt {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// Tell what happened to the node.
    Tell(Notice),
}

/// Decides what a node needs now.
pub fn step(observed: &Observed, patience: Patience, now: Timestamp) -> Plan<Action> {
    let mut plan = Plan::nothing();
    let before = condition::find(&observed.conditions, "Ready");
    let grace = if before.is_some() { patience.grace } else { patience.first };
    let mut ready = before.map_or("", |ready| ready.status.as_str());
    if observed.silent_for < grace {
        plan.look_again(grace.saturating_sub(observed.silent_for), "the next sign of life");
    } else {
        let changed: Vec<Value> =
            REPORTED.into_iter().filter_map(|kind| doubted(kind, observed, now)).collect();
        if !changed.is_empty() {
            plan.push(Action::Report { patch: json!({"status": {"conditions": changed}}) });
        }
        if ready == "True" {
            let message = format!("Node {} status is now: NodeNotReady", observed.name);
            plan.push(Action::Tell(Notice::normal("NodeNotReady", message)));
        }
        ready = "Unknown";
    }
    if matches!(ready, "False" | "Unknown") {
        plan.actions.extend(
            observed
                .ready_pods
                .iter()
                .map(|(namespace, name)| Action::Doubt { namespace: namespace.clone(), name: name.clone() }),
        );
    }
    taint(observed, ready, now, &mut plan);
    plan
}

/// Returns the condition `kind` of a silent node, if it does not say so yet.
fn doubted(kind: &str, observed: &Observed, now: Timestamp) -> Option<Value> {
    let now = time::stamp(now);
    match condition::find(&observed.conditions, kind) {
        Some(known) if known.status == "Unknown" => None,
        Some(_) => Some(json!({
            "type": kind, "status": "Unknown", "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.", "lastTransitionTime": now,
        })),
        None => Some(json!({
            "type": kind, "status": "Unknown", "reason": "NodeStatusNeverUpdated",
            "message": "Kubelet never posted node status.",
            "lastHeartbeatTime": time::stamp(observed.created), "lastTransitionTime": now,
        })),
    }
}

/// Adds, swaps or takes off the taint that ends the node's Pods.
fn taint(observed: &Observed, ready: &str, now: Timestamp, plan: &mut Plan<Action>) {
    let is_ours =
        |taint: &&Taint| taint.effect == NO_EXECUTE && matches!(taint.key.as_str(), NOT_READY | UNREACHABLE);
    let held: Vec<&Taint> = observed.taints.iter().filter(is_ours).collect();
    let wanted = match ready {
        "Unknown" => Some(UNREACHABLE),
        "False" => Some(NOT_READY),
        _ => None,
    };
    let wanted = match observed.fleet {
        Fleet::Silent => None,
        Fleet::Disturbed => wanted.filter(|_| !held.is_empty()),
        Fleet::Well => wanted,
    };
    let same = match wanted {
        None => held.is_empty(),
        Some(key) => held.len() == 1 && held.iter().all(|taint| taint.key == key),
    };
    if same {
        return;
    }
    let begins = held.is_empty();
    if begins && !observed.turn_in.is_zero() {
        plan.look_again(observed.turn_in, "not all nodes lose their Pods at once");
        return;
    }
    let mut taints: Vec<Taint> = observed.taints.iter().filter(|taint| !is_ours(taint)).cloned().collect();
    taints.extend(wanted.map(|key| Taint {
        key: key.to_owned(),
        value: String::new(),
        effect: NO_EXECUTE.to_owned(),
        time_added: Some(time::stamp(now)),
    }));
    plan.push(Action::Taint { taints, begins });
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report { patch } => write!(f, "report {patch}"),
            Self::Taint { taints, .. } => {
                let taints: Vec<_> =
                    taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect();
                write!(f, "taint with {taints:?}")
            }
            Self::Doubt { namespace, name } => write!(f, "show Pod {namespace}/{name} as not ready"),
            Self::Tell(notice) => notice.fmt(f),
        }
    }
}
