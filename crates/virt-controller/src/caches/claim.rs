//! The part of a claim that the controllers look at.

use kube_ext::{Meta, resources};
use serde::Deserialize;

/// A claim as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ClaimView {
    pub(crate) metadata: Meta,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: String,
}

kube_ext::view!(ClaimView => resources::PERSISTENT_VOLUME_CLAIM);

/// A claim as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimFacts {
    /// Whether it has its volume.
    pub(crate) bound: bool,
}

impl From<ClaimView> for ClaimFacts {
    fn from(view: ClaimView) -> Self {
        Self { bound: view.status.phase == "Bound" }
    }
}
