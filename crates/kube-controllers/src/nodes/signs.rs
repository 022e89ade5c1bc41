//! Signs of life: when something new was last heard of each node, by our own measure of time.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::view::NodeFacts;

/// What was heard, by node.
#[derive(Debug, Default)]
pub(super) struct Signs(BTreeMap<String, Sign>);

#[derive(Debug, Default)]
struct Sign {
    /// What the Lease said.
    renewed: String,
    /// What the status said.
    reported: Option<Timestamp>,
    ready: bool,
    /// When that was new.
    at: Duration,
}

impl Signs {
    /// Takes in a node's object at `now`. The first sight of a node is a sign of life, too: what it did before it was
    /// watched nobody knows.
    pub(super) fn reported(&mut self, node: &str, facts: &NodeFacts, now: Duration) {
        let sign = self.sign(node, now);
        // That a node is not ready is our own word as well.
        let is_new = sign.reported != facts.reported || (!sign.ready && facts.is_ready());
        sign.reported = facts.reported;
        sign.ready = facts.is_ready();
        if is_new {
            sign.at = now;
        }
    }

    /// Takes in a node's Lease at `now`.
    pub(super) fn renewed(&mut self, node: &str, renewed: &str, now: Duration) {
        let sign = self.sign(node, now);
        if sign.renewed != renewed {
            renewed.clone_into(&mut sign.renewed);
            sign.at = now;
        }
    }

    /// Lets every node start anew at `now`.
    pub(super) fn hear_all(&mut self, now: Duration) {
        for sign in self.0.values_mut() {
            sign.at = now;
        }
    }

    /// Forgets a node that is gone.
    pub(super) fn forget(&mut self, node: &str) {
        self.0.remove(node);
    }

    /// Returns how long nothing new was heard of a node.
    pub(super) fn silent_for(&self, node: &str, now: Duration) -> Duration {
        self.0.get(node).map_or(Duration::ZERO, |sign| now.saturating_sub(sign.at))
    }

    fn sign(&mut self, node: &str, now: Duration) -> &mut Sign {
        self.0.entry(node.to_owned()).or_insert_with(|| Sign { at: now, ..Sign::default() })
    }
}
