//! A node for a Pod: the first filters say where it cannot run and why, the score says where it runs best.

mod affinity;
mod filter;
mod observed;

use std::collections::BTreeMap;
use std::fmt;

pub use self::affinity::meets_any;
pub use self::observed::{
    AntiAffinity, Node, NodeTerm, Observed, Pod, PodClaim, Requests, Requirement, Taint, Toleration,
};
use crate::{Notice, Plan};

/// One thing to do for a Pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Bind the Pod to a node.
    Bind {
        /// The node.
        node: String,
    },
    /// Have the volume of a claim made on a node; the Pod is bound once it is there.
    SelectNode {
        /// The claim.
        claim: String,
        /// The node.
        node: String,
    },
    /// Say in the Pod's status why it has no node.
    Unschedulable {
        /// Why.
        message: String,
    },
    /// Tell what happened.
    Tell(Notice),
}

/// Decides where a Pod runs. `PodScheduled` is written only when its message is news.
pub fn step(observed: &Observed) -> Plan<Action> {
    let mut plan = Plan::nothing();
    let pod = &observed.pod;
    if let Some(why) = pod.claims.iter().find_map(|claim| match claim {
        PodClaim::Unusable { why } => Some(why),
        _ => None,
    }) {
        refuse(pod, format!("0/{} nodes are available: {why}.", observed.nodes.len()), &mut plan);
        return plan;
    }
    let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
    let mut fitting = Vec::new();
    for node in &observed.nodes {
        let why = filter::refusals(pod, node, &observed.nodes);
        if why.is_empty() {
            fitting.push(node);
        }
        for reason in why {
            *refusals.entry(reason).or_default() += 1;
        }
    }
    // The best score wins; of equals the first in the order of names, so that a replay chooses the same.
    let best = fitting.into_iter().max_by(|a, b| {
        let order = filter::score(pod, a).total_cmp(&filter::score(pod, b));
        order.then_with(|| b.name.cmp(&a.name))
    });
    if let Some(node) = best {
        if await_volumes(pod, &node.name, &mut plan) {
            return plan;
        }
        plan.push(Action::Bind { node: node.name.clone() });
        plan.push(Action::Tell(Notice::normal(
            "Scheduled",
            format!("Successfully assigned {}/{} to {}", pod.namespace, pod.name, node.name),
        )));
        return plan;
    }
    refuse(pod, explain(observed.nodes.len(), &refusals), &mut plan);
    plan
}

/// Says why there is no node, if that is news.
fn refuse(pod: &Pod, message: String, plan: &mut Plan<Action>) {
    if pod.known_message.as_deref() != Some(&message) {
        plan.push(Action::Unschedulable { message: message.clone() });
        plan.push(Action::Tell(Notice::warning("FailedScheduling", message)));
    }
}

/// Has volumes made on the node that was chosen; tells whether there are any to wait for.
fn await_volumes(pod: &Pod, node: &str, plan: &mut Plan<Action>) -> bool {
    let mut waits = false;
    for claim in &pod.claims {
        if let PodClaim::Delayed { name, selected } = claim {
            waits = true;
            if selected.as_deref() != Some(node) {
                plan.push(Action::SelectNode { claim: name.clone(), node: node.to_owned() });
            }
        }
    }
    waits
}

/// Words it as Kubernetes does: how many nodes refuse, and how often each reason applies.
fn explain(nodes: usize, refusals: &BTreeMap<String, usize>) -> String {
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut reasons: Vec<String> =
        refusals.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.sort();
    format!("0/{nodes} nodes are available: {}.", reasons.join(", "))
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { node } => write!(f, "bind to {node}"),
            Self::SelectNode { claim, node } => write!(f, "have the volume of claim {claim} made on {node}"),
            Self::Unschedulable { message } => write!(f, "mark as unschedulable: {message}"),
            Self::Tell(notice) => notice.fmt(f),
        }
    }
}
