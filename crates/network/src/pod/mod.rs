//! The network of Pods: an address, a way out, and everything found again and removed.
//!
//! As root, each Pod has a veth pair between the node and its own namespace; the node routes, and an
//! nft table of the node's own translates what leaves. [`Filter`] holds what Services and policies add to it. As an ordinary user, each Pod has a `pasta` process
//! that carries its connections; nothing is made on the host.
//!
//! What a node holds is written to `addresses.json` in its state directory before it is used, so that a
//! killed process leaves nothing unknown behind.

pub(crate) mod addresses;
pub(crate) mod bridge;
mod filter;
mod forwarding;
pub(crate) mod mend;
mod name_server;
mod neighbours;
mod pasta;
mod six;

pub use filter::{Filter, Part};
pub use name_server::NameServer;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::netns_exec::{self, Request};
use crate::{Cidr, Error, namespace};
use addresses::Addresses;
use mend::Forwards;

/// How Pods reach the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uplink {
    /// A bridge with address translation; needs root.
    Bridge,
    /// A `pasta` process for each Pod; works for everyone.
    Pasta,
}

/// The network of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeNetworkConfig {
    /// Text that no other node on this machine shares, for example the node's data directory. The names of
    /// links and tables are derived from it.
    pub instance: String,
    /// Number of the node, from 0; chooses its default network 10.244.N.0/24.
    pub node: u8,
    /// Network of the node's Pods; `None` takes the default, or another one when the host uses that already.
    pub network: Option<Cidr>,
    /// Directory for the node's own files; must exist.
    pub state: PathBuf,
    /// Network namespace of the node; `None` for the one of this process.
    pub namespace: Option<PathBuf>,
    /// How Pods reach the world.
    pub uplink: Uplink,
    /// Networks of other nodes' Pods, which are reached without address translation.
    pub peers: Vec<Cidr>,
}

/// A Pod's place in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Address of the Pod.
    pub address: Ipv4Addr,
    /// IPv6 address of the Pod, where it has one.
    pub address6: Option<Ipv6Addr>,
    /// Gateway, which is the node in the bridged case.
    pub gateway: Ipv4Addr,
}

/// The network of one node, ready for Pods. All methods block for some milliseconds.
#[derive(Debug)]
pub struct NodeNetwork {
    config: NodeNetworkConfig,
    names: bridge::Names,
    addresses: Mutex<Addresses>,
    /// Whether the node forwards IPv6, so that Pods get such addresses as well.
    has_ipv6: bool,
    forwards: Forwards,
}

impl NodeNetwork {
    /// Makes what the node's Pods share. May be repeated.
    pub fn prepare(config: NodeNetworkConfig) -> Result<Self, Error> {
        let names = bridge::Names::of(&config.instance);
        let mut addresses = settled(&config)?;
        let namespace = bridge::namespace(&config)?;
        if config.uplink == Uplink::Bridge {
            addresses.reserve_name_server()?;
        }
        let has_ipv6 = config.uplink == Uplink::Bridge
            && bridge::prepare(namespace.as_ref(), &names, &mut addresses, &config.peers)?;
        let forwards = match config.uplink {
            Uplink::Bridge => Forwards::of(namespace.as_ref(), has_ipv6)?,
            Uplink::Pasta => Forwards::default(),
        };
        Ok(Self { config, names, addresses: Mutex::new(addresses), has_ipv6, forwards })
    }

    /// Returns the network that the node's Pods get addresses from.
    pub fn network(&self) -> Cidr {
        self.addresses().network()
    }

    /// Connects the network namespace of process `pid`, the first one of Pod `pod` (its UID).
    ///
    /// The namespace gets `lo`, and `eth0` with an address and a default route. [`Error::NoUplink`] on a host that
    /// is connected to nothing; then [`NodeNetwork::isolate`] gives the Pod an address all the same.
    pub fn attach(&self, pod: &str, pid: i32) -> Result<Attachment, Error> {
        let (network, address) = {
            let mut addresses = self.addresses();
            let address = addresses.allocate(pod)?;
            (addresses.network(), address)
        };
        let gateway = network.host(1).unwrap_or(address);
        let has_ipv6 = match self.config.uplink {
            Uplink::Bridge => self.has_ipv6,
            // It may come and go with the host's network.
            Uplink::Pasta => crate::ipv6::leads_out(),
        };
        let address6 = has_ipv6.then(|| crate::ipv6::twin(address));
        match self.config.uplink {
            Uplink::Bridge => {
                let namespace = bridge::namespace(&self.config)?;
                let own = Cidr::new(address, network.prefix);
                let inside = namespace::of_process(pid)?;
                bridge::attach(namespace.as_ref(), &self.names, &inside, own, gateway, self.has_ipv6)?;
            }
            Uplink::Pasta => {
                let own = Cidr::new(address, network.prefix);
                let process = pasta::attach(&self.config.state, pod, pid, own, address6, gateway)?;
                self.addresses().set_uplink(pod, process)?;
            }
        }
        Ok(Attachment { address, address6, gateway })
    }

