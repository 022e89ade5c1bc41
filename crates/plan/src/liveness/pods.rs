//! What happens to the Pods of a node that is tainted, silent or gone.

use std::fmt;
use std::time::Duration;

use super::{NO_EXECUTE, Taint};
use crate::Plan;
use crate::scheduler::{self, Toleration};

/// Somebody vouches that a node is off and stays off: what runs on it does not run any more.
pub const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// How long a Pod's node must have been missing; one that registers anew is not.
pub const QUARANTINE: Duration = Duration::from_secs(40);

/// A toleration with its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endurance {
    /// What is endured.
    pub toleration: Toleration,
    /// For how many seconds; `None`: for ever.
    pub seconds: Option<i64>,
}

/// How long a Pod stays on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// For ever.
    Forever,
    /// For this long since the node was tainted; zero is not at all.
    For(Duration),
}

/// Returns how long a Pod endures `taints`.
pub fn stay(taints: &[Taint], endures: &[Endurance]) -> Stay {
    let mut shortest: Option<Duration> = None;
    for taint in taints.iter().filter(|taint| taint.effect == NO_EXECUTE) {
        let taint = scheduler::Taint {
            key: taint.key.clone(),
            value: taint.value.clone(),
            effect: taint.effect.clone(),
        };
        let Some(endurance) = endures.iter().find(|endurance| endurance.toleration.covers(&taint)) else {
            return Stay::For(Duration::ZERO);
        };
        if let Some(seconds) = endurance.seconds {
            let span = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            shortest = Some(shortest.map_or(span, |shortest| shortest.min(span)));
        }
    }
    shortest.map_or(Stay::Forever, Stay::For)
}

/// A Pod that has a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Name of the node, for people.
    pub node: String,
    /// Whether the Pod has ended.
    pub ended: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What it endures.
    pub endures: Vec<Endurance>,
    /// The node's taints; `None` when there is no such node.
    pub taints: Option<Vec<Taint>>,
    /// Whether the node is ready.
    pub ready: bool,
    /// How long the Pod has been on a node that it does not endure for ever, or whose node has been missing.
    pub since: Duration,
}

/// One thing to do for a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Delete it; the node's kubelet ends it first.
    Evict,
    /// Remove it at once: there is no node any more that could confirm its end.
    Remove {
        /// Why, as the condition `DisruptionTarget` has it.
        why: &'static str,
    },
}

/// Decides what becomes of a Pod.
pub fn step(observed: &Observed) -> Plan<Action> {
    let mut plan = Plan::nothing();
    let Some(taints) = &observed.taints else {
        match QUARANTINE.checked_sub(observed.since).filter(|left| !left.is_zero()) {
            Some(left) => plan.look_again(left, "the node may register anew"),
            None => plan.push(Action::Remove { why: "PodGC: node no longer exists" }),
        }
        return plan;
    };
    if observed.deleting {
        // Whether the Pod has ended nobody can say but the node, or who took it out of service.
        if !observed.ready && taints.iter().any(|taint| taint.key == OUT_OF_SERVICE) {
            plan.push(Action::Remove { why: "PodGC: node is out of service" });
        }
        return plan;
    }
    if observed.ended {
        return plan;
    }
    if let Stay::For(span) = stay(taints, &observed.endures) {
        match span.checked_sub(observed.since).filter(|left| !left.is_zero()) {
            Some(left) => plan.look_again(left, "the Pod endures the node's taints for a while"),
            None => plan.push(Action::Evict),
        }
    }
    plan
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evict => f.write_str("evict the Pod"),
            Self::Remove { why } => write!(f, "remove the Pod ({why})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str) -> Taint {
        Taint { key: key.into(), effect: NO_EXECUTE.into(), ..Taint::default() }
    }

    fn endures(key: &str, seconds: Option<i64>) -> Endurance {
        let toleration = Toleration { key: key.into(), operator: "Exists".into(), ..Toleration::default() };
        Endurance { toleration, seconds }
    }

    #[test]
    fn the_shortest_toleration_counts_and_a_missing_one_most() {
        let s = Duration::from_secs;
        let soft = Taint { effect: "NoSchedule".into(), ..taint("soft") };
        let table: [(&[Taint], &[Endurance], Stay); 7] = [
            (&[], &[], Stay::Forever),
            (&[soft], &[], Stay::Forever),
            (&[taint("a")], &[], Stay::For(s(0))),
            (&[taint("a")], &[endures("a", None)], Stay::Forever),
            (&[taint("a")], &[endures("a", Some(300))], Stay::For(s(300))),
            (&[taint("a"), taint("b")], &[endures("a", Some(300)), endures("b", Some(5))], Stay::For(s(5))),
            (&[taint("a")], &[endures("a", Some(-1))], Stay::For(s(0))),
        ];
        for (taints, endured, expected) in table {
            assert_eq!(stay(taints, endured), expected, "{taints:?} {endured:?}");
        }
    }

    #[test]
    fn a_deleted_pod_waits_for_its_node_unless_somebody_vouches() {
        let pod = |taints: Option<Vec<Taint>>, deleting, ready, since| Observed {
            deleting,
            taints,
            ready,
            since: Duration::from_secs(since),
            endures: vec![endures("lost", Some(300))],
            ..Observed::default()
        };
        let lost = || Some(vec![taint("lost")]);
        let off = || Some(vec![taint("lost"), taint(OUT_OF_SERVICE)]);
        let table = [
            ("endures it", pod(lost(), false, false, 299), vec![]),
            ("has endured enough", pod(lost(), false, false, 300), vec![Action::Evict]),
            ("nobody knows how it is", pod(lost(), true, false, 9999), vec![]),
            (
                "the node is off",
                pod(off(), true, false, 0),
                vec![Action::Remove { why: "PodGC: node is out of service" }],
            ),
            ("the node is not off at all", pod(off(), true, true, 0), vec![]),
            ("the node may come again", pod(None, false, false, 39), vec![]),
            (
                "the node is gone",
                pod(None, true, false, 40),
                vec![Action::Remove { why: "PodGC: node no longer exists" }],
            ),
        ];
        for (name, pod, expected) in table {
            assert_eq!(step(&pod).actions, expected, "{name}");
        }
    }
}
