//! Options of each component that runs by itself.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use super::{DataDir, GuestArgs, ImageSpaceArgs, ResolverArgs};

#[derive(Clone, Debug, Args)]
pub(crate) struct ComponentArgs {
    /// How to reach the API server.
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct VirtControllerArgs {
    #[command(flatten)]
    pub(crate) component: ComponentArgs,
    /// Work only while elected by a Lease in the namespace `kubevirt`, so that several may run.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "bool")]
    pub(crate) leader_elect: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct VirtApiArgs {
    #[command(flatten)]
    pub(crate) component: ComponentArgs,
    /// Keeps the certificates.
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Address to listen on.
    #[arg(long, default_value = "0.0.0.0:8443", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
    /// Service by which the API server reaches this address.
    #[arg(long, default_value = "kubevirt/virt-api:443", value_name = "NAMESPACE/NAME:PORT")]
    pub(crate) service: crate::virt_api::Service,
    /// Write the webhooks and the aggregated API into the API server, with the authority of the certificate that is
    /// served here. Needs the right to change them.
    #[arg(long)]
    pub(crate) register: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct NodeComponentArgs {
    #[command(flatten)]
    pub(crate) component: ComponentArgs,
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Name of the node.
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    pub(crate) node_name: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct KubeletArgs {
    #[command(flatten)]
    pub(crate) node: NodeComponentArgs,
    #[command(flatten)]
    pub(crate) resolver: ResolverArgs,
    /// Address of the cluster's name server; without it Pods get the resolvers of this machine.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) cluster_dns: Option<IpAddr>,
    #[command(flatten)]
    pub(crate) image_space: ImageSpaceArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct KubeDnsArgs {
    #[command(flatten)]
    pub(crate) node: NodeComponentArgs,
    #[command(flatten)]
    pub(crate) resolver: ResolverArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct VirtHandlerArgs {
    #[command(flatten)]
    pub(crate) node: NodeComponentArgs,
    #[command(flatten)]
    pub(crate) guests: GuestArgs,
}

/// Reads the name of a node, which is part of paths and selectors.
fn node_name(text: &str) -> Result<String, String> {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let good = bytes.len() <= 63
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|byte| edge(byte) || matches!(byte, b'-' | b'.'));
    if good {
        return Ok(text.to_owned());
    }
    Err("a node's name is at most 63 lowercase letters, digits, `-` and `.`, with a letter or digit at both ends".to_owned())
}
