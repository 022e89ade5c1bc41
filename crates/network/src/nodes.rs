//! Several nodes on one machine, each with a network namespace of its own, for root.
//!
//! ```text
//!   host ── bridge (transit network, .1) ── veth ── eth0  node 0  bridge ── Pods
//!                                        └─ veth ── eth0  node 1  bridge ── Pods
//! ```
//!
//! Nodes reach each other's Pods by routes, and the host reaches all of them; what leaves the machine is
//! translated on the host. A namespace is kept by a bind mount of it, so that it outlives its makers.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;

use crate::ipv6::{self, twin, twin_network};
use crate::link::Stack;
use crate::pod::addresses::Addresses;
use crate::pod::bridge::{self, Names};
use crate::pod::mend::{self, Forwards};
use crate::{Cidr, Error, namespace};

/// Node number whose default network is the transit network.
const TRANSIT: u8 = 255;
/// Interface of a node that leads out.
const UPLINK: &str = "eth0";

/// Nodes that share a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodesConfig {
    /// Text that no other installation on this machine shares.
    pub instance: String,
    /// Directory for files and namespaces; must exist.
    pub state: PathBuf,
    /// How many nodes, at most 200.
    pub count: u8,
    /// Network that the nodes share for their Pods, each a part; `None` takes one of 10.0.0.0/8 for each node.
    pub pods: Option<Cidr>,
    /// Network namespace that stands for the host; `None` for the one of this process.
    pub namespace: Option<PathBuf>,
}

/// One of the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualNode {
    /// Its network namespace.
    pub namespace: PathBuf,
    /// Its own address.
    pub address: Ipv4Addr,
    /// Network for its Pods.
    pub network: Cidr,
    /// Networks of the other nodes' Pods.
    pub peers: Vec<Cidr>,
}

/// Makes the namespaces and connects them. May be repeated, also with another count. Blocks.
pub fn prepare(config: &NodesConfig) -> Result<Vec<VirtualNode>, Error> {
    let host = host(config)?;
    let names = names(config);
    let mut foreign = bridge::foreign_routes(host.as_ref(), &names)?;
    if let Some(pods) = config.pods.filter(|pods| foreign.iter().any(|route| route.overlaps(*pods))) {
        return Err(Error::Exhausted(format!(
            "the Pod network {pods} is in use on this host; choose another one"
        )));
    }
    foreign.extend(config.pods);
    let mut transit = Addresses::load(&config.state)?;
    transit.choose_network(None, TRANSIT, &foreign)?;
    let network = transit.network();
    if let Some(pods) = config.pods.filter(|pods| pods.overlaps(network)) {
        return Err(Error::Exhausted(format!(
            "the Pod network {pods} overlaps {network}, by which the nodes reach each other; choose another one, or begin \
             anew after `ironclad down`"
        )));
    }
    bridge::prepare(host.as_ref(), &names, &mut transit, &[])?;
    let gateway = network.host(1).unwrap_or(network.address);
    let mut nodes: Vec<VirtualNode> = Vec::new();
    for number in 0..config.count {
        let address = transit.allocate(&format!("node-{number}"))?;
        let mut taken = foreign.clone();
        taken.push(network);
        nodes.push(VirtualNode {
            namespace: pin(config, number)?,
            address,
            network: match config.pods {
                Some(shared) => part(shared, number, config.count)?,
                None => crate::pod::addresses::free_network(number, &taken)?,
            },
            peers: Vec::new(),
        });
    }
    for (number, node) in nodes.iter().enumerate() {
        let inner = namespace::open(&node.namespace)?;
        if is_connected(&inner)? {
            bridge::reconnect(host.as_ref(), &names, node.address)?;
        } else {
            let own = Cidr::new(node.address, network.prefix);
            bridge::connect(host.as_ref(), &names, &inner, own, gateway)?;
        }
        let others: Vec<_> =
            nodes.iter().enumerate().filter(|(other, _)| *other != number).map(|(_, node)| node).collect();
        add_routes(Some(&inner), &others)?;
    }
    add_routes(host.as_ref(), &nodes.iter().collect::<Vec<_>>())?;
    let networks: Vec<Cidr> = nodes.iter().map(|node| node.network).collect();
    for node in &mut nodes {
        node.peers = networks.iter().copied().filter(|network| *network != node.network).collect();
    }
    // The host translates for the Pods of nodes as well: they do not when Pods talk among themselves.
    bridge::translate(host.as_ref(), &names, network, &networks)?;
    Ok(nodes)
}

/// What connects the nodes, kept whole while they run.
#[derive(Debug)]
pub struct Transit {
    config: NodesConfig,
    forwards: Forwards,
}

