//! The launcher Pod of an instance.
//!
//! Labels, annotations, resources and placement are the ones that outsiders read, as in KubeVirt. The containers are
//! Ironclad's: `compute` runs the launcher's shim, `guest-console-log` shows the serial console's log.

mod configured;
mod limits;
mod ports;
mod probes;
mod resources;
mod state;
mod volumes;

use std::collections::BTreeMap;

use api::kubevirt::v1::VirtualMachineInstance;
use api::names::{annotation, condition, finalizer, label};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, Pod, PodReadinessGate, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::Value;

use crate::name;

pub use self::limits::AutomaticLimits;
pub use self::resources::{misfit, overhead};
pub use self::state::{state_claim, state_label};

/// The launcher's program, in its image.
const EXECUTABLE: &str = "/usr/bin/ironclad-launcher";
/// User and group of everything in the Pod.
const USER: i64 = 107;
/// Grace of an instance that does not name one, in seconds.
pub const DEFAULT_GRACE: i64 = 30;
/// What the Pod gets on top of the guest's grace, in seconds.
const GRACE_MARGIN: i64 = 30;
/// Longest value of a label.
const LONGEST_LABEL: usize = 63;

/// What the installation says about launcher Pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Image of the launcher.
    pub image: String,
    /// Whether machines may be emulated; then they do not ask for KVM.
    pub use_emulation: bool,
    /// Virtual processors per real one that is asked for.
    pub cpu_allocation_ratio: u32,
    /// Guest memory per memory that is asked for, in percent; machines that name a request get that.
    pub memory_overcommit: u32,
    /// Factor on the memory that a machine needs beside its guest's.
    pub overhead_ratio: f64,
    /// When the launcher's image is pulled: `Always`, `IfNotPresent`, `Never`.
    pub pull_policy: String,
    /// What the console log's container asks for and is limited to, where that is not the usual.
    pub console_log_resources: Option<ResourceRequirements>,
    /// Architecture of instances that do not name one, as Kubernetes writes it.
    pub architecture: String,
    /// Whether nodes carry labels for the machine types they offer.
    pub machine_type_labels: bool,
    /// Whether the serial console's log is shown by a container of its own.
    pub console_log: bool,
    /// Whether the serial console of instances that do not say is logged.
    pub console_log_by_default: bool,
    /// Node labels that every launcher asks for.
    pub node_selector: BTreeMap<String, String>,
    /// Storage class of claims for what outlives instances beside their disks; `None` for the usual one.
    pub state_storage_class: Option<String>,
    /// RuntimeClass of every launcher.
    pub runtime_class: Option<String>,
    /// Which namespaces' launchers are limited to the processors that they have: a `LabelSelector`, null for none.
    pub cpu_limit_selector: Value,
    /// Limits of the launcher at hand, by its namespace.
    pub automatic_limits: AutomaticLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            image: String::new(),
            use_emulation: false,
            cpu_allocation_ratio: 10,
            memory_overcommit: 100,
            overhead_ratio: 1.0,
            pull_policy: "IfNotPresent".to_owned(),
            console_log_resources: None,
            architecture: "amd64".to_owned(),
            machine_type_labels: true,
            console_log: true,
            console_log_by_default: true,
            node_selector: BTreeMap::new(),
            state_storage_class: None,
            runtime_class: None,
            cpu_limit_selector: Value::Null,
            automatic_limits: AutomaticLimits::default(),
        }
    }
}

