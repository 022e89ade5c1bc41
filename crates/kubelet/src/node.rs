//! The Node object: what this machine offers, and signs of life.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use host::Root;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube_ext::{Api, ApiError, Context, Key, Patch};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{KubeletConfig, local_volumes};

/// Devices that Pods ask for by name, and where they are.
pub const DEVICES: [(&str, &str); 3] = [
    ("devices.kubevirt.io/kvm", "/dev/kvm"),
    ("devices.kubevirt.io/tun", "/dev/net/tun"),
    ("devices.kubevirt.io/vhost-net", "/dev/vhost-net"),
];

/// How many Pods may share a device: none of these are used up.
const DEVICE_SHARES: &str = "1000";
const PODS: &str = "250";
/// Namespace of nodes' Leases.
const LEASE_NAMESPACE: &str = "kube-node-lease";
const LEASE_SECONDS: u64 = 40;
/// How often a sign of life is given.
const BEAT: Duration = Duration::from_secs(10);
/// How long after a report that failed to try again.
const RETRY: Duration = Duration::from_secs(1);
/// Beats between two reports of the status.
const BEATS_PER_STATUS: u32 = 30;

/// What the node is short of, told by whoever watches it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pressure(Arc<watch::Sender<Short>>);

/// Why the node is short of something; `None` when there is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Short {
    disk: Option<String>,
    memory: Option<String>,
}

impl Pressure {
    /// Tells what is the matter with the disk; `None` when there is space.
    pub(crate) fn set_disk(&self, problem: Option<String>) {
        self.set(|known| std::mem::replace(&mut known.disk, problem.clone()) != problem);
    }

    /// Tells what is the matter with the memory; `None` when there is enough. Returns whether that is news.
    pub(crate) fn set_memory(&self, problem: Option<String>) -> bool {
        self.set(|known| std::mem::replace(&mut known.memory, problem.clone()) != problem)
    }

    fn set(&self, change: impl FnOnce(&mut Short) -> bool) -> bool {
        self.0.send_if_modified(change)
    }
}

/// Facts of the machine that the Node shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Processors.
    pub cpus: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of the file system that Pods write to.
    pub storage_bytes: u64,
    /// Names of the devices that Pods may ask for.
    pub devices: Vec<&'static str>,
    /// Kernel release.
    pub kernel: String,
    /// Name of the operating system.
    pub os_image: String,
    /// Identity of the machine.
    pub machine_id: String,
    /// Identity of the boot.
    pub boot_id: String,
}

impl Facts {
    /// Reads the facts of the host below `root`.
    pub fn of(root: &Root, config: &KubeletConfig) -> Self {
        let line = |path: &str| root.read(path).unwrap_or_default().trim().to_owned();
        let available = |name: &str, path: &str| root.has(path) && (config.kvm || !name.ends_with("/kvm"));
        Self {
            cpus: config.cpus.unwrap_or_else(|| processors(&line("/proc/cpuinfo"))),
            memory_bytes: config.memory_bytes.unwrap_or_else(|| memory(&line("/proc/meminfo"))),
            storage_bytes: host::space::measure(&config.root).map_or(0, |space| space.capacity),
            devices: DEVICES
                .iter()
                .filter(|(name, path)| available(name, path))
                .map(|(name, _)| *name)
                .collect(),
            kernel: line("/proc/sys/kernel/osrelease"),
            os_image: os_name(&line("/etc/os-release")),
            machine_id: line("/etc/machine-id"),
            boot_id: line("/proc/sys/kernel/random/boot_id"),
        }
    }
}

fn processors(cpuinfo: &str) -> u64 {
    (cpuinfo.lines().filter(|line| line.starts_with("processor")).count() as u64).max(1)
}

fn memory(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn os_name(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

/// Kubernetes' name of this machine's instruction set.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Writes the Node without its status.
fn object(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": architecture(),
                "beta.kubernetes.io/os": "linux",
                "beta.kubernetes.io/arch": architecture(),
            },
        },
    })
}

