//! Services and Pods, as far as the way from one to the other depends on them.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;
use serde::de::IgnoredAny;

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
    /// IPv6 address, where it has one.
    pub address6: Option<Ipv6Addr>,
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
    /// What manages it, if anything does.
    pub owner: Option<Box<Owner>>,
}

/// What manages a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Owner {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    controller: bool,
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

/// A Pod as it is read; fields that do not matter are skipped while parsing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodObject {
    /// Metadata.
    pub metadata: PodMeta,
    spec: PodSpec,
    status: PodStatus,
}

/// Metadata of a Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodMeta {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Identity over time.
    pub uid: String,
    /// Revision of this state.
    pub resource_version: String,
    labels: BTreeMap<String, String>,
    deletion_timestamp: Option<IgnoredAny>,
    owner_references: Vec<Owner>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: Option<String>,
    hostname: Option<String>,
    subdomain: Option<String>,
    containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    ports: Vec<v1::ContainerPort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodAddress>,
    conditions: Vec<PodCondition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodAddress {
    ip: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

impl From<PodObject> for Pod {
    fn from(object: PodObject) -> Self {
        let PodObject { metadata, spec, status } = object;
        let ready = |condition: &PodCondition| condition.kind == "Ready" && condition.status == "True";
        Self {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            labels: metadata.labels,
            owner: metadata.owner_references.into_iter().find(|owner| owner.controller).map(Box::new),
            address6: status.pod_ips.into_iter().find_map(|address| address.ip.parse().ok()),
            address: status.pod_ip.filter(|address| !address.is_empty()),
            node: spec.node_name,
            ready: status.conditions.iter().any(ready),
            deleting: metadata.deletion_timestamp.is_some(),
            ended: matches!(status.phase.as_str(), "Succeeded" | "Failed"),
            hostname: spec.hostname,
            subdomain: spec.subdomain,
            ports: spec
                .containers
                .into_iter()
                .flat_map(|container| container.ports)
                .filter_map(named)
                .collect(),
        }
    }
}

fn named(port: v1::ContainerPort) -> Option<ContainerPort> {
    Some(ContainerPort {
        name: port.name.unwrap_or_default(),
        protocol: port.protocol.unwrap_or_else(|| "TCP".to_owned()),
        number: u16::try_from(port.container_port).ok()?,
    })
}
