//! Objects without what changes often and matters to no packet.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_ext::{Kind, Resource, resources};
use plan::endpoints::{Pod, PodObject};
use serde::Deserialize;

/// Label of a slice that names its Service.
pub(crate) use plan::endpoints::SERVICE_NAME;

/// Keeps what says which object it is.
fn identity(meta: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        labels: meta.labels,
        ..ObjectMeta::default()
    }
}

/// Keeps what traffic depends on.
pub(crate) fn service(service: Service) -> Service {
    Service { metadata: identity(service.metadata), ..service }
}

/// Keeps what traffic depends on; `None` for a slice of no Service.
pub(crate) fn slice(slice: EndpointSlice) -> Option<EndpointSlice> {
    owner(&slice)?;
    Some(EndpointSlice { metadata: identity(slice.metadata), ..slice })
}

/// Returns namespace and name of the Service that a slice belongs to, as one text.
pub(crate) fn owner(slice: &EndpointSlice) -> Option<String> {
    let service = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(format!("{}/{service}", slice.metadata.namespace.as_deref().unwrap_or_default()))
}

/// A Pod as it is read.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct PodView(PodObject);

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

/// Keeps what traffic depends on.
pub(crate) fn pod(pod: PodView) -> Pod {
    pod.0.into()
}
