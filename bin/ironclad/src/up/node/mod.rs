//! The nodes of this process: for each a kubelet and the agent of its machines.

pub(crate) mod dns;
pub(crate) mod hypervisor;
pub(crate) mod images;
pub(crate) mod traffic;
mod transit;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use image::Store;
use kube_ext::{Recorder, Tasks};
use kubelet::KubeletConfig;
use kubelet::builtin::BuiltinImage;
use network::nodes::{NodesConfig, VirtualNode};
use network::pod::{NodeNetworkConfig, Uplink};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use virt_handler::Door;
use wire::machine::Accelerator;

use super::control_plane::ControlPlane;
use super::proxy::Nodes;
use super::{Effects, identity, installation};
use crate::cli::UpArgs;
use crate::layout::Layout;
use hypervisor::Teller;
use images::NodeImages;

/// Nodes whose place on the machine is settled.
pub(super) struct Settled<'a> {
    arguments: &'a UpArgs,
    layout: &'a Layout,
    configs: Vec<KubeletConfig>,
    /// What connects several nodes; a single one needs nothing.
    shared: Option<NodesConfig>,
}

/// Settles where the nodes are on this machine and which networks their Pods get. Blocks for some milliseconds.
///
/// # Errors
/// When somebody else has the network that is asked for.
pub(super) fn settle<'a>(arguments: &'a UpArgs, layout: &'a Layout) -> Result<Settled<'a>> {
    let shared = NodesConfig { pods: arguments.pod_network, ..shared_network(layout, arguments.nodes) };
    let places = places(&shared)?;
    let networks = networks(arguments)?;
    let mut configs = Vec::new();
    for number in 0..arguments.nodes {
        let mut config = config(&node_name(number), layout)?;
        config.network.node = number;
        config.network.network = networks.get(usize::from(number)).copied().flatten();
        if let Some(place) = places.get(usize::from(number)) {
            config.address = IpAddr::V4(place.address);
            config.network.network = Some(place.network);
            config.network.peers.clone_from(&place.peers);
        }
        network::pod::settle(&config.network)
            .with_context(|| format!("finding a network for the Pods of {}", config.node))?;
        configs.push(config);
    }
    Ok(Settled { arguments, layout, configs, shared: (!places.is_empty()).then_some(shared) })
}

/// Starts the nodes.
pub(super) fn start(
    settled: Settled<'_>,
    accelerator: Accelerator,
    plane: &ControlPlane,
    effects: &Effects,
    nodes: &Nodes,
    stop: &CancellationToken,
    tasks: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let Settled { arguments, layout, configs, shared } = settled;
    let program = crate::launcher::install(&layout.executables())?;
    let store = Store::open(&layout.images()).context("opening the image store")?;
    let images = Arc::new(NodeImages { store, registries: layout.registries() });
    if let Some(shared) = shared {
        transit::keep(shared, effects.clock.clone(), stop.clone(), tasks);
    }
    for mut config in configs {
        let is_first = config.network.node == 0;
        config.builtin = vec![BuiltinImage::launcher(installation::LAUNCHER_REPOSITORY, &program)];
        config.kvm = accelerator == Accelerator::Kvm;
        config.resolv_conf = arguments.resolver.path()?;
        config.cluster_dns = plane.name_server.map(|address| dns::cluster(address.into()));
        // The nodes of this process share one store; one of them makes room in it.
        config.image_space = is_first.then(|| arguments.image_space.policy());
        nodes.add(&config.node, config.pods());
        let agent = Agent {
            node_name: config.node.clone(),
            kubelet_root: config.root.clone(),
            state_directory: layout.node(&config.node).join("virt-handler"),
            installation: layout.root().to_owned(),
            helper: config.helper.clone(),
            boot_patience: arguments.guests.boot_patience(),
            door: Door::default(),
            stop: stop.clone(),
        };
        plane.agents.add(&config.node, agent.door.clone());
        let context = plane.context("kube-proxy", identity::network(), effects);
        let (network, stopped) = (traffic::config(&config), stop.clone().cancelled_owned());
        tasks.spawn(async move {
            kube_network::run(network, context, stopped).await;
            Ok(())
        });
        // One answers for all nodes, which reach it by its Service.
        if let Some(address) = plane.name_server.filter(|_| is_first) {
            dns::run(address, &config, plane, effects, stop, tasks);
        }
        let context = plane.context("kubelet", identity::node(&config.node), effects);
        let (images, stopped) = (images.clone(), stop.clone().cancelled_owned());
        tasks.spawn(
            async move { kubelet::run(config, context, images, stopped).await.context("the kubelet") },
        );
        let context = plane.context("virt-handler", identity::handler(&agent.node_name), effects);
        tasks.spawn(async move { run_agent(agent, accelerator, context).await });
    }
    Ok(())
}

