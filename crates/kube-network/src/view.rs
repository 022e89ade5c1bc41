//! Objects without what changes often and matters to no packet.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

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
