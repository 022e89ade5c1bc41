//! The installation's configuration with every default filled in.

use std::collections::{BTreeMap, BTreeSet};

use api::kubevirt::v1::{ArchSpecificConfiguration, KubeVirt, KubeVirtConfiguration};
use api::names::rollout_strategy;
use api::quantity::Quantity;

use crate::amount;
use crate::record::SmbiosFacts;

/// Gates that are always on: their features left the trial stages.
pub(crate) const ALWAYS_ON: [&str; 21] = [
    "AutoResourceLimitsGate",
    "BochsDisplayForEFIGuests",
    "CPUNodeDiscovery",
    "ClusterProfiler",
    "CommonInstancetypesDeploymentGate",
    "DisableCustomSELinuxPolicy",
    "DynamicPodInterfaceNaming",
    "EnableVirtioFsConfigVolumes",
    "GPU",
    "HotplugNICs",
    "InstancetypeReferencePolicy",
    "LiveMigration",
    "NUMA",
    "NetworkBindingPlugins",
    "NonRoot",
    "PSA",
    "SRIOVLiveMigration",
    "VMLiveUpdateFeatures",
    "VMPersistentState",
    "VolumeMigration",
    "VolumesUpdateStrategy",
];

/// What every component needs to know of the `KubeVirt` object.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Feature gates that are on.
    gates: BTreeSet<String>,
    /// Architecture of instances that name none.
    pub default_architecture: String,
    /// Machine type by architecture, for instances that name none.
    pub machine_types: BTreeMap<String, String>,
    /// Patterns of allowed machine types by architecture; `*` stands for any text.
    pub emulated_machines: BTreeMap<String, Vec<String>>,
    /// Processor model of instances that name none; `None` leaves the choice to the architecture.
    pub cpu_model: Option<String>,
    /// Processor request of instances that give none, where the administrator set one.
    pub cpu_request: Option<Quantity>,
    /// What a drain does with instances that do not say.
    pub eviction_strategy: String,
    /// Binding of the interface that an instance without interfaces gets: `bridge`, `masquerade`.
    pub default_network_interface: String,
    /// Whether `bridge` may be used on the Pod network.
    pub permit_bridge_on_pod_network: bool,
    /// Registered network bindings.
    pub network_bindings: BTreeSet<String>,
    /// Whether changes of a running machine are applied at once where that can be done.
    pub live_update: bool,
    /// Bound of hot-plug where an instance gives none, as a multiple of what it starts with.
    pub max_hotplug_ratio: u32,
    /// Sockets that hot-plug may reach where an instance gives none.
    pub max_cpu_sockets: Option<u32>,
    /// Memory that hot-plug may reach where an instance gives none.
    pub max_guest: Option<Quantity>,
    /// Whether instances run without hardware acceleration.
    pub use_emulation: bool,
    /// Virtual processors per processor.
    pub cpu_allocation_ratio: u32,
    /// Guest memory per memory asked for, in percent.
    pub memory_overcommit: u32,
    /// Factor on the memory that a machine needs beside its guest's.
    pub overhead_ratio: f64,
    /// Seconds between the balloon's memory statistics; 0 turns them off.
    pub balloon_period_seconds: u32,
    /// Whether the serial console is logged for instances that do not say.
    pub log_serial_console: bool,
    /// Identity that firmware shows.
    pub smbios: SmbiosFacts,
    /// Node labels that every instance is bound to.
    pub node_selectors: BTreeMap<String, String>,
    /// Runtime class of launcher Pods.
    pub runtime_class: Option<String>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self::new(&KubeVirt::default())
    }
}

