//! What is kept of the objects that the controller reads and writes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EndpointSubset, Endpoints};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use kube_ext::Key;
use plan::endpoints::{ENDPOINTS_MANAGED_BY, SERVICE_NAME};

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
