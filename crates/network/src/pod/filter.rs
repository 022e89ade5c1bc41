//! What Services and NetworkPolicies add to a node's packet filter: a table for each.

use super::bridge::{self, Names};
use super::{NodeNetworkConfig, Uplink};
use crate::{Error, namespace, nft};

/// One of a node's further tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Services to Pods.
    Services,
    /// What policies let pass.
    Policies,
}

impl Part {
    const ALL: [Self; 2] = [Self::Services, Self::Policies];

    fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Policies => "policies",
        }
    }
}

/// Names every further table that a node may have.
pub(super) fn tables(names: &Names) -> impl Iterator<Item = String> {
    Part::ALL.map(|part| names.table(part.name())).into_iter()
}

/// The packet filter of one node. `ironclad down` removes it with the node's network.
#[derive(Clone, Debug)]
pub struct Filter {
    config: NodeNetworkConfig,
    names: Names,
}

impl Filter {
    /// Finds the packet filter of a node; `None` where Pods have no node that packets could pass.
    pub fn of(config: &NodeNetworkConfig) -> Option<Self> {
        (config.uplink == Uplink::Bridge)
            .then(|| Self { config: config.clone(), names: Names::of(&config.instance) })
    }

    /// Returns the pattern that the names of the links to the node's Pods follow; it ends in `*`.
    pub fn links(&self) -> String {
        self.names.links()
    }

    /// Replaces a table by what `body` says, in one step; an empty body removes it. Blocks for some milliseconds.
    pub fn replace(&self, part: Part, body: &str) -> Result<(), Error> {
        let table = self.names.table(part.name());
        let namespace = bridge::namespace(&self.config)?;
        namespace::run(namespace.as_ref(), || async {
            if body.is_empty() { nft::remove_table(&table) } else { nft::replace_table(&table, body) }
        })
    }
}