/// Renders the launcher Pod named `name` for an instance; `state` names the claim for what outlives it, which
/// [`state_claim`] renders.
pub fn pod(vmi: &VirtualMachineInstance, name: &str, state: Option<&str>, config: &Config) -> Pod {
    let spec = &vmi.spec;
    let (mut volumes, mut mounts) = volumes::all(vmi);
    if let Some((volume, mount)) = state.map(state::volume) {
        volumes.push(volume);
        mounts.push(mount);
    }
    let grace = spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE);
    let mut init = Vec::new();
    let devices = &spec.domain.devices;
    let is_logged = devices.log_serial_console.unwrap_or(config.console_log_by_default);
    if config.console_log && is_logged && devices.autoattach_serial_console != Some(false) {
        init.push(console_log(config, volumes::console_mounts()));
    }
    Pod {
        metadata: metadata(vmi, name),
        spec: Some(PodSpec {
            affinity: spec.affinity.clone(),
            automount_service_account_token: Some(false),
            containers: vec![compute(vmi, config, mounts)],
            dns_config: spec.dns_config.clone(),
            dns_policy: spec.dns_policy.clone(),
            enable_service_links: Some(false),
            hostname: Some(host_name(vmi)),
            image_pull_secrets: volumes::pull_secrets(vmi),
            init_containers: (!init.is_empty()).then_some(init),
            node_selector: Some(node_selector(vmi, config)),
            priority_class_name: spec.priority_class_name.clone(),
            readiness_gates: Some(vec![PodReadinessGate { condition_type: condition::UNPAUSED.to_owned() }]),
            resource_claims: (!spec.resource_claims.is_empty()).then(|| spec.resource_claims.clone()),
            restart_policy: Some("Never".to_owned()),
            runtime_class_name: config.runtime_class.clone(),
            scheduler_name: spec.scheduler_name.clone(),
            service_account_name: volumes::service_account(vmi),
            security_context: Some(PodSecurityContext {
                fs_group: Some(USER),
                run_as_group: Some(USER),
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            subdomain: spec.subdomain.clone(),
            termination_grace_period_seconds: Some(grace.saturating_add(GRACE_MARGIN)),
            tolerations: (!spec.tolerations.is_empty()).then(|| spec.tolerations.clone()),
            topology_spread_constraints: (!spec.topology_spread_constraints.is_empty())
                .then(|| spec.topology_spread_constraints.clone()),
            volumes: Some(volumes),
            ..PodSpec::default()
        }),
        status: None,
    }
}

fn metadata(vmi: &VirtualMachineInstance, name: &str) -> ObjectMeta {
    let meta = &vmi.metadata;
    let vmi_name = meta.name.clone().unwrap_or_default();
    let uid = meta.uid.clone().unwrap_or_default();
    let mut labels = meta.labels.clone().unwrap_or_default();
    labels.remove(label::NODE_NAME);
    labels.extend([
        (label::APP.to_owned(), "virt-launcher".to_owned()),
        (label::CREATED_BY.to_owned(), uid),
        (label::VM_NAME.to_owned(), host_name(vmi)),
        (label::VMI_ID.to_owned(), model::identity::label(&vmi_name)),
    ]);
    let mut annotations: BTreeMap<String, String> = meta.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| {
        !key.starts_with("kubectl.kubernetes.io")
            && key != annotation::OBSERVED_API_VERSION
            && key != annotation::PLACES
            && key != annotation::STORAGE_API_VERSION
    });
    annotations.extend([
        (annotation::DOMAIN.to_owned(), vmi_name),
        (annotation::DEFAULT_CONTAINER.to_owned(), "compute".to_owned()),
        (annotation::MIGRATION_TRANSPORT_UNIX.to_owned(), "true".to_owned()),
        (annotation::OPEN_GATES.to_owned(), condition::UNPAUSED.to_owned()),
        ("descheduler.alpha.kubernetes.io/request-evict-only".to_owned(), String::new()),
    ]);
    ObjectMeta {
        name: Some(name.to_owned()),
        generate_name: name::generate_name(name),
        namespace: meta.namespace.clone(),
        labels: Some(labels),
        annotations: Some(annotations),
        owner_references: Some(vec![instance_reference(vmi)]),
        ..ObjectMeta::default()
    }
}

fn instance_reference(vmi: &VirtualMachineInstance) -> OwnerReference {
    OwnerReference {
        api_version: "kubevirt.io/v1".to_owned(),
        block_owner_deletion: Some(true),
        controller: Some(true),
        kind: "VirtualMachineInstance".to_owned(),
        name: vmi.metadata.name.clone().unwrap_or_default(),
        uid: vmi.metadata.uid.clone().unwrap_or_default(),
    }
}

