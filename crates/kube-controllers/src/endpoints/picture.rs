//! What is kept of the objects that the controller reads and writes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EndpointSubset, Endpoints};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use kube_ext::{Key, Kind, Resource, resources};
use plan::endpoints::{ENDPOINTS_MANAGED_BY, Pod, PodObject, SERVICE_NAME};
use serde::Deserialize;

/// A slice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slice {
    /// Name of its Service.
    pub(super) service: String,
    /// Namespace and name of its Service, as one text.
    pub(super) of: String,
    labels: BTreeMap<String, String>,
    endpoints: Vec<Endpoint>,
    ports: Vec<EndpointPort>,
}

impl Slice {
    /// Takes what is compared; `None` for a slice of no Service.
    pub(super) fn of(slice: EndpointSlice) -> Option<Self> {
        let labels = slice.metadata.labels.unwrap_or_default();
        let service = labels.get(SERVICE_NAME)?.clone();
        let of = Key::new(slice.metadata.namespace.unwrap_or_default(), &service).to_string();
        Some(Self { service, of, labels, endpoints: slice.endpoints, ports: slice.ports.unwrap_or_default() })
    }
}

/// An Endpoints object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Legacy {
    /// Whether this controller made it.
    pub(super) ours: bool,
    labels: BTreeMap<String, String>,
    subsets: Vec<EndpointSubset>,
}

impl Legacy {
    /// Takes what is compared.
    pub(super) fn of(object: Endpoints) -> Self {
        let labels = object.metadata.labels.unwrap_or_default();
        let ours = labels
            .get("endpoints.kubernetes.io/managed-by")
            .is_some_and(|manager| manager == ENDPOINTS_MANAGED_BY);
        Self { ours, labels, subsets: object.subsets.unwrap_or_default() }
    }
}

/// A Pod as it is read.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct PodView(PodObject);

impl Kind for PodView {
    const RESOURCE: Resource = resources::POD;

    fn name(&self) -> &str {
        &self.0.metadata.name
    }

    fn namespace(&self) -> &str {
        &self.0.metadata.namespace
    }

    fn uid(&self) -> &str {
        &self.0.metadata.uid
    }

    fn resource_version(&self) -> &str {
        &self.0.metadata.resource_version
    }
}

/// Keeps what matters of a Pod.
pub(super) fn pod(pod: PodView) -> Pod {
    pod.0.into()
}
