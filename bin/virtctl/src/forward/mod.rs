//! Ports here that lead to ports of a machine.

mod tcp;
mod udp;

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Result;

use crate::api::{Api, CallError};
use crate::log;
use crate::request::{NameError, Request, Verb};
use crate::target::{Forward, Protocol, Target};
use crate::tunnel::Tunnel;

/// Who tells what happens.
const COMPONENT: &str = "portforward";

/// The machine that ports lead to.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    api: Arc<Api>,
    target: Target,
    namespace: String,
}

impl Destination {
    /// Names a machine; without a namespace of its own it is in the user's.
    pub(crate) fn new(api: &Arc<Api>, target: Target) -> Self {
        let namespace = target.namespace.clone().unwrap_or_else(|| api.namespace.clone());
        Self { api: Arc::clone(api), target, namespace }
    }

    /// Opens one connection to a port of the machine.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn open(&self, port: Forward) -> Result<Tunnel, CallError> {
        self.api.open(&request(&self.target, &self.namespace, port)?).await
    }

    /// Opens one connection, and tells of it.
    async fn open_and_tell(&self, port: Forward) -> Option<Tunnel> {
        log::info(COMPONENT, &format!("opening new {} tunnel to {}", port.protocol.as_str(), port.remote));
        match self.open(port).await {
            Ok(tunnel) => Some(tunnel),
            Err(error) => {
                let machine = format!("{}/{}.{}", self.target.word(), self.target.name, self.namespace);
                log::error(COMPONENT, &format!("can't access {machine}: {error}"));
                None
            }
        }
    }
}

/// Forwards one port until the program ends.
///
/// # Errors
/// When the port cannot be listened on.
pub(crate) async fn listen(destination: Destination, address: IpAddr, port: Forward) -> Result<()> {
    let port = match port.protocol {
        Protocol::Tcp => tcp::listen(destination, address, port).await?,
        Protocol::Udp => udp::listen(destination, address, port).await?,
    };
    let Forward { protocol, local, remote } = port;
    log::info(COMPONENT, &format!("forwarding {} {address}:{local} to {remote}", protocol.as_str()));
    Ok(())
}

fn request(target: &Target, namespace: &str, port: Forward) -> Result<Request, NameError> {
    let place = format!("portforward/{}/{}", port.remote, port.protocol.as_str());
    Request::subresource(Verb::Get, namespace, target.kind, &target.name, &place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_asked_for_by_kind_port_and_protocol() {
        let path = |target: &str, port: &str| {
            let target = Target::parse(target).unwrap();
            request(&target, "ns", Forward::parse(port).unwrap()).unwrap().path
        };
        let base = "/apis/subresources.kubevirt.io/v1/namespaces/ns";
        assert_eq!(path("vm/a", "8080:80"), format!("{base}/virtualmachines/a/portforward/80/tcp"));
        assert_eq!(path("vmi/a", "udp/53"), format!("{base}/virtualmachineinstances/a/portforward/53/udp"));
    }
}
