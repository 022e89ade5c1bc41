//! IPv6 addresses and routes.

use std::net::{IpAddr, Ipv6Addr};

use futures::TryStreamExt;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressScope};
use rtnetlink::packet_route::route::{RouteAttribute, RouteProtocol};

use super::{Link, Stack};
use crate::Error;
use crate::ipv6::Cidr6;

impl Stack {
    /// Gives a link an IPv6 address that is used at once; one that it has already is no error.
    ///
    /// Nobody is asked whether the address is taken: it is ours to give, and the answer would take a second.
    pub(crate) async fn address6(&self, link: &Link, cidr: Cidr6) -> Result<(), Error> {
        let mut request =
            self.handle.address().add(link.index, IpAddr::V6(cidr.address), cidr.prefix).replace();
        request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        let operation = format!("give {} the address {cidr}", link.name);
        request.execute().await.map_err(Error::netlink(operation))
    }

    /// Lists the IPv6 addresses of a link that reach beyond it.
    pub(crate) async fn addresses6(&self, link: &Link) -> Result<Vec<Ipv6Addr>, Error> {
        let messages: Vec<_> = self
            .handle
            .address()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(Error::netlink("list addresses"))?;
        let of_link = messages.iter().filter(|message| {
            message.header.index == link.index && message.header.scope == AddressScope::Universe
        });
        Ok(of_link
            .filter_map(|message| {
                message.attributes.iter().find_map(|attribute| match attribute {
                    AddressAttribute::Address(IpAddr::V6(address)) => Some(*address),
                    _ => None,
                })
            })
            .collect())
    }

    /// Lists the indexes of the links that a default route was learned on, from a router's advertisement.
    pub(crate) async fn advised6(&self) -> Result<Vec<u32>, Error> {
        let all = RouteMessageBuilder::<Ipv6Addr>::new().build();
        let messages: Vec<_> = self
            .handle
            .route()
            .get(all)
            .execute()
            .try_collect()
            .await
            .map_err(Error::netlink("list routes"))?;
        let learned = messages.iter().filter(|message| {
            message.header.protocol == RouteProtocol::Ra && message.header.destination_prefix_length == 0
        });
        Ok(learned
            .filter_map(|message| {
                message.attributes.iter().find_map(|attribute| match attribute {
                    RouteAttribute::Oif(index) => Some(*index),
                    _ => None,
                })
            })
            .collect())
    }

    /// Routes every IPv6 packet without a better route to `gateway` behind `link`.
    pub(crate) async fn default_route6(&self, gateway: Ipv6Addr, link: &Link) -> Result<(), Error> {
        self.route6(Cidr6::new(Ipv6Addr::UNSPECIFIED, 0), Some(gateway), Some(link)).await
    }

    /// Routes to `network`: by way of `gateway`, through `link`, or both.
    pub(crate) async fn route6(
        &self,
        network: Cidr6,
        gateway: Option<Ipv6Addr>,
        link: Option<&Link>,
    ) -> Result<(), Error> {
        let target = network.network();
        let mut message =
            RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(target.address, target.prefix);
        if let Some(gateway) = gateway {
            message = message.gateway(gateway);
        }
        if let Some(link) = link {
            message = message.output_interface(link.index);
        }
        let operation = format!("route to {target}");
        self.handle.route().add(message.build()).replace().execute().await.map_err(Error::netlink(operation))
    }
}
