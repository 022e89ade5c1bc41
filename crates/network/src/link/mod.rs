//! Links, addresses and routes of one network namespace, by netlink.

mod six;
mod takeover;

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};

use futures::TryStreamExt;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope};
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use crate::{Cidr, Error};

/// A link as far as we look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mtu: u32,
    pub(crate) up: bool,
    /// Index of the bridge that it is a port of.
    pub(crate) controller: Option<u32>,
    /// Free text that somebody gave it.
    pub(crate) alias: Option<String>,
}

/// A route as far as we look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// Where it leads; `0.0.0.0/0` for the default route.
    pub(crate) network: Cidr,
    /// By way of whom; `None` for what is right behind the link.
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// The network stack of the namespace in which it was opened.
pub(crate) struct Stack {
    handle: Handle,
}

impl Stack {
    /// Connects to the stack of the calling thread's namespace; must be called on a runtime.
    pub(crate) fn open() -> Result<Self, Error> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(Error::system("open a netlink socket"))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Lists all links.
    pub(crate) async fn links(&self) -> Result<Vec<Link>, Error> {
        let messages: Vec<_> =
            self.handle.link().get().execute().try_collect().await.map_err(Error::netlink("list links"))?;
        Ok(messages.iter().map(link).collect())
    }

    /// Finds a link by name.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Link>, Error> {
        Ok(self.links().await?.into_iter().find(|link| link.name == name))
    }

    /// Makes the bridge `name` unless it exists, with a fixed hardware address when one is given.
    pub(crate) async fn bridge(&self, name: &str, mtu: u32, mac: Option<[u8; 6]>) -> Result<Link, Error> {
        if let Some(link) = self.find(name).await? {
            return Ok(link);
        }
        let mut message = LinkBridge::new(name).mtu(mtu);
        if let Some(mac) = mac {
            message = message.address(mac.to_vec());
        }
        let operation = format!("make the bridge {name}");
        self.handle.link().add(message.build()).execute().await.map_err(Error::netlink(operation))?;
        self.find(name).await?.ok_or_else(|| Error::NoInterface(name.to_owned()))
    }

    /// Makes a pair of links: `name` here and up, as a port of `bridge` where there is one, and `peer` in `namespace`.
    pub(crate) async fn veth(
        &self,
        name: &str,
        bridge: Option<u32>,
        peer: &str,
        namespace: impl AsFd,
        mtu: u32,
    ) -> Result<(), Error> {
        let far = LinkMessageBuilder::<LinkUnspec>::new()
            .name(peer)
            .mtu(mtu)
            .setns_by_fd(namespace.as_fd().as_raw_fd())
            .build();
        let mut near = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name(name)
            .mtu(mtu)
            .up()
            .set_info_data(InfoData::Veth(InfoVeth::Peer(far)));
        if let Some(bridge) = bridge {
            near = near.controller(bridge);
        }
        let operation = format!("make the link {name}");
        self.handle.link().add(near.build()).execute().await.map_err(Error::netlink(operation))
    }

    /// Makes a pair of links that are connected to each other, unless `name` exists.
    pub(crate) async fn pair(&self, name: &str, peer: &str) -> Result<(), Error> {
        if self.find(name).await?.is_some() {
            return Ok(());
        }
        let operation = format!("make the link {name}");
        self.handle
            .link()
            .add(LinkVeth::new(name, peer).build())
            .execute()
            .await
            .map_err(Error::netlink(operation))
    }

    /// Sets a link up.
    pub(crate) async fn up(&self, link: &Link) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(link.index).up().build();
        self.change(message, format!("set {} up", link.name)).await
    }

    /// Makes a link a port of `bridge`, gives it an MTU and sets it up.
    pub(crate) async fn join(&self, link: &Link, bridge: u32, mtu: u32) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(link.index).controller(bridge).mtu(mtu).up().build();
        self.change(message, format!("put {} on the bridge", link.name)).await
    }

    async fn change(&self, message: LinkMessage, operation: String) -> Result<(), Error> {
        self.handle.link().change(message).execute().await.map_err(Error::netlink(operation))
    }

    /// Removes a link; one that does not exist is no error.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), Error> {
        let Some(link) = self.find(name).await? else { return Ok(()) };
        match self.handle.link().del(link.index).execute().await {
            // A namespace that is going away took it along just now.
            Err(rtnetlink::Error::NetlinkError(message)) if message.raw_code() == -libc::ENODEV => Ok(()),
            result => result.map_err(Error::netlink(format!("remove the link {name}"))),
        }
    }

    /// Gives a link an address; one that it has already is no error.
    pub(crate) async fn address(&self, link: &Link, cidr: Cidr) -> Result<(), Error> {
        let address = IpAddr::V4(cidr.address);
        let operation = format!("give {} the address {cidr}", link.name);
        self.handle
            .address()
            .add(link.index, address, cidr.prefix)
            .replace()
            .execute()
            .await
            .map_err(Error::netlink(operation))
    }

    /// Lists the IPv4 addresses of a link.
    pub(crate) async fn addresses(&self, link: &Link) -> Result<Vec<Cidr>, Error> {
        let messages: Vec<_> = self
            .handle
            .address()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(Error::netlink("list addresses"))?;
        let of_link = messages.iter().filter(|message| message.header.index == link.index);
        Ok(of_link
            .filter_map(|message| {
                let address = message.attributes.iter().find_map(|attribute| match attribute {
                    AddressAttribute::Address(IpAddr::V4(address)) => Some(*address),
                    _ => None,
                });
                address.map(|address| Cidr::new(address, message.header.prefix_len))
            })
            .collect())
    }

    /// Routes everything without a better route to `gateway`.
    pub(crate) async fn default_route(&self, gateway: Ipv4Addr) -> Result<(), Error> {
        let message = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
        let operation = format!("route to {gateway} by default");
        self.handle.route().add(message).replace().execute().await.map_err(Error::netlink(operation))
    }

    /// Routes to `network`, which is right behind `link`; `source` is the address to speak from.
    pub(crate) async fn route_behind(
        &self,
        network: Cidr,
        link: &Link,
        source: Option<Ipv4Addr>,
    ) -> Result<(), Error> {
        let target = network.network();
        let mut message = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(target.address, target.prefix)
            .scope(RouteScope::Link)
            .output_interface(link.index);
        if let Some(source) = source {
            message = message.pref_source(source);
        }
        let operation = format!("route to {target} through {}", link.name);
        self.handle.route().add(message.build()).replace().execute().await.map_err(Error::netlink(operation))
    }

    /// Routes to `network` by way of `gateway`.
    pub(crate) async fn route(&self, network: Cidr, gateway: Ipv4Addr) -> Result<(), Error> {
        let target = network.network();
        let message = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(target.address, target.prefix)
            .gateway(gateway)
            .build();
        let operation = format!("route to {target} by way of {gateway}");
        self.handle.route().add(message).replace().execute().await.map_err(Error::netlink(operation))
    }

    /// Lists the networks that IPv4 routes lead to, and through which link; the default route is `0.0.0.0/0`.
    pub(crate) async fn routes(&self) -> Result<Vec<(Cidr, Option<u32>)>, Error> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let messages: Vec<_> = self
            .handle
            .route()
            .get(all)
            .execute()
            .try_collect()
            .await
            .map_err(Error::netlink("list routes"))?;
        Ok(messages.iter().filter_map(route).collect())
    }
}

fn link(message: &LinkMessage) -> Link {
    let up = message.header.flags.contains(LinkFlags::Up);
    let mut link =
        Link { index: message.header.index, name: String::new(), mtu: 0, up, controller: None, alias: None };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Controller(index) => link.controller = Some(*index),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
            _ => {}
        }
    }
    link
}

fn route(message: &RouteMessage) -> Option<(Cidr, Option<u32>)> {
    let prefix = message.header.destination_prefix_length;
    let mut network = (prefix == 0).then_some(Cidr::new(Ipv4Addr::UNSPECIFIED, 0));
    let mut link = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => {
                network = Some(Cidr::new(*address, prefix));
            }
            RouteAttribute::Oif(index) => link = Some(*index),
            _ => {}
        }
    }
    network.map(|network| (network, link))
}
