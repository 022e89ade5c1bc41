//! What a machine needs that takes its Pod's address over: reading what a link has, and taking it away.

use std::net::{IpAddr, Ipv4Addr};

use futures::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};
use rtnetlink::{AddressMessageBuilder, LinkBridgePort, LinkUnspec, RouteMessageBuilder};

use super::{Hop, Link, Stack};
use crate::{Cidr, Error};

impl Stack {
    /// Gives a link an address without a route to its network; one that it has already is no error.
    pub(crate) async fn address_alone(&self, link: &Link, cidr: Cidr) -> Result<(), Error> {
        let mut request =
            self.handle.address().add(link.index, IpAddr::V4(cidr.address), cidr.prefix).replace();
        request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
        request.execute().await.map_err(Error::netlink(format!("give {} the address {cidr}", link.name)))
    }

    /// Takes an address from a link. With its last one, a link loses its routes.
    pub(crate) async fn remove_address(&self, link: &Link, cidr: Cidr) -> Result<(), Error> {
        let message = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(link.index)
            .address(cidr.address, cidr.prefix)
            .build();
        match self.handle.address().del(message).execute().await {
            // It went with another one of the same network.
            Err(rtnetlink::Error::NetlinkError(message)) if message.raw_code() == -libc::EADDRNOTAVAIL => {
                Ok(())
            }
            result => result.map_err(Error::netlink(format!("take the address {cidr} from {}", link.name))),
        }
    }

    /// Lists the IPv4 routes through a link that somebody made, or that follow from its addresses.
    pub(crate) async fn hops(&self, link: &Link) -> Result<Vec<Hop>, Error> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let messages: Vec<_> = self
            .handle
            .route()
            .get(all)
            .execute()
            .try_collect()
            .await
            .map_err(Error::netlink("list routes"))?;
        Ok(messages.iter().filter_map(|message| hop(message, link.index)).collect())
    }

    /// Gives a link its free text, of 255 bytes at most.
    pub(crate) async fn set_alias(&self, link: &Link, alias: &str) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(link.index).alias(alias).build();
        self.change(message, format!("note {alias:?} on {}", link.name)).await
    }

    /// Has the bridge of `port` keep questions for the bridge's own address from it.
    pub(crate) async fn keep_own_questions(&self, port: &Link) -> Result<(), Error> {
        let message = LinkBridgePort::new(port.index).neigh_suppress(true).build();
        let operation = format!("keep questions from {}", port.name);
        self.handle.link().set_port(message).execute().await.map_err(Error::netlink(operation))
    }
}

fn hop(message: &RouteMessage, link: u32) -> Option<Hop> {
    if message.header.table != RouteHeader::RT_TABLE_MAIN || message.header.kind != RouteType::Unicast {
        return None;
    }
    let prefix = message.header.destination_prefix_length;
    let mut hop = Hop { network: Cidr::new(Ipv4Addr::UNSPECIFIED, prefix), gateway: None };
    let mut is_through = false;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => hop.network.address = *address,
            RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => hop.gateway = Some(*gateway),
            RouteAttribute::Oif(index) => is_through = *index == link,
            _ => {}
        }
    }
    is_through.then_some(hop)
}
