//! The part of a Pod that counts for placing itself and others.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube_ext::{Meta, resources};
use plan::scheduler::Requests;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{NAME, convert};

/// A Pod as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PodView {
    pub(super) metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Option<String>,
    scheduler_name: Option<String>,
    scheduling_gates: Vec<IgnoredAny>,
    containers: Vec<ContainerView>,
    init_containers: Vec<ContainerView>,
    volumes: Vec<VolumeView>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VolumeView {
    persistent_volume_claim: Option<ClaimView>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimView {
    claim_name: String,
}

/// What a container asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerView {
    pub(super) resources: ResourceRequirements,
    pub(super) restart_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
}

kube_ext::view!(PodView => resources::POD);

/// A Pod as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PodFacts {
    pub(super) uid: String,
    pub(super) node: Option<String>,
    pub(super) ended: bool,
    pub(super) deleting: bool,
    pub(super) requests: Requests,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) ours: bool,
    /// Names of its claims.
    pub(super) claims: Vec<String>,
}

impl PodFacts {
    /// Tells whether the Pod waits for this scheduler.
    pub(super) fn needs_node(&self) -> bool {
        self.ours && self.node.is_none() && !self.ended && !self.deleting
    }
}

impl From<PodView> for PodFacts {
    fn from(view: PodView) -> Self {
        let spec = view.spec;
        let ours = spec.scheduler_name.as_deref().is_none_or(|name| name.is_empty() || name == NAME);
        Self {
            deleting: view.metadata.is_deleting(),
            uid: view.metadata.uid,
            node: spec.node_name.filter(|node| !node.is_empty()),
            ended: matches!(view.status.phase.as_str(), "Succeeded" | "Failed"),
            requests: convert::requests(&spec.containers, &spec.init_containers),
            labels: view.metadata.labels,
            claims: spec
                .volumes
                .into_iter()
                .filter_map(|volume| Some(volume.persistent_volume_claim?.claim_name))
                .collect(),
            ours: ours && spec.scheduling_gates.is_empty(),
        }
    }
}