impl ClusterConfig {
    /// Reads the configuration of an installation.
    pub fn new(kubevirt: &KubeVirt) -> Self {
        let configuration = &kubevirt.spec.configuration;
        let developer = configuration.developer_configuration.as_ref();
        let live = configuration.live_update_configuration.as_ref();
        let network = configuration.network.as_ref();
        let (machine_types, emulated_machines) = machines(configuration);
        Self {
            gates: gates(configuration),
            default_architecture: configuration
                .architecture_configuration
                .as_ref()
                .and_then(|all| given(all.default_architecture.as_deref()))
                .unwrap_or("amd64")
                .to_owned(),
            machine_types,
            emulated_machines,
            cpu_model: given(configuration.cpu_model.as_deref()).map(str::to_owned),
            cpu_request: configuration.cpu_request.clone(),
            eviction_strategy: given(configuration.eviction_strategy.as_deref()).unwrap_or("None").to_owned(),
            default_network_interface: network
                .and_then(|network| given(network.default_network_interface.as_deref()))
                .unwrap_or("bridge")
                .to_owned(),
            permit_bridge_on_pod_network: network
                .and_then(|network| network.permit_bridge_interface_on_pod_network)
                .unwrap_or(true),
            network_bindings: network
                .map(|network| network.binding.keys().cloned().collect())
                .unwrap_or_default(),
            live_update: configuration.vm_rollout_strategy.as_deref() != Some(rollout_strategy::STAGE),
            max_hotplug_ratio: live
                .and_then(|live| live.max_hotplug_ratio)
                .filter(|ratio| *ratio > 0)
                .unwrap_or(4),
            max_cpu_sockets: live.and_then(|live| live.max_cpu_sockets),
            max_guest: live.and_then(|live| live.max_guest.clone()),
            use_emulation: developer.and_then(|developer| developer.use_emulation).unwrap_or(false),
            cpu_allocation_ratio: positive(
                developer.and_then(|developer| developer.cpu_allocation_ratio),
                10,
            ),
            memory_overcommit: positive(developer.and_then(|developer| developer.memory_overcommit), 100),
            overhead_ratio: configuration
                .additional_guest_memory_overhead_ratio
                .as_deref()
                .and_then(|ratio| ratio.parse::<f64>().ok())
                .filter(|ratio| *ratio >= 1.0)
                .unwrap_or(1.0),
            balloon_period_seconds: configuration.mem_balloon_stats_period.unwrap_or(10),
            log_serial_console: configuration
                .virtual_machine_options
                .as_ref()
                .is_none_or(|options| options.disable_serial_console_log.is_none()),
            smbios: smbios(configuration),
            node_selectors: developer.map(|developer| developer.node_selectors.clone()).unwrap_or_default(),
            runtime_class: given(configuration.default_runtime_class.as_deref()).map(str::to_owned),
        }
    }

    /// Returns whether a feature gate is on.
    pub fn gate(&self, name: &str) -> bool {
        ALWAYS_ON.contains(&name) || self.gates.contains(name)
    }

    /// Returns the architecture of an instance.
    pub fn architecture<'a>(&'a self, wanted: Option<&'a str>) -> &'a str {
        given(wanted).unwrap_or(&self.default_architecture)
    }

    /// Returns the machine type of an instance that names none.
    pub fn machine_type(&self, architecture: &str) -> &str {
        self.machine_types.get(architecture).map_or("q35", String::as_str)
    }