/// Returns the networks that the nodes' Pods get, `None` for one that the node chooses itself.
///
/// # Errors
/// When the network that they share has too little room.
pub(super) fn networks(arguments: &UpArgs) -> Result<Vec<Option<network::Cidr>>> {
    let Some(shared) = arguments.pod_network else { return Ok(vec![None; usize::from(arguments.nodes)]) };
    let part = |number| {
        shared.part(number, arguments.nodes).map(Some).with_context(|| {
            format!(
                "the Pod network {shared} is too small for {} nodes; choose a larger one",
                arguments.nodes
            )
        })
    };
    (0..arguments.nodes).map(part).collect()
}

/// Gives each of several nodes a network namespace of its own. A single node shares the machine's; without root nodes
/// have no network of their own at all, only their Pods have.
fn places(shared: &NodesConfig) -> Result<Vec<VirtualNode>> {
    if shared.count < 2 || !rustix::process::geteuid().is_root() {
        return Ok(Vec::new());
    }
    std::fs::create_dir_all(&shared.state).with_context(|| format!("making {}", shared.state.display()))?;
    network::nodes::prepare(shared).context("connecting the nodes")
}

/// Returns what several nodes of this machine share; its directory is there once they do.
pub(crate) fn shared_network(layout: &Layout, count: u8) -> NodesConfig {
    let instance = layout.root().display().to_string();
    NodesConfig { instance, state: layout.network(), count, pods: None, namespace: None }
}

/// What an agent needs besides what its hypervisor says of itself.
pub(crate) struct Agent {
    pub(crate) node_name: String,
    pub(crate) kubelet_root: std::path::PathBuf,
    pub(crate) state_directory: std::path::PathBuf,
    pub(crate) installation: std::path::PathBuf,
    pub(crate) helper: host::Helper,
    pub(crate) boot_patience: Duration,
    /// Through which virt-api reaches it.
    pub(crate) door: Door,
    pub(crate) stop: CancellationToken,
}

/// Runs an agent once its hypervisor can be asked; a node without one is there, but takes no machines.
pub(crate) async fn run_agent(
    agent: Agent,
    accelerator: Accelerator,
    context: kube_ext::Context,
) -> Result<()> {
    let mut events = Tasks::new();
    let recorder = Recorder::start(&context, "virt-handler", &mut events);
    // Beside what only the agent may read.
    let memory = agent.state_directory.with_file_name("hypervisor.json");
    let mut teller = Teller::new(&context, &agent.node_name, recorder, memory);
    let stopped = agent.stop.clone();
    let work = async {
        let hypervisor = teller.wait(accelerator).await;
        let config = virt_handler::Config {
            node_name: agent.node_name,
            kubelet_root: agent.kubelet_root,
            state_directory: agent.state_directory,
            installation: agent.installation,
            helper: agent.helper,
            hypervisor,
            boot_patience: agent.boot_patience,
        };
        let stopped = agent.stop.cancelled_owned();
        let running = virt_handler::run_with_door(config, context.clone(), &agent.door, stopped);
        tokio::select! {
            ended = running => ended.context("the node's agent"),
            () = teller.watch() => Ok(()),
        }
    };
    tokio::select! {
        biased;
        ended = work => ended,
        () = events.run(stopped.cancelled_owned()) => Ok(()),
    }
}

/// Returns what identifies the node `name` on this machine: where its files are, what its links and groups are called.
pub(crate) fn config(name: &str, layout: &Layout) -> Result<KubeletConfig> {
    let root = layout.node(name).join("kubelet");
    let state = layout.node(name).join("network");
    for directory in [&root, &state] {
        std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    let is_root = rustix::process::geteuid().is_root();
    let namespace = network::nodes::namespace(&shared_network(layout, 0), name);
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
        cluster_dns: None,
        resolv_conf: None,
        cgroup: format!("ironclad-{}", short_name(&root)),
        root,
        local_volumes: layout.volumes(name),
        image_space: None,
        kvm: false,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        release: format!("v{}", env!("CARGO_PKG_VERSION")),
        cpus: None,
        memory_bytes: None,
    })
}

/// This program, in its hidden roles.
pub(crate) fn helper() -> Result<host::Helper> {
    host::Helper::running().context("finding this executable")
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
