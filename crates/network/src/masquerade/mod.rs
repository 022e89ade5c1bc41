//! A machine behind its Pod's address.
//!
//! ```text
//!   Pod's network namespace
//!   eth0 (Pod's address) <── translation ──> k6t-eth0 (10.0.2.1) ── tap0 ── machine (10.0.2.2)
//! ```
//!
//! A Pod with an IPv6 address has the same once more: `fd10:0:2::1` and `fd10:0:2::2`.
//!
//! What comes in on the Pod's address goes on to the machine (all of it, or only the listed ports); what the
//! machine sends leaves with the Pod's address. The machine learns its own address by DHCP on the bridge.

mod inside;
mod rules;
mod sockets;

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use wire::machine::{Dhcp, DhcpOption};

use crate::netns_exec::{Call, Request, Response};
use crate::nft::Transaction;
use crate::{Cidr, Cidr6, Error, ipv6};

/// Interface of the Pod that the machine stands behind.
pub const POD_INTERFACE: &str = "eth0";
/// Bridge between the Pod's stack and the machine.
pub const BRIDGE: &str = "k6t-eth0";
/// Tap device of the machine.
pub const TAP: &str = "tap0";
/// Hardware address of the bridge: the same in every Pod, so that a machine that moves keeps its gateway.
pub const BRIDGE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0];
/// Network of the machine unless the specification names another.
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

/// How a machine stands behind its Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MasqueradeSpec {
    /// Name of the interface in the machine's specification; names the descriptors (`nic/NAME/dhcp`).
    pub interface: String,
    /// Network between bridge and machine: its first host is the gateway, its second the machine.
    pub network: Cidr,
    /// The same for IPv6, used when the Pod has such an address.
    pub network6: Cidr6,
    /// Ports to forward; empty forwards everything.
    #[serde(default)]
    pub ports: Vec<Port>,
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

impl Default for MasqueradeSpec {
    fn default() -> Self {
        Self {
            interface: "default".into(),
            network: DEFAULT_NETWORK,
            network6: ipv6::DEFAULT_NETWORK,
            ports: Vec::new(),
            hostname: String::new(),
            dns: Vec::new(),
            search: Vec::new(),
            dhcp_options: Vec::new(),
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
    /// Addresses of the Pod.
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

/// Puts a machine behind the address of the Pod that process `pid` is in. Blocks for some milliseconds.
///
/// Rules come into force at the side; see [`PendingRules`]. May be repeated: what exists is kept, rules are
/// replaced in one step, and a fresh socket is opened.
/// `helper` runs [`crate::netns_exec::main`] in the role [`crate::netns_exec::ROLE`].
pub fn prepare(pid: i32, spec: &MasqueradeSpec, helper: &host::Helper) -> Result<Prepared, Error> {
    let mut call = Call::begin(helper, pid, &Request::Masquerade(spec.clone()))?;
    let (response, descriptors) = call.answer()?;
    let Response::Masquerade(facts) = response else {
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
pub(crate) fn inside(spec: &MasqueradeSpec) -> Result<(Facts, Vec<OwnedFd>, Transaction), Error> {
    crate::namespace::block_on(inside::prepare(spec))
}
