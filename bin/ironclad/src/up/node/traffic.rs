//! How a node of this process handles traffic for Services: by rules as root, by sockets otherwise.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use kube_network::{Dial, Means, Target};
use kubelet::KubeletConfig;
use kubelet::record::Record;
use network::pod::Filter;

/// Returns what the agent for Services and policies must know of the node.
pub(crate) fn config(kubelet: &KubeletConfig) -> kube_network::Config {
    let means = match Filter::of(&kubelet.network) {
        Some(filter) => Means::Filter(filter),
        None => Means::Sockets(Arc::new(Dialer { pods: kubelet.pods(), helper: kubelet.helper.clone() })),
    };
    kube_network::Config { node: kubelet.node.clone(), means }
}

/// Opens connections inside the network of Pods.
struct Dialer {
    pods: PathBuf,
    helper: host::Helper,
}

#[async_trait::async_trait]
impl Dial for Dialer {
    async fn dial(&self, target: &Target) -> io::Result<TcpStream> {
        let (pods, helper, target) = (self.pods.clone(), self.helper.clone(), target.clone());
        let connected = tokio::task::spawn_blocking(move || {
            let record = Record::load(&pods, &target.pod);
            let process = record.and_then(|record| record.process).filter(|process| {
                // Its number may be another process's by now.
                matches!(process.open(), Ok(Some(_)))
            });
            let process =
                process.ok_or_else(|| io::Error::other(format!("Pod {} does not run", target.pod)))?;
            // The Pod forwards its loopback to the machine, as it does its address.
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, target.port));
            network::netns_exec::connect(process.pid, address, &helper).map_err(io::Error::other)
        });
        connected.await.map_err(io::Error::other)?
    }
}
