//! A place for the cluster's name server in a node's network: a namespace with an address like a Pod's.
//!
//! There port 53 is free whatever else listens on the host, policies see an address that is nobody else's, and the
//! address stays the same while processes come and go: it is kept in the node's file of addresses. The namespace
//! lasts as long as its holder, so that nothing of a killed process is left but the route, which the next one replaces.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;

use super::addresses::Addresses;
use super::bridge::{self, Names};
use super::{NodeNetworkConfig, Uplink};
use crate::link::Stack;
use crate::{Cidr, Error, namespace};

/// Where name servers listen.
const PORT: u16 = 53;

/// A name server's place.
#[derive(Debug)]
pub struct NameServer {
    state: PathBuf,
    node: Option<PathBuf>,
    names: Names,
    inside: File,
    network: Cidr,
    peers: Vec<Cidr>,
    address: Ipv4Addr,
}

impl NameServer {
    /// Connects a place on the node with this configuration; `None` while the node's network is not there, where it has
    /// no address left, and where Pods have no node that they could ask. Blocks for some milliseconds.
    pub fn settle(config: &NodeNetworkConfig) -> Result<Option<Self>, Error> {
        if config.uplink != Uplink::Bridge {
            return Ok(None);
        }
        let addresses = Addresses::load(&config.state)?;
        let Some(address) = addresses.name_server() else { return Ok(None) };
        let place = Self {
            state: config.state.clone(),
            node: config.namespace.clone(),
            names: Names::of(&config.instance),
            inside: namespace::fresh()?,
            network: addresses.network(),
            peers: config.peers.clone(),
            address,
        };
        let (own, gateway) = (Cidr::new(address, place.network.prefix), place.gateway());
        match bridge::attach(place.node()?.as_ref(), &place.names, &place.inside, own, gateway, false) {
            Ok(()) => Ok(Some(place)),
            Err(Error::NoInterface(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns its address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Says whether `client` is a Pod of the installation; the nodes themselves are none.
    pub fn is_pod(&self, client: IpAddr) -> bool {
        let IpAddr::V4(client) = client else { return false };
        let networks = std::iter::once(&self.network).chain(&self.peers);
        client != self.gateway() && networks.into_iter().any(|network| network.contains(client))
    }

    /// Opens its sockets, which do not block.
    pub fn sockets(&self) -> Result<(UdpSocket, TcpListener), Error> {
        let failed = || Error::system::<std::io::Error>(format!("listen on {}:{PORT}", self.address));
        namespace::run(Some(&self.inside), || async {
            let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).map_err(failed())?;
            let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).map_err(failed())?;
            udp.set_nonblocking(true).and_then(|()| tcp.set_nonblocking(true)).map_err(failed())?;
            Ok((udp, tcp))
        })
    }

    /// Says whether the place is as it was made: the node's network may be another one, and links and routes may have
    /// been removed. Blocks for some milliseconds.
    pub fn is_whole(&self) -> Result<bool, Error> {
        if Addresses::load(&self.state)?.name_server() != Some(self.address) {
            return Ok(false);
        }
        let (link, alone) = (self.names.link(self.address), Cidr::new(self.address, 32));
        namespace::run(self.node()?.as_ref(), || async move {
            let stack = Stack::open()?;
            let Some(link) = stack.find(&link).await?.filter(|link| link.up) else { return Ok(false) };
            let routes = stack.routes().await?;
            Ok(routes.iter().any(|(network, at)| *network == alone && *at == Some(link.index)))
        })
    }

    fn gateway(&self) -> Ipv4Addr {
        self.network.host(1).unwrap_or(self.address)
    }

    fn node(&self) -> Result<Option<File>, Error> {
        self.node.as_deref().map(namespace::open).transpose()
    }
}
