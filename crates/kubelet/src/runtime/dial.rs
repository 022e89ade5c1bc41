//! Connections to Pods, for their probes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use host::process::Process;
use network::pod::Uplink;
use tokio::net::TcpStream;

use crate::KubeletConfig;

/// Opens a connection to `port` of the Pod whose first process is `process`, or of `host` as the Pod sees it.
///
/// Where this machine has a way to the Pod's address, that is dialled, as Services and other Pods do. Otherwise, and for
/// every other host, a helper dials inside the Pod's network: a Pod's owner must not reach through its node what the Pod
/// does not.
pub(super) async fn dial(
    config: &KubeletConfig,
    address: Option<Ipv4Addr>,
    process: Arc<Process>,
    host: Option<&str>,
    port: u16,
) -> Result<TcpStream, String> {
    let is_near = matches!(config.network.uplink, Uplink::Bridge) && config.network.namespace.is_none();
    let target: SocketAddr = match (host, address) {
        (None, Some(address)) if is_near => {
            let target = (address, port).into();
            return TcpStream::connect(target).await.map_err(|error| failed(target, &error));
        }
        // The Pod forwards its loopback to the machine, as it does its address.
        (None, _) => (Ipv4Addr::LOCALHOST, port).into(),
        (Some(host), _) => {
            let found = tokio::net::lookup_host((host, port)).await.map(|mut found| found.next());
            found.ok().flatten().ok_or_else(|| format!("dial tcp: the host {host} is not found"))?
        }
    };
    let helper = config.helper.clone();
    let connect = move || {
        let stream = network::netns_exec::connect(process.pid(), target, &helper)
            .map_err(|error| error.to_string())?;
        stream.set_nonblocking(true).map_err(|error| error.to_string())?;
        Ok::<_, String>(stream)
    };
    let stream = tokio::task::spawn_blocking(connect).await.map_err(|error| error.to_string())??;
    TcpStream::from_std(stream).map_err(|error| error.to_string())
}

/// Says why a connection failed in the words that Kubernetes' agent has.
fn failed(target: SocketAddr, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {target}: {why}")
}
