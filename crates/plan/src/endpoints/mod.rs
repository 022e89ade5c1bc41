//! Where the traffic of a Service goes: the Pods that its selector finds, as EndpointSlices and as Endpoints.
//!
//! A Pod counts once it has an address and until it has ended. Whether it is ready decides where it is listed, not
//! whether it is; a Pod that is being deleted is still listed in the slices, as terminating.

mod facts;
mod legacy;
mod slices;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

pub use self::facts::{ContainerPort, Owner, Pod, PodObject, Service, ServicePort, Target};
pub use self::legacy::{MANAGED_BY as ENDPOINTS_MANAGED_BY, endpoints};
pub use self::slices::{MANAGED_BY as SLICES_MANAGED_BY, SERVICE_NAME, slices};

/// Label of what belongs to a Service without an address of its own.
const HEADLESS: &str = "service.kubernetes.io/headless";

/// A port of a Service, as one Pod answers on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Resolved {
    name: String,
    protocol: String,
    number: u16,
    application: Option<String>,
}

/// Finds out where `pod` answers; `None` when it answers on no port of a Service that has some.
fn resolve(service: &Service, pod: &Pod) -> Option<Vec<Resolved>> {
    let ports: Vec<Resolved> = service
        .ports
        .iter()
        .filter_map(|port| {
            let number = match &port.target {
                Target::Number(number) => Some(*number),
                Target::Name(name) => pod
                    .ports
                    .iter()
                    .find(|known| known.name == *name && known.protocol == port.protocol)
                    .map(|known| known.number),
            };
            Some(Resolved {
                name: port.name.clone(),
                protocol: port.protocol.clone(),
                number: number?,
                application: port.application.clone(),
            })
        })
        .collect();
    (!ports.is_empty() || service.ports.is_empty()).then_some(ports)
}

/// Returns the Pods of a Service in the order of their names.
fn members<'a>(service: &'a Service, pods: &'a [Pod]) -> impl Iterator<Item = &'a Pod> {
    let mut found: Vec<&Pod> = pods
        .iter()
        .filter(|pod| !pod.ended && pod.address.is_some() && service.selects(&pod.labels))
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.into_iter()
}

fn owner(service: &Service) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        block_owner_deletion: Some(true),
        controller: Some(true),
        kind: "Service".to_owned(),
        name: service.name.clone(),
        uid: service.uid.clone(),
    }
}

/// Names a Pod's record in the DNS of a headless Service.
fn host_name(service: &Service, pod: &Pod) -> Option<String> {
    let named = pod.subdomain.as_deref() == Some(service.name.as_str());
    pod.hostname.clone().filter(|hostname| named && !hostname.is_empty())
}