impl Transit {
    /// Takes over what [`prepare`] made. Blocks.
    pub fn of(config: NodesConfig) -> Result<Self, Error> {
        let forwards = Forwards::of(host(&config)?.as_ref(), ipv6::is_there())?;
        Ok(Self { config, forwards })
    }

    /// Makes again what somebody else removed: bridge, links of nodes, rules, forwarding. Returns what was missing. Blocks.
    pub fn mend(&self) -> Result<Vec<String>, Error> {
        let (host, names) = (host(&self.config)?, names(&self.config));
        let transit = Addresses::load(&self.config.state)?;
        let mut missing = mend::look(host.as_ref(), &names, transit.network(), self.forwards)?.missing;
        let leases = (0..self.config.count).filter_map(|number| transit.lease(&format!("node-{number}")));
        let wanted: Vec<String> = leases.map(|lease| names.link(lease.address)).collect();
        missing.extend(bridge::loose(host.as_ref(), &names, &wanted)?);
        if !missing.is_empty() {
            prepare(&self.config)?;
        }
        Ok(missing)
    }
}

/// Returns the network namespace of the node `name` (`node-0` is the first), if [`prepare`] made one.
pub fn namespace(config: &NodesConfig, name: &str) -> Option<PathBuf> {
    Some(directory(config).join(name)).filter(|path| is_namespace(path))
}

/// Removes everything that [`prepare`] ever made. The nodes' own networks must be torn down before.
pub fn teardown(config: &NodesConfig) -> Result<(), Error> {
    let transit = Addresses::load(&config.state)?;
    bridge::teardown(host(config)?.as_ref(), &names(config), &transit)?;
    let directory = directory(config);
    for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let failed = || Error::system::<std::io::Error>(format!("remove the namespace {}", path.display()));
        if is_namespace(&path) {
            nix::mount::umount2(&path, MntFlags::MNT_DETACH).map_err(|errno| failed()(errno.into()))?;
        }
        std::fs::remove_file(&path).map_err(failed())?;
    }
    // Absent when no node was ever made.
    let _ = std::fs::remove_dir(&directory);
    transit.remove()
}

/// Returns the part of the network `shared` that is one node's.
fn part(shared: Cidr, number: u8, count: u8) -> Result<Cidr, Error> {
    shared.part(number, count).ok_or_else(|| {
        Error::Exhausted(format!(
            "the Pod network {shared} is too small for {count} nodes; choose a larger one"
        ))
    })
}

fn host(config: &NodesConfig) -> Result<Option<File>, Error> {
    config.namespace.as_deref().map(namespace::open).transpose()
}

fn names(config: &NodesConfig) -> Names {
    Names::of(&format!("{} nodes", config.instance))
}

fn directory(config: &NodesConfig) -> PathBuf {
    config.state.join("namespaces")
}

/// Makes the namespace of a node and keeps it by a mount; returns its path.
fn pin(config: &NodesConfig, number: u8) -> Result<PathBuf, Error> {
    let directory = directory(config);
    let path = directory.join(format!("node-{number}"));
    if is_namespace(&path) {
        return Ok(path);
    }
    let failed = || Error::system::<std::io::Error>(format!("make the namespace {}", path.display()));
    std::fs::create_dir_all(&directory).map_err(failed())?;
    File::create(&path).map_err(failed())?;
    let made = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sched::unshare(CloneFlags::CLONE_NEWNET)?;
            let own = Some("/proc/thread-self/ns/net");
            nix::mount::mount(own, &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        });
        thread.join().unwrap_or(Err(nix::errno::Errno::EIO))
    });
    made.map_err(|errno| failed()(errno.into()))?;
    Ok(path)
}

/// Says whether a namespace is mounted at `path`.
fn is_namespace(path: &Path) -> bool {
    const NSFS: rustix::fs::FsWord = 0x6e73_6673;
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type == NSFS)
}

fn is_connected(inner: &File) -> Result<bool, Error> {
    namespace::run(Some(inner), || async { Ok(Stack::open()?.find(UPLINK).await?.is_some()) })
}

/// Routes to the Pods of `nodes` by way of the nodes.
fn add_routes(at: Option<&File>, nodes: &[&VirtualNode]) -> Result<(), Error> {
    namespace::run(at, || async {
        let stack = Stack::open()?;
        for node in nodes {
            stack.route(node.network, node.address).await?;
            if ipv6::is_there() {
                let made = stack.route6(twin_network(node.network), Some(twin(node.address)), None).await;
                if let Err(error) = made {
                    // A node that an earlier release connected has no address of this family.
                    tracing::info!(%error, "Pods of this node are reached over IPv4 only");
                }
            }
        }
        Ok(())
    })
}
