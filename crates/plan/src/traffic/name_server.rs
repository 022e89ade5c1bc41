//! The cluster's name server, as policies see it.
//!
//! Policies let machines ask for names by speaking of the name server as of a Pod with the labels `k8s-app: kube-dns` in
//! `kube-system`. Here it is none, so something stands for it: each endpoint of its Service that no Pod is behind.

use k8s_openapi::api::core::v1;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::endpoints::{ContainerPort, Pod};

/// Returns what stands for the name server behind `service`, whose slices are `slices`.
pub fn name_servers(service: &v1::Service, slices: &[&EndpointSlice]) -> Vec<Pod> {
    let meta = &service.metadata;
    let mut servers = Vec::new();
    for slice in slices {
        let ports = slice.ports.iter().flatten();
        let ports: Vec<ContainerPort> = ports
            .filter_map(|port| {
                Some(ContainerPort {
                    name: port.name.clone().unwrap_or_default(),
                    protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                    number: u16::try_from(port.port?).ok()?,
                })
            })
            .collect();
        for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.target_ref.is_none()) {
            servers.extend(endpoint.addresses.first().map(|address| Pod {
                name: meta.name.clone().unwrap_or_default(),
                namespace: meta.namespace.clone().unwrap_or_default(),
                labels: meta.labels.clone().unwrap_or_default(),
                address: Some(address.clone()),
                ready: true,
                ports: ports.clone(),
                ..Pod::default()
            }));
        }
    }
    servers
}
