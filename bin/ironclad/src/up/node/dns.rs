//! The cluster's name server: where Pods of nodes that root runs find it, and who runs it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::Result;
use kubelet::KubeletConfig;
use network::resolver::ClusterDns;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::control_plane::ControlPlane;
use super::super::{Effects, identity};

/// Number of the name server's address in the network of Services, by custom.
const NUMBER: u32 = 10;
/// Where this machine says whom it asks.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Makes the name server's Service; `None` where Pods could not ask it. Pods then have this machine's resolvers.
pub(in crate::up) async fn announce(plane: &ControlPlane, effects: &Effects) -> Option<Ipv4Addr> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let context = plane.context("kube-dns", identity::kubernetes(), effects);
    match kube_dns::announce(&context.client, usual()).await {
        Ok(address) => Some(address),
        Err(error) => {
            tracing::error!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "the cluster has no name server"
            );
            None
        }
    }
}

/// Returns the address that the name server's Service has unless somebody else's has it.
pub(crate) fn usual() -> Ipv4Addr {
    let (network, _) = apiserver::server::Settings::default().service_network;
    Ipv4Addr::from(u32::from(network) + NUMBER)
}

/// What the name server that is announced at `address` must know to run on the node of `kubelet`.
pub(crate) fn config(address: Ipv4Addr, kubelet: &KubeletConfig) -> kube_dns::Config {
    kube_dns::Config {
        node: kubelet.node.clone(),
        network: kubelet.network.clone(),
        address,
        resolv_conf: kubelet.resolv_conf.clone().unwrap_or_else(|| PathBuf::from(RESOLV_CONF)),
    }
}

/// What a kubelet is told of the name server at `server`.
pub(crate) fn cluster(server: IpAddr) -> ClusterDns {
    ClusterDns { server, domain: plan::names::DOMAIN.to_owned() }
}

/// Runs the name server that is announced at `address` on the node of `kubelet`.
pub(super) fn run(
    address: Ipv4Addr,
    kubelet: &KubeletConfig,
    plane: &ControlPlane,
    effects: &Effects,
    stop: &CancellationToken,
    tasks: &mut JoinSet<Result<()>>,
) {
    let config = config(address, kubelet);
    // It reads what every node's agent for Services reads; only its announcement is written as the cluster itself.
    let context = plane.context("kube-dns", identity::network(), effects);
    let announcer = plane.context("kube-dns", identity::kubernetes(), effects).client;
    let stopped = stop.clone().cancelled_owned();
    tasks.spawn(async move {
        kube_dns::run(config, context, announcer, stopped).await;
        Ok(())
    });
}
