//! Claims for storage and the volumes that fill them.
//!
//! ```text
//!   claim Pending --- a volume fits, or one is made ---> Bound - - volume gone - -> Lost
//!   volume Available --- named by a claim ---> Bound --- claim gone ---> Released --- policy Delete ---> gone
//! ```
//!
//! Claim and volume name each other: the volume first (`claimRef` with the claim's identity), then the claim
//! (`volumeName`), so that a crash in between leaves nothing that two claims could take. Who waits for its first
//! consumer gets a volume on the node that the scheduler chose. Nothing that is in use goes: finalizers hold claims
//! until no Pod uses them, and volumes until no claim does.

pub mod claim;
mod fit;
mod observed;
#[cfg(test)]
mod tests;
pub mod volume;

pub use self::observed::{Claim, ClaimRef, Class, Place, Volume};

/// Provisioner of directories on the nodes themselves.
pub const PROVISIONER: &str = "ironclad.io/local-volumes";
/// Name of the storage class that an embedded installation brings along.
pub const DEFAULT_CLASS: &str = "local";
/// Provisioner of classes whose volumes are made by hand.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// Annotations.
pub mod annotation {
    /// On a claim: the node that the scheduler chose for its first consumer.
    pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
    /// On a claim: who shall make its volume.
    pub const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
    /// On a claim: it has been bound once.
    pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
    /// On a claim or volume: the binding is the controller's, not the user's.
    pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
    /// On a volume: who made it.
    pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
    /// On a class: claims that name no class get this one.
    pub const IS_DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
    /// On a node: directory that holds its local volumes.
    pub const LOCAL_VOLUMES: &str = "ironclad.io/local-volumes";
}

/// Finalizers.
pub mod finalizer {
    /// Keeps a claim while a Pod uses it.
    pub const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
    /// Keeps a volume while a claim uses it.
    pub const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
    /// Keeps a local volume until its node has removed the directory.
    pub const LOCAL_VOLUME: &str = "ironclad.io/local-volume";
}
