//! EndpointSlices of a Service.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{HEADLESS, Pod, Resolved, Service, host_name, members, owner, resolve};
use crate::name;

/// Label of a slice that names its Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Value of the label that says who looks after a slice.
pub const MANAGED_BY: &str = "endpointslice-controller.k8s.io";

/// Label that says who looks after a slice.
const MANAGER: &str = "endpointslice.kubernetes.io/managed-by";
/// Endpoints in one slice.
const MOST: usize = 100;

/// Returns the slices that a Service should have; none when it has no selector.
///
/// Pods that resolve the Service's ports differently are in different slices. A Service without Pods has one
/// slice without endpoints, so that readers can tell "none" from "not known yet".
pub fn slices(service: &Service, pods: &[Pod]) -> Vec<EndpointSlice> {
    if service.selector.is_none() {
        return Vec::new();
    }
    let mut groups: BTreeMap<Vec<Resolved>, Vec<Endpoint>> = BTreeMap::new();
    for pod in members(service, pods) {
        if let Some(ports) = resolve(service, pod) {
            groups.entry(ports).or_default().push(endpoint(service, pod));
        }
    }
    if groups.is_empty() {
        groups.insert(Vec::new(), Vec::new());
    }
    let mut slices = Vec::new();
    for (ports, endpoints) in groups {
        let chunks: Vec<&[Endpoint]> =
            if endpoints.is_empty() { vec![&[]] } else { endpoints.chunks(MOST).collect() };
        for (number, chunk) in chunks.into_iter().enumerate() {
            slices.push(slice(service, &ports, number, chunk.to_vec()));
        }
    }
    slices
}

fn slice(service: &Service, ports: &[Resolved], number: usize, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let mut labels = service.labels.clone();
    labels.insert(SERVICE_NAME.to_owned(), service.name.clone());
    labels.insert(MANAGER.to_owned(), MANAGED_BY.to_owned());
    if service.headless {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    let seed = format!("{}/{ports:?}/{number}", service.uid);
    EndpointSlice {
        address_type: "IPv4".to_owned(),
        endpoints,
        metadata: ObjectMeta {
            name: Some(format!("{}-{}", service.name, name::suffix(&seed))),
            namespace: Some(service.namespace.clone()),
            labels: Some(labels),
            owner_references: Some(vec![owner(service)]),
            ..ObjectMeta::default()
        },
        ports: Some(
            ports
                .iter()
                .map(|port| EndpointPort {
                    app_protocol: port.application.clone(),
                    name: Some(port.name.clone()),
                    port: Some(i32::from(port.number)),
                    protocol: Some(port.protocol.clone()),
                })
                .collect(),
        ),
    }
}

fn endpoint(service: &Service, pod: &Pod) -> Endpoint {
    Endpoint {
        addresses: pod.address.iter().cloned().collect(),
        conditions: Some(EndpointConditions {
            ready: Some(service.publishes_unready || (pod.ready && !pod.deleting)),
            serving: Some(service.publishes_unready || pod.ready),
            terminating: Some(pod.deleting),
        }),
        hostname: host_name(service, pod),
        node_name: pod.node.clone(),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            name: Some(pod.name.clone()),
            namespace: Some(pod.namespace.clone()),
            uid: Some(pod.uid.clone()),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    }
}