/// Writes the Node's status as a strategic merge patch. `known` are the conditions as the API has them.
fn status(
    name: &str,
    address: IpAddr,
    release: &str,
    facts: &Facts,
    known: Option<&Node>,
    short: &Short,
    now: Timestamp,
) -> Value {
    let mut capacity = json!({
        "cpu": facts.cpus.to_string(),
        "memory": format!("{}Ki", facts.memory_bytes / 1024),
        "ephemeral-storage": format!("{}Ki", facts.storage_bytes / 1024),
        "pods": PODS,
    });
    for (device, _) in DEVICES {
        let offered = if facts.devices.contains(&device) { DEVICE_SHARES } else { "0" };
        capacity[device] = json!(offered);
    }
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let disk = match &short.disk {
        None => ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        Some(problem) => ("DiskPressure", "True", "KubeletHasDiskPressure", problem.as_str()),
    };
    let enough = "kubelet has sufficient memory available";
    let memory = match &short.memory {
        None => ("MemoryPressure", "False", "KubeletHasSufficientMemory", enough),
        Some(problem) => ("MemoryPressure", "True", "KubeletHasInsufficientMemory", problem.as_str()),
    };
    let conditions = [
        memory,
        disk,
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]
    .map(|(kind, status, reason, message)| {
        let before =
            known.and_then(|node| node.status.as_ref()).and_then(|status| status.conditions.as_ref());
        let same = before.into_iter().flatten().find(|known| known.type_ == kind && known.status == status);
        let since = same.and_then(|known| known.last_transition_time.as_ref()).map(|time| time.0.to_string());
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": since.unwrap_or_else(|| now.clone()),
        })
    });
    json!({ "status": {
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": conditions,
        "addresses": [
            { "type": "InternalIP", "address": address.to_string() },
            { "type": "Hostname", "address": name },
        ],
        "nodeInfo": {
            "architecture": architecture(),
            "operatingSystem": "linux",
            "kernelVersion": facts.kernel,
            "osImage": facts.os_image,
            "machineID": facts.machine_id,
            "systemUUID": facts.machine_id,
            "bootID": facts.boot_id,
            "containerRuntimeVersion": format!("ironclad://{release}"),
            "kubeletVersion": release,
            "kubeProxyVersion": "",
        },
    } })
}

/// Registers the Node and keeps it and its Lease fresh, for ever.
pub(crate) async fn keep(config: KubeletConfig, context: Context, pressure: Pressure) {
    let mut told = pressure.0.subscribe();
    let mut beat: u32 = 0;
    // News that could not be told are told with the next try; a node that is short of something may well fail to at first.
    let mut reported = false;
    loop {
        let news = told.has_changed().unwrap_or(false);
        let due = beat.is_multiple_of(BEATS_PER_STATUS);
        if !reported || news || due || is_given_up(&config, &context).await {
            let short = told.borrow_and_update().clone();
            let outcome = report(&config, &context, &short).await;
            reported = outcome.is_ok();
            if let Err(error) = outcome {
                tracing::warn!(node = config.node, %error, "cannot report the node");
            }
        }
        if let Err(error) = renew(&config, &context).await {
            tracing::warn!(node = config.node, %error, "cannot renew the node's Lease");
        }
        let pause = if reported { BEAT } else { RETRY };
        tokio::select! {
            () = context.clock.sleep(pause) => {}
            // Whoever places machines should not wait for the next beat.
            _ = told.changed(), if reported => told.mark_changed(),
        }
        beat = beat.wrapping_add(1);
    }
}

/// Says whether others believe that this node is not ready, or do not know it any more: it fell silent for too long.
async fn is_given_up(config: &KubeletConfig, context: &Context) -> bool {
    match Api::<Node>::new(&context.client).find(&Key::cluster(&config.node)).await {
        Ok(None) => true,
        Ok(Some(node)) => {
            let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
            !conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        }
        // Who does not answer now gets the next sign of life.
        Err(_) => false,
    }
}

