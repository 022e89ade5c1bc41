//! The parts of machines and instances that requests are judged by.

use api::names::{condition, phase};
use kube_ext::{Api, Client, Key, Kind, Meta, resources};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::refusal::Refusal;
use super::route::Scope;

/// A condition, reduced to what is so.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

fn has(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|condition| condition.kind == kind && condition.status == "True")
}

/// A `VirtualMachine`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Machine {
    pub(crate) metadata: Meta,
    pub(crate) spec: MachineSpec,
    pub(crate) status: Option<MachineStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MachineSpec {
    pub(crate) running: Option<bool>,
    pub(crate) run_strategy: Option<String>,
    pub(crate) template: Template,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Template {
    pub(crate) spec: TemplateSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TemplateSpec {
    pub(crate) volumes: Vec<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MachineStatus {
    pub(crate) created: bool,
    pub(crate) conditions: Vec<Condition>,
    /// As they stand there: a change of them is made on the condition that they did not change.
    pub(crate) state_change_requests: Vec<Value>,
    pub(crate) start_failure: Option<Value>,
    pub(crate) snapshot_in_progress: Option<String>,
    pub(crate) memory_dump_request: Option<Value>,
}

kube_ext::view!(Machine => resources::VIRTUAL_MACHINE);

impl Machine {
    /// Reads a machine.
    pub(crate) async fn fetch(client: &Client, namespace: &str, name: &str) -> Result<Self, Refusal> {
        fetch(client, Scope::Machine, namespace, name)
            .await?
            .ok_or_else(|| Refusal::not_found(Scope::Machine, name))
    }

    /// The run strategy, also where it is said by the older `running`.
    pub(crate) fn strategy(&self) -> &str {
        match (self.spec.run_strategy.as_deref(), self.spec.running) {
            (Some(strategy), _) => strategy,
            (None, Some(true)) => "Always",
            (None, _) => "Halted",
        }
    }

    /// Whether a condition is true.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.status.as_ref().is_some_and(|status| has(&status.conditions, kind))
    }
}

/// A `VirtualMachineInstance`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Instance {
    pub(crate) metadata: Meta,
    pub(crate) spec: InstanceSpec,
    pub(crate) status: InstanceStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct InstanceSpec {
    pub(crate) domain: Domain,
    pub(crate) liveness_probe: Option<Value>,
    pub(crate) volumes: Vec<Value>,
    pub(crate) termination_grace_period_seconds: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Domain {
    pub(crate) devices: Devices,
    pub(crate) features: Option<Features>,
    pub(crate) launch_security: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Devices {
    pub(crate) autoattach_serial_console: Option<bool>,
    pub(crate) autoattach_graphics_device: Option<bool>,
    #[serde(rename = "autoattachVSOCK")]
    pub(crate) autoattach_vsock: Option<bool>,
    pub(crate) client_passthrough: Option<Value>,
    pub(crate) interfaces: Vec<IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Features {
    pub(crate) acpi: Switch,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Switch {
    pub(crate) enabled: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct InstanceStatus {
    pub(crate) phase: String,
    pub(crate) node_name: String,
    pub(crate) evacuation_node_name: String,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) migration_state: Option<Migration>,
    pub(crate) changed_block_tracking: Option<Tracking>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Interface {
    pub(crate) ip_address: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Migration {
    pub(crate) completed: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tracking {
    pub(crate) state: String,
}

kube_ext::view!(Instance => resources::VIRTUAL_MACHINE_INSTANCE);

impl Instance {
    /// Reads an instance.
    pub(crate) async fn fetch(client: &Client, namespace: &str, name: &str) -> Result<Self, Refusal> {
        let found = Self::find(client, namespace, name).await?;
        found.ok_or_else(|| Refusal::not_found(Scope::Instance, name))
    }

    /// Reads an instance, if it exists.
    pub(crate) async fn find(client: &Client, namespace: &str, name: &str) -> Result<Option<Self>, Refusal> {
        fetch(client, Scope::Instance, namespace, name).await
    }

    /// Whether it has ended.
    pub(crate) fn is_final(&self) -> bool {
        matches!(&*self.status.phase, phase::SUCCEEDED | phase::FAILED)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.status.phase == phase::RUNNING
    }

    /// Whether its node's agent has it.
    pub(crate) fn is_on_node(&self) -> bool {
        matches!(&*self.status.phase, phase::SCHEDULED | phase::RUNNING)
    }

    /// Whether a condition is true.
    pub(crate) fn is(&self, kind: &str) -> bool {
        has(&self.status.conditions, kind)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.is(condition::PAUSED)
    }

    /// 409 about this instance.
    pub(crate) fn conflict(&self, why: impl std::fmt::Display) -> Refusal {
        Refusal::conflict(Scope::Instance, &self.metadata.name, why)
    }
}

async fn fetch<K: Kind>(
    client: &Client,
    scope: Scope,
    namespace: &str,
    name: &str,
) -> Result<Option<K>, Refusal> {
    if !is_name(name) {
        return Err(Refusal::not_found(scope, name));
    }
    let found = Api::<K>::new(client).find(&Key::new(namespace, name)).await;
    found.map_err(|error| Refusal::of_api(&error))
}

/// Whether a text can name an object. What cannot is not put into a path.
pub(crate) fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(fits) && text != "." && text != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_not_looked_for() {
        for (text, expected) in
            [("web-1.a", true), ("", false), ("..", false), ("a/b", false), ("a%2Fb", false), ("A", false)]
        {
            assert_eq!(is_name(text), expected, "{text}");
        }
    }

    #[test]
    fn running_is_an_older_way_to_say_the_strategy() {
        let of = |spec: serde_json::Value| {
            let machine: Machine =
                serde_json::from_value(serde_json::json!({"spec": spec})).expect("a machine");
            machine.strategy().to_owned()
        };
        assert_eq!(of(serde_json::json!({"running": true})), "Always");
        assert_eq!(of(serde_json::json!({"running": false})), "Halted");
        assert_eq!(of(serde_json::json!({"runStrategy": "Manual"})), "Manual");
    }
}