fn compute(
    vmi: &VirtualMachineInstance,
    config: &Config,
    mounts: Vec<k8s_openapi::api::core::v1::VolumeMount>,
) -> Container {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let words = [
        EXECUTABLE,
        "shim",
        "--run-dir",
        volumes::PRIVATE_DIR,
        "--socket-dir",
        volumes::SOCKET_DIR,
        "--name",
        &text(&vmi.metadata.name),
        "--namespace",
        &text(&vmi.metadata.namespace),
        "--uid",
        &text(&vmi.metadata.uid),
    ];
    let (readiness_probe, liveness_probe) = probes::of(vmi);
    Container {
        name: "compute".to_owned(),
        image: Some(config.image.clone()),
        image_pull_policy: Some(config.pull_policy.clone()),
        command: Some(words.map(str::to_owned).to_vec()),
        liveness_probe,
        ports: ports::all(vmi),
        readiness_probe,
        resources: Some(resources::requirements(vmi, config)),
        security_context: Some(restricted(&["NET_BIND_SERVICE"])),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// A native sidecar that prints the guest's serial console, for `kubectl logs`.
fn console_log(config: &Config, mounts: Vec<k8s_openapi::api::core::v1::VolumeMount>) -> Container {
    let log = format!("{}/serial0.log", volumes::PRIVATE_DIR);
    let words = [EXECUTABLE, "virt-tail", "--logfile", &log];
    Container {
        name: "guest-console-log".to_owned(),
        image: Some(config.image.clone()),
        image_pull_policy: Some(config.pull_policy.clone()),
        command: Some(words.map(str::to_owned).to_vec()),
        resources: Some(config.console_log_resources.clone().unwrap_or_else(resources::sidecar)),
        restart_policy: Some("Always".to_owned()),
        security_context: Some(restricted(&[])),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

fn restricted(capabilities: &[&str]) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            add: (!capabilities.is_empty())
                .then(|| capabilities.iter().map(|&name| name.to_owned()).collect()),
            drop: Some(vec!["ALL".to_owned()]),
        }),
        run_as_group: Some(USER),
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        ..SecurityContext::default()
    }
}

fn node_selector(vmi: &VirtualMachineInstance, config: &Config) -> BTreeMap<String, String> {
    let spec = &vmi.spec;
    let mut selector = config.node_selector.clone();
    selector.extend(spec.node_selector.clone());
    selector.insert(label::SCHEDULABLE.to_owned(), "true".to_owned());
    let architecture =
        spec.architecture.as_ref().filter(|text| !text.is_empty()).unwrap_or(&config.architecture);
    selector.insert(label::ARCH.to_owned(), architecture.clone());
    if spec.domain.cpu.as_ref().and_then(|cpu| cpu.dedicated_cpu_placement) == Some(true) {
        selector.insert(label::CPU_MANAGER.to_owned(), "true".to_owned());
    }
    let machine = spec.domain.machine.as_ref().and_then(|machine| machine.type_.as_deref());
    if let Some(machine) = machine.filter(|machine| config.machine_type_labels && !machine.is_empty()) {
        selector.insert(format!("{}{machine}", label::MACHINE_TYPE), "true".to_owned());
    }
    selector
}

/// The guest's host name: the one it asks for, or its name up to the first dot.
fn host_name(vmi: &VirtualMachineInstance) -> String {
    let name = vmi.spec.hostname.as_ref().filter(|name| !name.is_empty()).or(vmi.metadata.name.as_ref());
    let first = name.map_or("", |name| name.split('.').next().unwrap_or_default());
    label_value(first)
}

/// Cuts a text to what a label may hold.
fn label_value(text: &str) -> String {
    let cut = text.get(..text.len().min(LONGEST_LABEL)).unwrap_or(text);
    cut.trim_end_matches(['-', '.', '_']).to_owned()
}

/// The finalizers that an instance starts with.
pub const INSTANCE_FINALIZERS: [&str; 2] = [finalizer::VIRTUAL_MACHINE, finalizer::INSTANCE];
