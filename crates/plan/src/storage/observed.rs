//! What is looked at of claims, volumes, classes and nodes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use machinery::selector::LabelSelector;

use super::finalizer;
use crate::scheduler::NodeTerm;

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Identity.
    pub uid: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its finalizers.
    pub finalizers: Vec<String>,
    /// Class; `None` asks for the default, the empty name for none.
    pub class: Option<String>,
    /// Volume that it names; empty before it has one.
    pub volume: String,
    /// Access modes that it asks for.
    pub modes: Vec<String>,
    /// Whether it asks for a device instead of a file system.
    pub block: bool,
    /// Bytes that it asks for.
    pub request: u64,
    /// The same as the user wrote it.
    pub request_text: String,
    /// Which volumes are good enough.
    pub selector: Option<LabelSelector>,
    /// Whether it asks for content.
    pub has_source: bool,
    /// Node of its first consumer.
    pub selected_node: Option<String>,
    /// Who shall make its volume, as it is written down.
    pub provisioner: Option<String>,
    /// Whether it has been bound once.
    pub bind_completed: bool,
    /// Phase.
    pub phase: String,
    /// Capacity in its status.
    pub capacity_text: String,
}

impl Claim {
    /// Tells whether its volume can be used.
    pub fn is_bound(&self) -> bool {
        !self.volume.is_empty() && self.bind_completed && self.phase == "Bound"
    }

    /// Tells whether the finalizer that protects it is there.
    pub fn is_protected(&self) -> bool {
        self.finalizers.iter().any(|name| name == finalizer::CLAIM_PROTECTION)
    }
}

/// A PersistentVolume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// Identity.
    pub uid: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its finalizers.
    pub finalizers: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Class; empty for none.
    pub class: String,
    /// Access modes that it offers.
    pub modes: Vec<String>,
    /// Whether it is a device.
    pub block: bool,
    /// Bytes.
    pub capacity: u64,
    /// The same as it is written.
    pub capacity_text: String,
    /// Claim that it belongs to.
    pub claim: Option<ClaimRef>,
    /// What becomes of it when its claim is gone.
    pub reclaim: String,
    /// Who made it.
    pub provisioned_by: Option<String>,
    /// Where it can be used: one of these must hold; empty: everywhere.
    pub nodes: Vec<NodeTerm>,
    /// Phase.
    pub phase: String,
}

impl Volume {
    /// Tells whether the finalizer that protects it is there.
    pub fn is_protected(&self) -> bool {
        self.finalizers.iter().any(|name| name == finalizer::VOLUME_PROTECTION)
    }
}

/// The claim that a volume names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Identity; empty when a user reserved the volume for whoever will have the name.
    pub uid: String,
}

impl ClaimRef {
    /// Tells whether the reference has the claim's name.
    pub fn names(&self, claim: &Claim) -> bool {
        self.namespace == claim.namespace && self.name == claim.name
    }

    /// Tells whether the reference is to this very claim.
    pub fn is(&self, claim: &Claim) -> bool {
        self.names(claim) && self.uid == claim.uid
    }
}

/// A StorageClass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Class {
    /// Name.
    pub name: String,
    /// Who makes its volumes.
    pub provisioner: String,
    /// Whether volumes wait for the first consumer.
    pub delayed: bool,
    /// Reclaim policy of its volumes.
    pub reclaim: String,
    /// Whether its volumes grow with their claims.
    pub expandable: bool,
    /// Whether claims that name no class get this one.
    pub is_default: bool,
    /// When it was made; of several defaults the newest counts.
    pub created: Option<Timestamp>,
}

/// Where a node keeps local volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Name of the node.
    pub node: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Absolute path; `None` when it offers none.
    pub directory: Option<String>,
}
