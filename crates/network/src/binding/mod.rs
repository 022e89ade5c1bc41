//! How a machine stands in its Pod's network: behind the Pod's address (`masquerade`), or with that address itself (`bridge`).
//!
//! ```text
//!   Pod's network namespace
//!   masquerade   eth0 (Pod's address) <── translation ──> k6t-eth0 (10.0.2.1) ── tap0 ── machine (10.0.2.2)
//!   bridge       eth0 (no address)    <────────────────── k6t-eth0 ───────────── tap0 ── machine (Pod's address)
//! ```
//!
//! Either way the machine learns its address by DHCP on the bridge, and what connects to the Pod's own loopback reaches
//! the machine.

mod bridge;
mod masquerade;
mod note;
mod rules;
mod sockets;

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use wire::machine::{Dhcp, DhcpOption};

pub(crate) use bridge::rejoin;

use crate::link::{Link, Stack};
use crate::netns_exec::{Call, Request, Response};
use crate::nft::Transaction;
use crate::{Cidr, Cidr6, Error, ipv6, sysctl, tap};

/// Interface of the Pod that leads out.
pub const POD_INTERFACE: &str = "eth0";
/// Bridge that the machine's tap is a port of.
pub const BRIDGE: &str = "k6t-eth0";
/// Tap device of the machine.
pub const TAP: &str = "tap0";
/// Hardware address of the bridge that is a gateway: the same in every Pod, so that a machine that moves keeps its gateway.
pub const BRIDGE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0];
/// Network of a machine behind its Pod's address unless the specification names another.
pub const DEFAULT_NETWORK: Cidr = Cidr::new(Ipv4Addr::new(10, 0, 2, 0), 24);

/// Transport protocol of a forwarded port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One port of the machine that the Pod's address answers on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Protocol.
    pub protocol: Protocol,
    /// Port.
    pub port: u16,
}

/// How a machine stands behind its Pod's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Masquerade {
    /// Network between bridge and machine: its first host is the gateway, its second the machine.
    pub network: Cidr,
    /// The same for IPv6, used when the Pod has such an address.
    pub network6: Cidr6,
    /// Ports to forward; empty forwards everything.
    #[serde(default)]
    pub ports: Vec<Port>,
}

impl Default for Masquerade {
    fn default() -> Self {
        Self { network: DEFAULT_NETWORK, network6: ipv6::DEFAULT_NETWORK, ports: Vec::new() }
    }
}

/// Whose the Pod's address is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Binding {
    /// The Pod's; the machine has one of its own behind it.
    Masquerade(Masquerade),
    /// The machine's.
    Bridge,
}

/// A machine's interface on its Pod's network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Name of the interface in the machine's specification; names the descriptors (`nic/NAME/dhcp`).
    pub interface: String,
    /// Whose the Pod's address is.
    pub binding: Binding,
    /// Host name to hand out.
    #[serde(default)]
    pub hostname: String,
    /// Name servers to hand out.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    /// Search domains to hand out.
    #[serde(default)]
    pub search: Vec<String>,
    /// Further DHCP options, verbatim.
    #[serde(default)]
    pub dhcp_options: Vec<DhcpOption>,
}

impl Spec {
    /// An interface that hands out nothing but addresses.
    pub fn new(interface: impl Into<String>, binding: Binding) -> Self {
        Self {
            interface: interface.into(),
            binding,
            hostname: String::new(),
            dns: Vec::new(),
            search: Vec::new(),
            dhcp_options: Vec::new(),
        }
    }

    /// What the machine with the address `own` is told, before what its binding adds.
    fn lease(&self, own: Cidr, gateway: Ipv4Addr, mtu: u16) -> Dhcp {
        let servers = |server: &IpAddr| match server {
            IpAddr::V4(server) => Some(*server),
            IpAddr::V6(_) => None,
        };
        Dhcp {
            socket: format!("nic/{}/dhcp", self.interface),
            address: own.address,
            prefix: own.prefix,
            gateway,
            server: None,
            routes: Vec::new(),
            dns: self.dns.iter().filter_map(servers).collect(),
            search: self.search.clone(),
            hostname: self.hostname.clone(),
            mtu,
            extra: self.dhcp_options.clone(),
            ipv6: None,
        }
    }
}

