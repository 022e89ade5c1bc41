//! `virtctl create preference`

use anyhow::Result;
use clap::{ArgAction, Args};
use serde_json::{Value, json};

use super::instancetype::VERSION;
use super::parameters::FlagError;
use super::{SUFFIX, object};
use crate::flags::unique;

/// Create a manifest of a preference, for the whole cluster unless --namespaced.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl create preference [flags]",
    after_help = "Examples:\n  # With a name that is made up:\n  virtctl create preference\n\n  # Processors as sockets, for one namespace:\n  virtctl create preference --cpu-topology sockets --namespaced\n\n  # Sent to the server at once:\n  virtctl create preference --volume-storage-class local | kubectl create -f -"
)]
pub(super) struct Preference {
    #[arg(hide = true)]
    arguments: Vec<String>,
    /// What processors are shown as: sockets, cores, threads, spread or any.
    #[arg(long, value_name = "string")]
    cpu_topology: Option<String>,
    /// Type of the emulated board.
    #[arg(long, value_name = "string")]
    machine_type: Option<String>,
    /// Name [default: a random one].
    #[arg(long, value_name = "string")]
    name: Option<String>,
    /// For one namespace instead of the whole cluster.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    namespaced: bool,
    /// StorageClass for volumes.
    #[arg(long, value_name = "string")]
    volume_storage_class: Option<String>,
}

/// Topologies, and what they were called before.
const TOPOLOGIES: [&str; 10] = [
    "sockets",
    "cores",
    "threads",
    "spread",
    "any",
    "preferSockets",
    "preferCores",
    "preferThreads",
    "preferSpread",
    "preferAny",
];

impl Preference {
    pub(super) fn manifest(&self, namespace: Option<&str>) -> Result<Value> {
        let (kind, prefix) = if self.namespaced || namespace.is_some() {
            ("VirtualMachinePreference", "preference-")
        } else {
            ("VirtualMachineClusterPreference", "clusterpreference-")
        };
        let name = self.name.clone().unwrap_or_else(|| unique(prefix, SUFFIX));
        let mut object = object(VERSION, kind, &name, namespace);
        object["spec"] = json!({});
        let unless_empty = |field: &str, text: &str| match text {
            "" => json!({}),
            text => json!({field: text}),
        };
        if let Some(class) = &self.volume_storage_class {
            object["spec"]["volumes"] = unless_empty("preferredStorageClassName", class);
        }
        if let Some(machine) = &self.machine_type {
            object["spec"]["machine"] = unless_empty("preferredMachineType", machine);
        }
        if let Some(topology) = &self.cpu_topology {
            if !TOPOLOGIES.contains(&topology.as_str()) {
                let reason = "CPU topology must have a value of sockets, cores, threads or spread";
                return Err(FlagError::new("cpu-topology", reason).into());
            }
            object["spec"]["cpu"] = json!({"preferredCPUTopology": topology});
        }
        Ok(object)
    }
}
