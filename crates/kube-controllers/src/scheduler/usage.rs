//! What the Pods of each node ask for, added up as changes come in.

use std::collections::BTreeMap;

use kube_ext::Change;
use plan::scheduler::Requests;

use super::pod::PodFacts;

/// Sums by node, in a type that no number of Pods can make overflow: what was added must come off again exactly.
/// `pods` counts Pods, in thousandths like everything else.
#[derive(Debug, Default)]
pub(super) struct Usage {
    nodes: BTreeMap<String, BTreeMap<String, i128>>,
}

impl Usage {
    /// Takes a change of a Pod into account.
    pub(super) fn apply(&mut self, change: &Change<PodFacts>) {
        match change {
            Change::Applied { before, after, .. } => {
                if let Some(before) = before {
                    self.add(before, -1);
                }
                self.add(after, 1);
            }
            Change::Removed { before, .. } => self.add(before, -1),
        }
    }

    /// Returns what is used of a node.
    pub(super) fn of(&self, node: &str) -> Requests {
        let sums = self.nodes.get(node).into_iter().flatten();
        sums.map(|(name, amount)| (name.clone(), i64::try_from(*amount).unwrap_or(i64::MAX))).collect()
    }

    fn add(&mut self, pod: &PodFacts, sign: i128) {
        let Some(node) = pod.node.as_ref().filter(|_| !pod.ended) else { return };
        let sums = self.nodes.entry(node.clone()).or_default();
        for (name, amount) in &pod.requests {
            *sums.entry(name.clone()).or_default() += sign * i128::from(*amount);
        }
        *sums.entry("pods".to_owned()).or_default() += sign * 1000;
        sums.retain(|_, amount| *amount != 0);
        if sums.is_empty() {
            self.nodes.remove(node);
        }
    }
}