    /// Gives Pod `pod` its address without a way out. `helper` runs [`crate::netns_exec::main`].
    pub fn isolate(&self, pod: &str, pid: i32, helper: &host::Helper) -> Result<Attachment, Error> {
        let (network, address) = {
            let mut addresses = self.addresses();
            let address = addresses.allocate(pod)?;
            (addresses.network(), address)
        };
        let gateway = network.host(1).unwrap_or(address);
        let request = Request::Isolate { own: Cidr::new(address, network.prefix), gateway };
        netns_exec::call(helper, pid, &request)?;
        Ok(Attachment { address, address6: None, gateway })
    }

    /// Disconnects Pod `pod` and frees its address. A Pod that is not connected is no error.
    pub fn detach(&self, pod: &str) -> Result<(), Error> {
        let Some(lease) = self.addresses().lease(pod) else { return Ok(()) };
        match self.config.uplink {
            Uplink::Bridge => {
                let namespace = bridge::namespace(&self.config)?;
                bridge::detach(namespace.as_ref(), &self.names, lease.address)?;
            }
            Uplink::Pasta => pasta::detach(&self.config.state, pod, lease.uplink.as_ref())?,
        }
        self.addresses().free(pod)
    }

    /// Makes again what somebody else removed: rules, bridge, routes, and the links of the Pods whose first process
    /// `first` tells. Returns what was missing. As an ordinary user there is nothing that others could remove.
    pub fn mend(&self, first: impl Fn(&str) -> Option<i32>) -> Result<Vec<String>, Error> {
        if self.config.uplink != Uplink::Bridge {
            return Ok(Vec::new());
        }
        let namespace = bridge::namespace(&self.config)?;
        let network = self.network();
        let found = mend::look(namespace.as_ref(), &self.names, network, self.forwards)?;
        let mut missing = found.missing;
        let shared = !missing.is_empty();
        if shared {
            let mut addresses = self.addresses();
            bridge::prepare(namespace.as_ref(), &self.names, &mut addresses, &self.config.peers)?;
        }
        for pod in self.pods() {
            let Some(lease) = self.addresses().lease(&pod) else { continue };
            let (own, gateway) =
                (Cidr::new(lease.address, network.prefix), network.host(1).unwrap_or(lease.address));
            let link = self.names.link(lease.address);
            if found.links.contains(&link) {
                if shared {
                    mend::reroute(namespace.as_ref(), &self.names, lease.address, gateway, self.has_ipv6)?;
                }
            } else if let Some(pid) = first(&pod) {
                let inside = namespace::of_process(pid)?;
                bridge::attach(namespace.as_ref(), &self.names, &inside, own, gateway, self.has_ipv6)?;
                missing.push(format!("the link {link}"));
            }
        }
        Ok(missing)
    }

    /// Lists the Pods that hold an address.
    pub fn pods(&self) -> Vec<String> {
        self.addresses().pods()
    }

    /// Removes everything the node made: Pods' links or processes, bridge, rules, files.
    pub fn teardown(self) -> Result<(), Error> {
        teardown_node(&self.config)
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Settles which network the node's Pods get and writes it down; nothing else of the machine changes. Blocks.
///
/// # Errors
/// [`Error::Exhausted`] when a route of somebody else leads to the one that is asked for.
pub fn settle(config: &NodeNetworkConfig) -> Result<Cidr, Error> {
    Ok(settled(config)?.network())
}

fn settled(config: &NodeNetworkConfig) -> Result<Addresses, Error> {
    let mut addresses = Addresses::load(&config.state)?;
    let routes = match config.uplink {
        Uplink::Bridge => {
            let namespace = bridge::namespace(config)?;
            bridge::foreign_routes(namespace.as_ref(), &bridge::Names::of(&config.instance))?
        }
        Uplink::Pasta => Vec::new(),
    };
    addresses.choose_network(config.network, config.node, &routes)?;
    Ok(addresses)
}

/// Removes everything that a node with this configuration ever made, also after a crash.
pub fn teardown_node(config: &NodeNetworkConfig) -> Result<(), Error> {
    let addresses = Addresses::load(&config.state)?;
    for pod in addresses.pods() {
        if let Some(lease) = addresses.lease(&pod) {
            pasta::detach(&config.state, &pod, lease.uplink.as_ref())?;
        }
    }
    if config.uplink == Uplink::Bridge {
        // A namespace that is gone took its links and rules along.
        if config.namespace.as_ref().is_none_or(|path| path.exists()) {
            let namespace = bridge::namespace(config)?;
            bridge::teardown(namespace.as_ref(), &bridge::Names::of(&config.instance), &addresses)?;
        }
    }
    addresses.remove()
}
