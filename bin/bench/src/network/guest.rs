//! The guest that is measured, and where it is reached.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kit::Installation;
use serde_json::{Value, json};

use super::flow::Listeners;
use crate::process;

/// A guest under emulation on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);
/// Port that sends for ever.
pub(super) const SENDS: u16 = 5001;
/// Port that swallows.
pub(super) const SWALLOWS: u16 = 5002;
/// SSH.
pub(super) const SSH: u16 = 22;
/// Everything that a guest listens on.
pub(super) const PORTS: [u16; 3] = [SENDS, SWALLOWS, SSH];

/// Where a guest is reached from the host.
#[derive(Debug)]
pub(super) struct Doors {
    /// Addresses of [`PORTS`], in their order.
    pub(super) ports: [SocketAddr; PORTS.len()],
    /// What the guest connects to, where it does.
    pub(super) listeners: Listeners,
}

impl Doors {
    /// Those of a guest that has an address.
    pub(super) fn at(address: Ipv4Addr) -> Self {
        let ports = PORTS.map(|port| SocketAddr::new(IpAddr::V4(address), port));
        Self { ports, listeners: Listeners::default() }
    }
}

/// A key for SSH, gone when dropped.
#[derive(Debug)]
pub(super) struct Key {
    directory: tempfile::TempDir,
    public: String,
}

impl Key {
    pub(super) fn make() -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for the key")?;
        let path = directory.path().join("key");
        let status = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f"])
            .arg(&path)
            .status()
            .context("starting ssh-keygen (install openssh-client)")?;
        if !status.success() {
            bail!("ssh-keygen failed");
        }
        let public = std::fs::read_to_string(path.with_extension("pub")).context("reading the public key")?;
        Ok(Self { directory, public: public.trim().to_owned() })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("key")
    }

    /// What the guest does: listens on two ports for ever, and connects to the listeners that are named: to the first it
    /// sends, from the second it swallows.
    pub(super) fn user_data(&self, listeners: Option<[SocketAddr; 2]>) -> String {
        let connects = listeners.map_or_else(String::new, |[first, second]| {
            format!(
                // What has nothing to say must not say so: half a connection is ended after a minute.
                "  - (while :; do nc {} {} < /dev/zero; sleep 1; done) > /dev/null 2>&1 &\n  \
                 - mkfifo /run/never\n  \
                 - (exec 9<> /run/never; while :; do nc {} {} <&9 > /dev/null; sleep 1; done) 2>&1 &\n",
                first.ip(),
                first.port(),
                second.ip(),
                second.port(),
            )
        });
        format!(
            "#cloud-config\nssh_authorized_keys: ['{}']\nruncmd:\n  \
             - (while :; do nc -l -p {SENDS} < /dev/zero; done) > /dev/null 2>&1 &\n  \
             - (while :; do nc -l -p {SWALLOWS} > /dev/null; done) 2>&1 &\n{connects}",
            self.public
        )
    }
}

/// The machine that is measured.
pub(super) fn manifest(user_data: &str) -> Value {
    let mut machine = crate::machine::manifest("throughput", "Always");
    let template = &mut machine["spec"]["template"];
    template["metadata"] = json!({"labels": {"app": "throughput"}});
    let spec = &mut template["spec"];
    // One processor is what it can use.
    spec["domain"]["resources"] = json!({"requests": {"cpu": "1"}});
    spec["domain"]["devices"]["disks"] = json!([{"name": "seed", "disk": {"bus": "virtio"}}]);
    spec["domain"]["devices"]["rng"] = json!({});
    spec["volumes"] = json!([{"name": "seed", "cloudInitNoCloud": {"userData": user_data}}]);
    machine
}

/// Opens the machine's ports on the node.
pub(super) fn service() -> Value {
    let ports: Vec<Value> =
        PORTS.iter().map(|port| json!({"name": format!("p{port}"), "port": port})).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "throughput", "namespace": "default"},
        "spec": {"type": "NodePort", "selector": {"app": "throughput"}, "ports": ports},
    })
}

/// Waits for the address that the machine is reached at.
pub(super) fn address(installation: &Installation) -> Result<Ipv4Addr> {
    let address = kit::until_some("the machine shows its address", PATIENCE, || {
        let instance = installation.get("vmi", "default", "throughput")?;
        Some(instance["status"]["interfaces"][0]["ipAddress"].as_str()?.to_owned())
    });
    address.parse().with_context(|| format!("{address} is an IPv4 address"))
}

/// Waits for the machine, and returns the ports of the node that lead to it.
pub(super) fn node_ports(installation: &Installation) -> Result<Doors> {
    address(installation)?;
    let service = installation.get("service", "default", "throughput").context("the Service is there")?;
    let mut doors = Doors::at(Ipv4Addr::LOCALHOST);
    for (at, door) in doors.ports.iter_mut().enumerate() {
        let port = service["spec"]["ports"][at]["nodePort"].as_u64().context("a port of the node")?;
        door.set_port(u16::try_from(port).context("a port number")?);
    }
    Ok(doors)
}

/// Returns the directory of the control group that shares the processors out to the machine.
pub(super) fn control_group(installation: &Installation) -> Result<PathBuf> {
    let instance = installation.get("vmi", "default", "throughput").context("the instance is there")?;
    let uid = instance["metadata"]["uid"].as_str().context("it has a UID")?;
    let (pid, _) =
        process::find(|line| line.contains("qemu-system") && line.contains("guest=default_throughput"))
            .into_iter()
            .find(|(pid, _)| is_of(*pid, installation))
            .with_context(|| format!("no hypervisor of instance {uid} runs"))?;
    let groups =
        std::fs::read_to_string(format!("/proc/{pid}/cgroup")).context("reading its control groups")?;
    let path_of = |controller: &str| {
        groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, names, path) = (fields.next()?, fields.next()?, fields.next()?);
            names.split(',').any(|name| name == controller).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let candidates = [
        path_of("cpu").map(|path| Path::new("/sys/fs/cgroup/cpu").join(path)),
        path_of("").map(|path| Path::new("/sys/fs/cgroup").join(path)),
    ];
    candidates
        .into_iter()
        .flatten()
        .find(|directory| SHARES.iter().any(|file| directory.join(file).exists()))
        .context("the machine has no control group of its own for the processors")
}

/// Says whether a process works on this installation's data, by the Pod's control group having its directory.
fn is_of(pid: u32, installation: &Installation) -> bool {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let pods = installation.data_dir().join("nodes/node-0/kubelet/pods");
    let pods = std::fs::read_dir(pods).into_iter().flatten().flatten();
    pods.filter_map(|pod| pod.file_name().into_string().ok()).any(|uid| groups.contains(&uid))
}

/// Files that say a group's share of the processors, in the two versions of control groups.
pub(super) const SHARES: [&str; 2] = ["cpu.shares", "cpu.weight"];