async fn report(config: &KubeletConfig, context: &Context, short: &Short) -> Result<(), ApiError> {
    let nodes = Api::<Node>::new(&context.client);
    let key = Key::cluster(&config.node);
    let known = match nodes.find(&key).await? {
        Some(node) => node,
        None => match nodes.create("", &object(&config.node)).await {
            Err(error) if error.is_already_exists() => nodes.get(&key).await?,
            other => other?,
        },
    };
    let labels = object(&config.node)["metadata"]["labels"].clone();
    let current = known.metadata.labels.clone().unwrap_or_default();
    let wanted = labels.as_object().into_iter().flatten();
    if wanted.clone().any(|(name, value)| current.get(name).map(String::as_str) != value.as_str()) {
        nodes.patch(&key, &Patch::Merge(json!({ "metadata": { "labels": labels } }))).await?;
    }
    let volumes = config.local_volumes.display().to_string();
    let told = known.metadata.annotations.as_ref().and_then(|all| all.get(local_volumes::ANNOTATION));
    if told != Some(&volumes) {
        let annotations = json!({ local_volumes::ANNOTATION: volumes });
        nodes.patch(&key, &Patch::Merge(json!({ "metadata": { "annotations": annotations } }))).await?;
    }
    let facts = Facts::of(&Root::default(), config);
    let (address, release) = (config.address, &config.release);
    let patch = status(&config.node, address, release, &facts, Some(&known), short, context.now());
    nodes.patch_status(&key, &Patch::Strategic(patch)).await.map(drop)
}

async fn renew(config: &KubeletConfig, context: &Context) -> Result<(), ApiError> {
    let leases = Api::<Lease>::new(&context.client);
    let key = Key::new(LEASE_NAMESPACE, &config.node);
    let now = format!("{:.6}", context.now());
    let spec = json!({
        "holderIdentity": config.node,
        "leaseDurationSeconds": LEASE_SECONDS,
        "renewTime": now,
    });
    match leases.patch(&key, &Patch::Merge(json!({ "spec": spec }))).await {
        Err(error) if error.is_not_found() => {}
        other => return other.map(drop),
    }
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": config.node, "namespace": LEASE_NAMESPACE },
        "spec": spec,
    });
    match leases.create(LEASE_NAMESPACE, &lease).await {
        Err(error) if error.is_not_found() => {}
        other => return other.map(drop),
    }
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": LEASE_NAMESPACE } });
    match Api::<Namespace>::new(&context.client).create("", &namespace).await {
        Err(error) if !error.is_already_exists() => return Err(error),
        _ => {}
    }
    leases.create(LEASE_NAMESPACE, &lease).await.map(drop)
}

/// Says whether `path` is a device that this user can open for reading and writing.
pub fn can_open(path: &Path) -> bool {
    std::fs::File::options().read(true).write(true).open(path).is_ok()
}

#[cfg(test)]
mod unreported;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_below_a_root() {
        assert_eq!(processors("processor\t: 0\nflags: x\nprocessor\t: 1\n"), 2);
        assert_eq!(memory("MemTotal:       24683520 kB\nMemFree: 1 kB\n"), 24_683_520 * 1024);
        assert_eq!(
            os_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)"
        );
    }

    #[test]
    fn the_status_offers_what_there_is() {
        let facts = Facts {
            cpus: 2,
            memory_bytes: 4 << 30,
            storage_bytes: 32 << 30,
            devices: vec!["devices.kubevirt.io/tun"],
            kernel: "6.1.0".into(),
            os_image: "Debian".into(),
            machine_id: "m".into(),
            boot_id: "b".into(),
        };
        let address = IpAddr::from([192, 0, 2, 2]);
        let mut status =
            status("node-0", address, "v0.1.0", &facts, None, &Short::default(), Timestamp::UNIX_EPOCH);
        status["status"]["nodeInfo"]["architecture"] = json!("of the machine");
        insta::assert_yaml_snapshot!(status);
        let pressure = Pressure::default();
        assert!(pressure.set_memory(Some("hardly any".into())));
        assert!(!pressure.set_memory(Some("hardly any".into())), "it is no news any more");
        pressure.set_disk(Some("full".into()));
        let short = pressure.0.borrow().clone();
        let status = super::status("node-0", address, "v0.1.0", &facts, None, &short, Timestamp::UNIX_EPOCH);
        let told = status["status"]["conditions"].as_array().into_iter().flatten();
        let told: Vec<_> =
            told.map(|c| (c["type"].as_str(), c["status"].as_str(), c["message"].as_str())).collect();
        assert_eq!(told[0], (Some("MemoryPressure"), Some("True"), Some("hardly any")));
        assert_eq!(told[1], (Some("DiskPressure"), Some("True"), Some("full")));
    }
}