    /// Returns the patterns of machine types that an architecture allows.
    pub fn emulated_machines(&self, architecture: &str) -> &[String] {
        self.emulated_machines.get(architecture).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the bound of processor hot-plug for a machine that starts with `sockets` of `per_socket`
    /// processors each: at most 512 processors.
    pub fn max_sockets(&self, sockets: u32, per_socket: u32) -> u32 {
        let wanted = self.max_cpu_sockets.unwrap_or_else(|| sockets.saturating_mul(self.max_hotplug_ratio));
        let most = (512 / per_socket.max(1)).max(sockets);
        wanted.clamp(sockets, most)
    }

    /// Returns the bound of memory hot-plug for a machine that starts with `guest` bytes.
    pub fn max_guest(&self, guest: u64) -> u64 {
        self.max_guest
            .as_ref()
            .and_then(amount::bytes)
            .unwrap_or_else(|| guest.saturating_mul(u64::from(self.max_hotplug_ratio)))
    }
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn positive(value: Option<i32>, default: u32) -> u32 {
    value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
}

/// Gates are off unless they are listed: the list of disabled ones matters to releases that switch some on.
fn gates(configuration: &KubeVirtConfiguration) -> BTreeSet<String> {
    let developer = configuration.developer_configuration.as_ref();
    developer.map(|developer| developer.feature_gates.iter().cloned().collect()).unwrap_or_default()
}

/// Machine types by architecture: the default, and the patterns that are allowed.
fn machines(
    configuration: &KubeVirtConfiguration,
) -> (BTreeMap<String, String>, BTreeMap<String, Vec<String>>) {
    let all = configuration.architecture_configuration.as_ref();
    let known: [(&str, &str, &[&str], Option<&ArchSpecificConfiguration>); 4] = [
        ("amd64", "q35", &["q35*", "pc-q35*"], all.and_then(|all| all.amd64.as_ref())),
        ("arm64", "virt", &["virt*"], all.and_then(|all| all.arm64.as_ref())),
        ("riscv64", "virt", &["virt*"], None),
        ("s390x", "s390-ccw-virtio", &["s390-ccw-virtio*"], all.and_then(|all| all.s390x.as_ref())),
    ];
    let mut types = BTreeMap::new();
    let mut patterns = BTreeMap::new();
    for (architecture, machine, allowed, own) in known {
        // The installation-wide fields are older than those of each architecture, and mean amd64.
        let old = architecture == "amd64";
        let machine = own
            .and_then(|own| given(own.machine_type.as_deref()))
            .or_else(|| given(configuration.machine_type.as_deref()).filter(|_| old))
            .unwrap_or(machine);
        types.insert(architecture.to_owned(), machine.to_owned());
        let own = own.map(|own| own.emulated_machines.as_slice()).filter(|own| !own.is_empty());
        let general = Some(configuration.emulated_machines.as_slice()).filter(|all| old && !all.is_empty());
        let allowed: Vec<String> = match own.or(general) {
            Some(own) => own.to_vec(),
            None => allowed.iter().map(|pattern| (*pattern).to_owned()).collect(),
        };
        patterns.insert(architecture.to_owned(), allowed);
    }
    (types, patterns)
}

fn smbios(configuration: &KubeVirtConfiguration) -> SmbiosFacts {
    let default = SmbiosFacts::default();
    let Some(own) = &configuration.smbios else {
        return default;
    };
    let or = |value: &Option<String>, default: String| given(value.as_deref()).map_or(default, str::to_owned);
    SmbiosFacts {
        manufacturer: or(&own.manufacturer, default.manufacturer),
        product: or(&own.product, default.product),
        version: or(&own.version, default.version),
        sku: or(&own.sku, default.sku),
        family: or(&own.family, default.family),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(configuration: serde_json::Value) -> ClusterConfig {
        let kubevirt = json!({"spec": {"configuration": configuration}});
        ClusterConfig::new(&serde_json::from_value(kubevirt).unwrap())
    }

    #[test]
    fn an_empty_configuration_has_every_default() {
        let config = ClusterConfig::default();
        assert_eq!(config.machine_type("amd64"), "q35");
        assert_eq!(config.machine_type("arm64"), "virt");
        assert_eq!(config.default_network_interface, "bridge");
        assert_eq!(config.max_sockets(1, 1), 4);
        assert_eq!(config.max_sockets(200, 2), 256);
        assert!(config.live_update && config.gate("LiveMigration") && !config.gate("HostDisk"));
    }

    #[test]
    fn what_is_configured_counts() {
        let config = config(json!({
            "vmRolloutStrategy": "Stage",
            "machineType": "pc-q35-9.2",
            "architectureConfiguration": {"arm64": {"machineType": "virt-9.2"}},
            "developerConfiguration": {
                "featureGates": ["HostDisk"], "useEmulation": true,
            },
            "additionalGuestMemoryOverheadRatio": "1.5",
        }));
        assert!(!config.live_update && config.use_emulation);
        assert!(config.gate("HostDisk") && !config.gate("Sidecar"));
        assert_eq!((config.machine_type("amd64"), config.machine_type("arm64")), ("pc-q35-9.2", "virt-9.2"));
        assert!((config.overhead_ratio - 1.5).abs() < f64::EPSILON);
    }
}