/// A machine's network, ready for its hypervisor and its supervisor.
#[derive(Debug)]
pub struct Prepared {
    /// The tap device, with virtio-net headers; `None` when a running hypervisor holds it already.
    pub tap: Option<OwnedFd>,
    /// UDP socket on port 67 of the bridge.
    pub dhcp_socket: OwnedFd,
    /// The sockets that [`Dhcp::ipv6`] names, in its order; `None` without IPv6.
    pub ipv6_sockets: Option<[OwnedFd; 2]>,
    /// What to answer on it.
    pub lease: Dhcp,
    /// MTU of the machine's interface.
    pub mtu: u16,
    /// Addresses that the machine is reached at.
    pub pod_ips: Vec<IpAddr>,
    /// The rules that translate addresses, which may not be in force yet.
    pub rules: PendingRules,
}

/// Rules that come into force while a machine starts, which takes longer.
#[derive(Debug)]
#[must_use = "whether the rules are in force is known after `wait`"]
pub struct PendingRules(Call);

impl PendingRules {
    /// Waits until they are in force. Blocks for some milliseconds.
    pub fn wait(mut self) -> Result<(), Error> {
        match self.0.answer()? {
            (Response::Done, _) => Ok(()),
            _ => Err(Error::Helper("the network helper answered another question".into())),
        }
    }
}

/// What the helper process reports back besides descriptors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Facts {
    pub(crate) has_tap: bool,
    pub(crate) lease: Dhcp,
    pub(crate) mtu: u16,
    pub(crate) pod_ips: Vec<IpAddr>,
}

/// Connects a machine to the network of the Pod that process `pid` is in. Blocks for some milliseconds.
///
/// Rules come into force at the side; see [`PendingRules`]. May be repeated, also after a part of it: what exists is kept,
/// rules are replaced in one step, and a fresh socket is opened.
/// `helper` runs [`crate::netns_exec::main`] in the role [`crate::netns_exec::ROLE`].
pub fn prepare(pid: i32, spec: &Spec, helper: &host::Helper) -> Result<Prepared, Error> {
    let mut call = Call::begin(helper, pid, &Request::Bind(spec.clone()))?;
    let (response, descriptors) = call.answer()?;
    let Response::Bound(facts) = response else {
        return Err(Error::Helper("the network helper answered another question".into()));
    };
    let mut descriptors = descriptors.into_iter();
    let dhcp_socket = descriptors.next();
    let tap = if facts.has_tap { descriptors.next() } else { None };
    let missing = || Error::Helper("the network helper sent no descriptors".into());
    let ipv6_sockets = match facts.lease.ipv6 {
        Some(_) => Some([descriptors.next().ok_or_else(missing)?, descriptors.next().ok_or_else(missing)?]),
        None => None,
    };
    Ok(Prepared {
        dhcp_socket: dhcp_socket.ok_or_else(missing)?,
        ipv6_sockets,
        tap,
        lease: facts.lease,
        mtu: facts.mtu,
        pod_ips: facts.pod_ips,
        rules: PendingRules(call),
    })
}

/// Prepares the calling process's network namespace; the helper's side of [`prepare`].
///
/// The descriptors are the DHCP socket, the tap unless it is held already, and the two sockets for IPv6 where the lease
/// names them. The rules are in force once the transaction has ended.
pub(crate) fn inside(spec: &Spec) -> Result<(Facts, Vec<OwnedFd>, Transaction), Error> {
    crate::namespace::block_on(async {
        let stack = Stack::open()?;
        let outer =
            stack.find(POD_INTERFACE).await?.ok_or_else(|| Error::NoInterface(POD_INTERFACE.into()))?;
        match &spec.binding {
            Binding::Masquerade(masquerade) => masquerade::prepare(&stack, &outer, spec, masquerade).await,
            Binding::Bridge => bridge::prepare(&stack, &outer, spec).await,
        }
    })
}

/// Opens the machine's tap and makes it a port of `bridge`. `None` when a running hypervisor holds it already.
async fn plug(stack: &Stack, bridge: &Link, mtu: u32) -> Result<Option<OwnedFd>, Error> {
    let tap = tap::open(TAP)?;
    let link = stack.find(TAP).await?.ok_or_else(|| Error::NoInterface(TAP.into()))?;
    stack.join(&link, bridge.index, mtu).await?;
    Ok(tap)
}

/// Lets the Pod's own loopback reach the machine: such packets leave by the bridge.
fn open_loopback() -> Result<(), Error> {
    sysctl::write(&format!("ipv4/conf/{BRIDGE}/route_localnet"), "1")
}

/// An MTU as a lease has it.
fn lease_mtu(link: &Link) -> u16 {
    u16::try_from(link.mtu).unwrap_or(u16::MAX)
}
