//! Network interfaces, and the lease that each hands out.

use serde::{Deserialize, Serialize};

use super::{Address, DescriptorName};

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Nic {
    /// Name in the specification; stable and unique.
    pub name: String,
    /// Device model that the guest sees.
    pub model: NicModel,
    /// Place on the PCI bus.
    pub address: Address,
    /// Hardware address, lower case with colons.
    pub mac: String,
    /// Maximum transmission unit offered to the guest; 0 leaves it alone.
    pub mtu: u16,
    /// Open tap device.
    pub tap: DescriptorName,
    /// Lease that the launcher hands out on this interface, and the bound socket it answers on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dhcp: Option<Dhcp>,
    /// Place in the boot order, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_index: Option<u32>,
    /// Link state at start.
    pub link_up: bool,
    /// Number in the guest's name of the interface (`enoN`); `None` for a name by its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acpi_index: Option<u32>,
}

/// Device model of a network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NicModel {
    /// virtio-net.
    Virtio,
    /// Intel 82540EM.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// Realtek RTL8139.
    Rtl8139,
    /// AMD PCnet.
    Pcnet,
    /// NE2000 on PCI.
    Ne2kPci,
    /// Intel 82576.
    Igb,
}

/// What the DHCP responder of one interface hands out. It serves exactly one client, by MAC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dhcp {
    /// UDP socket bound to port 67 on the guest-facing bridge, inside the Pod's network namespace.
    pub socket: DescriptorName,
    /// Address for the guest.
    pub address: std::net::Ipv4Addr,
    /// Prefix length of the guest's network.
    pub prefix: u8,
    /// Default gateway; `0.0.0.0` where there is none.
    pub gateway: std::net::Ipv4Addr,
    /// The server's own identifier; `None` when it is the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<std::net::Ipv4Addr>,
    /// Routes that do not follow from address and gateway, the default route with them; empty when all do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<DhcpRoute>,
    /// Name servers.
    #[serde(default)]
    pub dns: Vec<std::net::Ipv4Addr>,
    /// Search domains.
    #[serde(default)]
    pub search: Vec<String>,
    /// Host name for the guest.
    #[serde(default)]
    pub hostname: String,
    /// Interface MTU; 0 sends none.
    #[serde(default)]
    pub mtu: u16,
    /// Boot file name, TFTP server, NTP servers and private options, verbatim.
    #[serde(default)]
    pub extra: Vec<DhcpOption>,
    /// What the guest is told of IPv6; `None` where its Pod has no such address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Lease>,
}

/// A guest's IPv6 address, its router, and the sockets that say so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ipv6Lease {
    /// UDP socket bound to port 547 on the guest-facing bridge, a member of `ff02::1:2`.
    pub dhcp: DescriptorName,
    /// Raw ICMPv6 socket bound to the bridge that receives router solicitations, and sends with hop limit 255.
    pub advertiser: DescriptorName,
    /// Address for the guest.
    pub address: std::net::Ipv6Addr,
    /// Prefix length of the guest's network.
    pub prefix: u8,
    /// Hardware address of the router, which is the bridge.
    pub router: [u8; 6],
    /// Name servers.
    #[serde(default)]
    pub dns: Vec<std::net::Ipv6Addr>,
}

/// A route that a guest is told (RFC 3442).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpRoute {
    /// Network that it leads to; `0.0.0.0` with the prefix 0 for the default route.
    pub address: std::net::Ipv4Addr,
    /// Prefix length.
    pub prefix: u8,
    /// Next hop; `None` where the network is right behind the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<std::net::Ipv4Addr>,
}

/// One DHCP option by code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpOption {
    /// Option code (RFC 2132).
    pub code: u8,
    /// Raw value.
    pub value: Vec<u8>,
}
