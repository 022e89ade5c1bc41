//! The Endpoints object of a Service, for clients that do not read EndpointSlices.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{HEADLESS, Pod, Resolved, Service, host_name, members, resolve};

/// Value of the label that says who looks after an Endpoints object.
pub const MANAGED_BY: &str = "endpoint-controller";

/// Label that says who looks after an Endpoints object.
const MANAGER: &str = "endpoints.kubernetes.io/managed-by";
/// Annotation of an object that does not hold all addresses.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Addresses in one object.
const MOST: usize = 1000;

/// Returns the Endpoints object that a Service should have; `None` when it has no selector.
pub fn endpoints(service: &Service, pods: &[Pod]) -> Option<Endpoints> {
    service.selector.as_ref()?;
    let mut groups: BTreeMap<Vec<Resolved>, (Vec<EndpointAddress>, Vec<EndpointAddress>)> = BTreeMap::new();
    let mut count = 0;
    for pod in members(service, pods).filter(|pod| service.publishes_unready || !pod.deleting) {
        let Some(ports) = resolve(service, pod) else { continue };
        count += 1;
        if count > MOST {
            continue;
        }
        let (ready, waiting) = groups.entry(ports).or_default();
        let list = if pod.ready || service.publishes_unready { ready } else { waiting };
        list.push(address(service, pod));
    }
    let mut labels = service.labels.clone();
    labels.insert(MANAGER.to_owned(), MANAGED_BY.to_owned());
    if service.headless {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    let subsets: Vec<EndpointSubset> = groups.into_iter().map(subset).collect();
    Some(Endpoints {
        metadata: ObjectMeta {
            name: Some(service.name.clone()),
            namespace: Some(service.namespace.clone()),
            labels: Some(labels),
            annotations: (count > MOST)
                .then(|| BTreeMap::from([(OVER_CAPACITY.to_owned(), "truncated".to_owned())])),
            ..ObjectMeta::default()
        },
        subsets: (!subsets.is_empty()).then_some(subsets),
    })
}

fn subset(
    (ports, (ready, waiting)): (Vec<Resolved>, (Vec<EndpointAddress>, Vec<EndpointAddress>)),
) -> EndpointSubset {
    let ports: Vec<EndpointPort> = ports
        .into_iter()
        .map(|port| EndpointPort {
            app_protocol: port.application,
            name: (!port.name.is_empty()).then_some(port.name),
            port: i32::from(port.number),
            protocol: Some(port.protocol),
        })
        .collect();
    EndpointSubset {
        addresses: (!ready.is_empty()).then_some(ready),
        not_ready_addresses: (!waiting.is_empty()).then_some(waiting),
        ports: (!ports.is_empty()).then_some(ports),
    }
}

fn address(service: &Service, pod: &Pod) -> EndpointAddress {
    EndpointAddress {
        hostname: host_name(service, pod),
        ip: pod.address.clone().unwrap_or_default(),
        node_name: pod.node.clone(),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            name: Some(pod.name.clone()),
            namespace: Some(pod.namespace.clone()),
            uid: Some(pod.uid.clone()),
            ..ObjectReference::default()
        }),
    }
}
