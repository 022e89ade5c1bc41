//! The nodes of this process: for each a kubelet and the agent of its machines.

pub(crate) mod images;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use image::{Access, Store};
use kubelet::KubeletConfig;
use kubelet::builtin::BuiltinImage;
use network::nodes::{NodesConfig, VirtualNode};
use network::pod::{NodeNetworkConfig, Uplink};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::machine::{Accelerator, Architecture};

use super::control_plane::ControlPlane;
use super::proxy::Nodes;
use super::{Effects, identity, installation};
use crate::layout::Layout;
use images::NodeImages;

/// The hypervisor's program.
pub(crate) const HYPERVISOR: &str = "qemu-system-x86_64";
/// Environment variable with the seconds of [`boot_patience`].
const BOOT_PATIENCE: &str = "IRONCLAD_BOOT_PATIENCE";

/// Starts `count` nodes.
pub(super) fn start(
    count: u8,
    accelerator: Accelerator,
    layout: &Layout,
    plane: &ControlPlane,
    effects: &Effects,
    nodes: &Nodes,
    stop: &CancellationToken,
    tasks: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let program = crate::launcher::install(&layout.executables())?;
    let store = Store::open(&layout.images()).context("opening the image store")?;
    let images = Arc::new(NodeImages { store, access: Access::default() });
    let places = places(count, layout)?;
    for number in 0..count {
        let name = node_name(number);
        let mut config = config(&name, layout)?;
        if let Some(place) = places.get(usize::from(number)) {
            config.address = IpAddr::V4(place.address);
            config.network.network = Some(place.network);
            config.network.peers.clone_from(&place.peers);
        }
        config.builtin = vec![BuiltinImage::launcher(installation::LAUNCHER_REPOSITORY, &program)];
        config.kvm = accelerator == Accelerator::Kvm;
        config.network.node = number;
        nodes.add(&config.node, config.pods());
        let context = plane.context(identity::node(&config.node), effects);
        let agent = agent(&config, layout, stop.clone());
        let (images, stopped) = (images.clone(), stop.clone().cancelled_owned());
        tasks.spawn(
            async move { kubelet::run(config, context, images, stopped).await.context("the kubelet") },
        );
        let context = plane.context(identity::handler(&name), effects);
        tasks.spawn(async move { agent_when_ready(agent, accelerator, context, number).await });
    }
    Ok(())
}

/// Gives each of several nodes a network namespace of its own. A single node shares the machine's; without root nodes
/// have no network of their own at all, only their Pods have.
fn places(count: u8, layout: &Layout) -> Result<Vec<VirtualNode>> {
    if count < 2 || !rustix::process::geteuid().is_root() {
        return Ok(Vec::new());
    }
    network::nodes::prepare(&shared_network(layout, count)?).context("connecting the nodes")
}

/// Returns what several nodes of this machine share.
pub(crate) fn shared_network(layout: &Layout, count: u8) -> Result<NodesConfig> {
    let state = layout.network();
    std::fs::create_dir_all(&state).with_context(|| format!("making {}", state.display()))?;
    Ok(NodesConfig { instance: layout.root().display().to_string(), state, count, namespace: None })
}

/// What an agent needs besides what its hypervisor says of itself.
struct Agent {
    node_name: String,
    kubelet_root: std::path::PathBuf,
    state_directory: std::path::PathBuf,
    helper: host::Helper,
    stop: CancellationToken,
}

fn agent(config: &KubeletConfig, layout: &Layout, stop: CancellationToken) -> Agent {
    Agent {
        node_name: config.node.clone(),
        kubelet_root: config.root.clone(),
        state_directory: layout.node(&config.node).join("virt-handler"),
        helper: config.helper.clone(),
        stop,
    }
}

/// Runs an agent once its hypervisor can be asked; a node without one is there, but takes no machines.
async fn agent_when_ready(
    agent: Agent,
    accelerator: Accelerator,
    context: kube_ext::Context,
    number: u8,
) -> Result<()> {
    let hypervisor = loop {
        match hypervisor(accelerator).await {
            Ok(found) => break found,
            Err(error) => {
                if number == 0 {
                    tracing::error!("no machine can start: {error:#}");
                }
                tokio::select! {
                    () = agent.stop.cancelled() => return Ok(()),
                    () = context.clock.sleep(std::time::Duration::from_secs(10)) => {}
                }
            }
        }
    };
    let config = virt_handler::Config {
        node_name: agent.node_name,
        kubelet_root: agent.kubelet_root,
        state_directory: agent.state_directory,
        helper: agent.helper,
        hypervisor,
        boot_patience: boot_patience(),
    };
    virt_handler::run(config, context, agent.stop.cancelled_owned()).await.context("the node's agent")
}

/// Returns how long a guest may take to its first sign of life before its instance says that it shows none.
#[allow(clippy::disallowed_methods, reason = "bin is where the environment is read")]
pub(crate) fn boot_patience() -> std::time::Duration {
    let own = std::env::var(BOOT_PATIENCE).ok().and_then(|seconds| seconds.parse().ok());
    own.map_or(virt_handler::DEFAULT_BOOT_PATIENCE, std::time::Duration::from_secs)
}

/// Asks the node's hypervisor what it can do.
pub(crate) async fn hypervisor(accelerator: Accelerator) -> Result<virt_handler::Hypervisor> {
    let facts = hypervisor_qemu::probe(Path::new(HYPERVISOR)).await?;
    let aliases: BTreeMap<_, _> =
        facts.aliases().map(|(alias, concrete)| (alias.to_owned(), concrete.to_owned())).collect();
    Ok(virt_handler::Hypervisor {
        architecture: Architecture::Amd64,
        accelerator,
        machine_aliases: aliases,
        machine_types: facts.machines.into_iter().map(|machine| machine.name).collect(),
        cpu_models: facts.cpu_models,
    })
}

/// Returns what identifies the node `name` on this machine: where its files are, what its links and groups are called.
pub(crate) fn config(name: &str, layout: &Layout) -> Result<KubeletConfig> {
    let root = layout.node(name).join("kubelet");
    let state = layout.node(name).join("network");
    for directory in [&root, &state] {
        std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    let is_root = rustix::process::geteuid().is_root();
    let namespace = network::nodes::namespace(&shared_network(layout, 0)?, name);
    Ok(KubeletConfig {
        node: name.to_owned(),
        helper: helper()?,
        builtin: Vec::new(),
        network: NodeNetworkConfig {
            instance: root.display().to_string(),
            node: 0,
            network: None,
            state,
            namespace,
            uplink: if is_root { Uplink::Bridge } else { Uplink::Pasta },
            peers: Vec::new(),
        },
        cgroup: format!("ironclad-{}", short_name(&root)),
        root,
        kvm: false,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        release: format!("v{}", env!("CARGO_PKG_VERSION")),
        cpus: None,
        memory_bytes: None,
    })
}

/// This program, in its hidden roles.
pub(crate) fn helper() -> Result<host::Helper> {
    Ok(host::Helper::new(std::env::current_exe().context("finding this executable")?))
}

/// Returns the name of node `number`.
pub(crate) fn node_name(number: u8) -> String {
    format!("node-{number}")
}

/// A short text that no other installation on this machine has: it follows from where the data is.
fn short_name(root: &Path) -> String {
    let hash = root.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:08x}", hash & 0xffff_ffff)
}
