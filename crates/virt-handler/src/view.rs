//! The part of an instance that the agent keeps in memory. The whole is fetched when a machine is started.

use std::collections::BTreeMap;

use api::kubevirt::v1::AccessCredential;
use api::names::annotation;
use kube_ext::{Meta, resources};
use plan::handler;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// An instance, reduced.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct View {
    pub(crate) metadata: Meta,
    pub(crate) spec: Spec,
    pub(crate) status: Status,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Spec {
    termination_grace_period_seconds: Option<i64>,
    readiness_probe: Option<IgnoredAny>,
    pub(crate) access_credentials: Vec<AccessCredential>,
    domain: Domain,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Domain {
    devices: Devices,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Devices {
    interfaces: Vec<Interface>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Interface {
    name: String,
    state: Option<String>,
}

impl Interface {
    fn is_connected(&self) -> bool {
        self.state.as_deref() != Some("down")
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Status {
    /// Nodes of live Pods, by Pod identity.
    active_pods: BTreeMap<String, String>,
    #[serde(flatten)]
    agent: handler::Status,
}

kube_ext::view!(View => resources::VIRTUAL_MACHINE_INSTANCE);

impl View {
    /// Returns the identity of the launcher Pod on `node`.
    pub(crate) fn pod_on(&self, node: &str) -> Option<&str> {
        self.status.active_pods.iter().find(|(_, on)| *on == node).map(|(uid, _)| uid.as_str())
    }

    /// Returns the first address that the instance shows.
    pub(crate) fn address(&self) -> Option<String> {
        let shown = |interface: &serde_json::Value| interface["ipAddress"].as_str().map(str::to_owned);
        self.status.agent.interfaces.iter().find_map(shown)
    }

    /// Returns what a step looks at.
    pub(crate) fn observed(&self) -> handler::Instance {
        let deleting = self.metadata.is_deleting();
        // One below zero never gets a machine, but must not hide the others from this agent either.
        let grace =
            self.spec.termination_grace_period_seconds.map(|seconds| u64::try_from(seconds).unwrap_or(0));
        let asked =
            self.metadata.deletion_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        handler::Instance {
            name: self.metadata.name.clone(),
            deleting,
            // `kubectl delete --grace-period` may shorten what the specification grants.
            grace_seconds: match (asked, grace.unwrap_or(model::record::DEFAULT_GRACE_PERIOD_SECONDS)) {
                (Some(asked), granted) if deleting && asked > 0 => asked.min(granted),
                (_, granted) => granted,
            },
            probed: self.spec.readiness_probe.is_some(),
            links: (self.spec.domain.devices.interfaces.iter())
                .map(|interface| (interface.name.clone(), interface.is_connected()))
                .collect(),
            places: self.metadata.annotations.get(annotation::PLACES).cloned(),
            status: self.status.agent.clone(),
        }
    }
}
