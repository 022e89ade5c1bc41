//! Taints that say what state a node is in: not ready, unreachable, cordoned, short of memory.
//!
//! A node gets the first of them when it registers, by the API server; it is taken off here, once its kubelet says that
//! it is ready, so that nothing is placed on a node that only just appeared.

use std::fmt;

use crate::Plan;

/// The node is not ready, or has not said so yet.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Nobody has heard of the node for too long.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// The node is cordoned.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// The node is short of memory.
pub const MEMORY_PRESSURE: &str = "node.kubernetes.io/memory-pressure";
/// The effect that these taints have.
pub const EFFECT: &str = "NoSchedule";

/// A taint of a node, as far as it is told apart from others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// A node as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Status of the condition `Ready`: `True`, `False`, `Unknown`; `None` when there is no such condition.
    pub ready: Option<String>,
    /// Whether it is cordoned.
    pub cordoned: bool,
    /// Whether its condition `MemoryPressure` holds.
    pub lacks_memory: bool,
    /// All its taints.
    pub taints: Vec<Taint>,
}

/// The one thing to do for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Keys of taints to add.
    pub add: Vec<&'static str>,
    /// Keys of taints to take off.
    pub remove: Vec<&'static str>,
}

/// Decides which taints of its state a node gains and loses. Others' taints are not looked at.
pub fn step(observed: &Observed) -> Plan<Action> {
    let ready = observed.ready.as_deref();
    let wanted = [
        (NOT_READY, matches!(ready, None | Some("False"))),
        (UNREACHABLE, ready == Some("Unknown")),
        (UNSCHEDULABLE, observed.cordoned),
        (MEMORY_PRESSURE, observed.lacks_memory),
    ];
    let held = |key: &str| observed.taints.iter().any(|taint| taint.key == key && taint.effect == EFFECT);
    let keys = |wish: bool| {
        wanted.iter().filter(move |(_, is)| *is == wish).map(|(key, _)| *key).collect::<Vec<_>>()
    };
    let add: Vec<_> = keys(true).into_iter().filter(|key| !held(key)).collect();
    let remove: Vec<_> = keys(false).into_iter().filter(|key| held(key)).collect();
    let mut plan = Plan::nothing();
    if !add.is_empty() || !remove.is_empty() {
        plan.push(Action { add, remove });
    }
    plan
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "taint with {:?}, take off {:?}", self.add, self.remove)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, effect: &str) -> Taint {
        Taint { key: key.into(), effect: effect.into() }
    }

    #[test]
    fn taints_follow_the_state_of_the_node() {
        let own = taint("example.test/mine", "NoSchedule");
        let evicting = taint(NOT_READY, "NoExecute");
        type Case<'a> = (Option<&'a str>, bool, Vec<Taint>, &'a [&'a str], &'a [&'a str]);
        let cases: &[Case<'_>] = &[
            (None, false, vec![], &[NOT_READY], &[]),
            (None, false, vec![taint(NOT_READY, EFFECT)], &[], &[]),
            (Some("True"), false, vec![taint(NOT_READY, EFFECT), own.clone()], &[], &[NOT_READY]),
            (Some("True"), false, vec![evicting.clone(), own], &[], &[]),
            (Some("False"), false, vec![evicting], &[NOT_READY], &[]),
            (Some("Unknown"), false, vec![taint(NOT_READY, EFFECT)], &[UNREACHABLE], &[NOT_READY]),
            (Some("True"), true, vec![], &[UNSCHEDULABLE], &[]),
            (Some("True"), false, vec![taint(UNSCHEDULABLE, EFFECT)], &[], &[UNSCHEDULABLE]),
        ];
        for (ready, cordoned, taints, add, remove) in cases {
            let observed = Observed {
                ready: ready.map(str::to_owned),
                cordoned: *cordoned,
                taints: taints.clone(),
                ..Observed::default()
            };
            let (added, removed) = match step(&observed).actions.as_slice() {
                [] => (Vec::new(), Vec::new()),
                [one, ..] => (one.add.clone(), one.remove.clone()),
            };
            assert_eq!((added.as_slice(), removed.as_slice()), (*add, *remove), "{observed:?}");
        }
    }

    #[test]
    fn a_node_without_memory_keeps_others_away() {
        let ready = Observed { ready: Some("True".into()), ..Observed::default() };
        let short = Observed { lacks_memory: true, ..ready.clone() };
        let action = |observed: &Observed| step(observed).actions.remove(0);
        assert_eq!(action(&short), Action { add: vec![MEMORY_PRESSURE], remove: vec![] });
        let over = Observed { taints: vec![taint(MEMORY_PRESSURE, EFFECT)], ..ready };
        assert_eq!(action(&over), Action { add: vec![], remove: vec![MEMORY_PRESSURE] });
    }
}
