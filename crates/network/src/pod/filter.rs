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

    /// Says whether the node has no network of its own, but the machine's, with all that runs there.
    pub fn shares_the_machine(&self) -> bool {
        self.config.namespace.is_none()
    }

    /// Says whether the table is there in the families that these bodies are for. Somebody else may have removed it.
    pub fn holds(&self, part: Part, ip: &str, ip6: &str) -> Result<bool, Error> {
        let wanted = [("ip", ip), ("ip6", ip6)].into_iter().filter(|(_, body)| !body.is_empty());
        let wanted: Vec<&str> = wanted.map(|(family, _)| family).collect();
        if wanted.is_empty() {
            return Ok(true);
        }
        let name = self.names.table(part.name());
        let namespace = bridge::namespace(&self.config)?;
        let there = namespace::run(namespace.as_ref(), || async { nft::tables() })?;
        let is_there =
            |family: &&str| there.iter().any(|table| table.name == name && table.family == *family);
        Ok(wanted.iter().all(is_there))
    }

    /// Replaces a table of both families by what the bodies say, in one step; an empty body removes the family's.
    /// Blocks for some milliseconds.
    pub fn replace(&self, part: Part, ip: &str, ip6: &str) -> Result<(), Error> {
        let body = nft::Body { ip: ip.to_owned(), ip6: ip6.to_owned() };
        let table = self.names.table(part.name());
        let namespace = bridge::namespace(&self.config)?;
        namespace::run(namespace.as_ref(), || async { nft::replace_table(&table, &body) })
    }
}
