//! Services and Pods, as far as the way from one to the other depends on them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Identity over time.
    pub uid: String,
    /// Labels, which its slices carry as well.
    pub labels: BTreeMap<String, String>,
    /// Labels of its Pods; `None` when somebody else says where its traffic goes.
    pub selector: Option<BTreeMap<String, String>>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Whether it has no address of its own.
    pub headless: bool,
    /// Whether Pods that are not ready get traffic as well.
    pub publishes_unready: bool,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Name; empty for the only one.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Port of the Service.
    pub number: u16,
    /// Port of the Pods.
    pub target: Target,
    /// What is spoken on it, for people and proxies.
    pub application: Option<String>,
}

/// How a Service names a port of its Pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By number.
    Number(u16),
    /// By the name that a container gives it.
    Name(String),
}

/// A Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Identity over time.
    pub uid: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// IPv4 address, once it has one.
    pub address: Option<String>,
    /// Node that it runs on.
    pub node: Option<String>,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether its work is over.
    pub ended: bool,
    /// Host name.
    pub hostname: Option<String>,
    /// Headless Service that its name belongs to.
    pub subdomain: Option<String>,
    /// Ports that its containers name.
    pub ports: Vec<ContainerPort>,
}

/// A port that a container names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// Name; may be empty.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The port.
    pub number: u16,
}

impl Service {
    /// Takes what matters of a Service; `None` for one that is only another name of a host.
    pub fn of(service: &v1::Service) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        if spec.type_.as_deref() == Some("ExternalName") {
            return None;
        }
        Some(Self {
            name: service.metadata.name.clone().unwrap_or_default(),
            namespace: service.metadata.namespace.clone().unwrap_or_default(),
            uid: service.metadata.uid.clone().unwrap_or_default(),
            labels: service.metadata.labels.clone().unwrap_or_default(),
            selector: spec.selector.clone().filter(|selector| !selector.is_empty()),
            ports: spec.ports.iter().flatten().filter_map(port).collect(),
            headless: spec.cluster_ip.as_deref() == Some("None"),
            publishes_unready: spec.publish_not_ready_addresses == Some(true),
        })
    }

    /// Says whether a Pod with these labels belongs to the Service.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.selector
            .as_ref()
            .is_some_and(|selector| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
    }
}

fn port(port: &v1::ServicePort) -> Option<ServicePort> {
    let number = u16::try_from(port.port).ok()?;
    Some(ServicePort {
        name: port.name.clone().unwrap_or_default(),
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        number,
        target: match &port.target_port {
            None | Some(IntOrString::Int(0)) => Target::Number(number),
            Some(IntOrString::Int(target)) => Target::Number(u16::try_from(*target).ok()?),
            Some(IntOrString::String(name)) => Target::Name(name.clone()),
        },
        application: port.app_protocol.clone(),
    })
}

impl Pod {
    /// Takes what matters of a Pod.
    pub fn of(pod: &v1::Pod) -> Self {
        let (spec, status) = (pod.spec.as_ref(), pod.status.as_ref());
        let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
        let ready =
            conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            address: status.and_then(|status| status.pod_ip.clone()).filter(|address| !address.is_empty()),
            node: spec.and_then(|spec| spec.node_name.clone()),
            ready,
            deleting: pod.metadata.deletion_timestamp.is_some(),
            ended: matches!(phase, "Succeeded" | "Failed"),
            hostname: spec.and_then(|spec| spec.hostname.clone()),
            subdomain: spec.and_then(|spec| spec.subdomain.clone()),
            ports: containers
                .iter()
                .flat_map(|container| container.ports.iter().flatten())
                .filter_map(|port| {
                    Some(ContainerPort {
                        name: port.name.clone().unwrap_or_default(),
                        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                        number: u16::try_from(port.container_port).ok()?,
                    })
                })
                .collect(),
        }
    }
}
