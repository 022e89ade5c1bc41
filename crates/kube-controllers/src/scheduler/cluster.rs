//! What others may know of the scheduler's pictures: who uses a claim, and where nodes keep volumes.

use kube_ext::{Cache, Key};
use plan::storage::Place;

use super::node::NodeFacts;
use super::pod::PodFacts;

/// Pods and nodes.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(super) pods: Cache<PodFacts>,
    pub(super) nodes: Cache<NodeFacts>,
}

impl Cluster {
    /// Ends when everything is known.
    pub(crate) async fn synced(&self) {
        self.pods.synced().await;
        self.nodes.synced().await;
    }

    /// Returns the names of Pods that have a node, have not ended, and use a claim.
    pub(crate) fn users(&self, claim: &Key) -> Vec<String> {
        let pods = self.pods.in_namespace(&claim.namespace).into_iter();
        pods.filter(|(_, pod)| pod.node.is_some() && !pod.ended && pod.claims.contains(&claim.name))
            .map(|(key, _)| key.name)
            .collect()
    }

    /// Returns where each node keeps its volumes, in the order of their names.
    pub(crate) fn places(&self) -> Vec<Place> {
        let nodes = self.nodes.all().into_iter();
        nodes
            .map(|(_, facts)| Place {
                node: facts.node.name.clone(),
                labels: facts.node.labels.clone(),
                directory: facts.local_volumes.clone(),
            })
            .collect()
    }
}
