//! Connections to Pods, for their probes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock};

use host::process::Process;
use network::pod::Uplink;
use tokio::net::TcpStream;

use super::turns::Turns;
use crate::KubeletConfig;
use crate::record::Record;

/// Connections that helpers open at the same time, and names that are looked up: each takes a process, or a thread that
/// others wait for.
static DIALS: LazyLock<Turns> = LazyLock::new(|| Turns::new("connections", 64));
static LOOKUPS: LazyLock<Turns> = LazyLock::new(|| Turns::new("look-ups of hosts", 16));

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// It was tried; what came of it.
    Failed(String),
    /// It could not be tried, which says nothing about the Pod.
    Untried(String),
}

impl Unreached {
    fn failed(error: &impl ToString) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Opens a connection to `port` of the Pod whose first process is `process`, or of `host` as the Pod sees it.
///
/// Where this machine has a way to the Pod's address, that is dialled, as Services and other Pods do. Otherwise, and for
/// every other host, a helper dials inside the Pod's network: a Pod's owner must not reach through its node what the Pod
/// does not.
pub(super) async fn dial(
    config: &KubeletConfig,
    record: &Record,
    process: Arc<Process>,
    host: Option<&str>,
    port: u16,
) -> Result<TcpStream, Unreached> {
    let is_near = matches!(config.network.uplink, Uplink::Bridge) && config.network.namespace.is_none();
    let target: SocketAddr = match (host, record.address) {
        (None, Some(address)) if is_near => {
            let target = (address, port).into();
            return TcpStream::connect(target)
                .await
                .map_err(|error| Unreached::Failed(failed(target, &error)));
        }
        // The Pod forwards its loopback to the machine, as it does its address.
        (None, _) => (Ipv4Addr::LOCALHOST, port).into(),
        (Some(host), _) => lookup(&record.namespace, host, port).await?,
    };
    let _turn = DIALS.take(&record.namespace).await?;
    // It ends with this future: a look that is over leaves no process behind.
    let stream = network::netns_exec::dial(process.pid(), target, &config.helper)
        .await
        .map_err(|error| Unreached::failed(&error))?;
    stream.set_nonblocking(true).map_err(|error| Unreached::failed(&error))?;
    TcpStream::from_std(stream).map_err(|error| Unreached::failed(&error))
}

/// Finds a host's address. Nobody can end a look-up that is under way, so it keeps its turn until it ends.
async fn lookup(namespace: &str, host: &str, port: u16) -> Result<SocketAddr, Unreached> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok((address, port).into());
    }
    let turn = LOOKUPS.take(namespace).await?;
    let name = host.to_owned();
    let look = move || {
        let found = (name.as_str(), port).to_socket_addrs().ok().and_then(|mut found| found.next());
        drop(turn);
        found
    };
    let found = tokio::task::spawn_blocking(look).await.ok().flatten();
    found.ok_or_else(|| Unreached::Failed(format!("dial tcp: the host {host} is not found")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_needs_no_look_up() {
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.push(LOOKUPS.take("default").await.expect("nobody else looks up"));
        }
        assert_eq!(lookup("default", "192.0.2.1", 7).await, Ok(([192, 0, 2, 1], 7).into()));
        let full = Unreached::Untried("too many look-ups of hosts are under way on this node".into());
        assert_eq!(lookup("default", "localhost", 7).await, Err(full));
        drop(turns);
        assert!(lookup("default", "localhost", 7).await.is_ok_and(|address| address.ip().is_loopback()));
    }
}
