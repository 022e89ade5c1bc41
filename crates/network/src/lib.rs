//! The network of Pods and of the machines inside them.
//!
//! - [`pod`]: gives a Pod's network namespace its `eth0` (the role of a CNI plug-in),
//! - [`nodes`]: several nodes on one machine,
//! - [`binding`]: connects a machine to its Pod's network: bridge, tap, translation, lease,
//! - [`dhcp`], [`dhcp6`], [`advertisement`]: tell a machine its addresses and its router, as pure functions of a lease,
//! - [`ipv6`]: the second family of addresses,
//! - [`listeners`]: ports that processes have,
//! - [`rights`]: what this user may do, for `doctor`,
//! - [`netns_exec`]: the helper process that works inside a Pod's namespaces.
//!
//! Links, addresses and routes go by netlink, translation rules by `nft` in tables of our own. Everything
//! made on the host carries a name derived from the instance, and can be found and removed by it.

pub mod advertisement;
pub mod binding;
mod cidr;
pub mod dhcp;
pub mod dhcp6;
pub mod ipv6;
mod link;
pub mod listeners;
mod namespace;
pub mod netns_exec;
mod nft;
pub mod nodes;
pub mod pod;
pub mod resolver;
pub mod rights;
mod sysctl;
mod tap;

pub use cidr::Cidr;
pub use ipv6::Cidr6;

/// Why a network could not be made or changed.
#[derive(Debug, thiserror::Error)]
#[allow(clippy::error_impl_error, reason = "the crate has one error; callers write network::Error")]
pub enum Error {
    /// The kernel refused a system call or a request to its network stack.
    #[error("cannot {operation}: {cause}")]
    System {
        /// What was tried, with its operand.
        operation: String,
        /// Cause. It is part of the message already, hence no `source`.
        cause: std::io::Error,
    },
    /// `nft` refused a program, or could not be started.
    #[error("nft refuses the rules of table {table}: {message}")]
    Rules {
        /// Table.
        table: String,
        /// What `nft` said.
        message: String,
    },
    /// `pasta` could not connect a Pod.
    #[error("pasta cannot connect the Pod: {0}")]
    Pasta(String),
    /// The host itself has no way out that Pods could share.
    #[error("the host has no default route, so Pods have no way out")]
    NoUplink,
    /// No address is left for a Pod, or no network for a node.
    #[error("{0}")]
    Exhausted(String),
    /// Nobody answers at an address.
    #[error("cannot connect to {address}: {cause}")]
    Unreachable {
        /// The address, as it is called where it was dialled from.
        address: std::net::SocketAddr,
        /// Why not.
        cause: String,
    },
    /// The helper process says why it failed.
    #[error("{0}")]
    Helper(String),
    /// The Pod's interface has no address to give, and nobody noted one.
    #[error(
        "the Pod's {0} has no IPv4 address for its machine; delete the instance, so that it gets another Pod"
    )]
    NoAddress(String),
    /// The namespace lacks an interface that must be there.
    #[error("the Pod's network has no {0}; was it connected?")]
    NoInterface(String),
}

impl Error {
    pub(crate) fn netlink(operation: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Self {
        move |error| {
            let cause = match error {
                rtnetlink::Error::NetlinkError(message) => message.to_io(),
                other => std::io::Error::other(other.to_string()),
            };
            Self::System { operation: operation.into(), cause }
        }
    }

    pub(crate) fn system<E: Into<std::io::Error>>(operation: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |cause| Self::System { operation: operation.into(), cause: cause.into() }
    }
}
