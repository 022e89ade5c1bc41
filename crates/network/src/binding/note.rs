//! What a Pod's interface had before its machine took it over, noted on the bridge itself.
//!
//! The note is the link's alias: whoever is killed at whatever moment, it lives exactly as long as what it tells of, and
//! `ip link` shows it to people.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use wire::machine::DhcpRoute;

use crate::link::Hop;
use crate::{Cidr, Error};

/// Bytes that an alias may have.
const LONGEST: usize = 255;
/// Where everything without a better route goes.
const DEFAULT: Cidr = Cidr::new(Ipv4Addr::UNSPECIFIED, 0);

/// An address and the routes that went with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) address: Cidr,
    pub(super) hops: Vec<Hop>,
}

impl Note {
    /// Writes the note as an alias.
    pub(super) fn to_alias(&self) -> Result<String, Error> {
        let text = self.to_string();
        if text.len() > LONGEST {
            let count = self.hops.len();
            return Err(Error::Exhausted(format!(
                "the Pod has {count} routes, more than its machine can take over by the binding bridge; use masquerade"
            )));
        }
        Ok(text)
    }

    /// Returns the gateway of the default route.
    pub(super) fn gateway(&self) -> Option<Ipv4Addr> {
        self.hops.iter().find(|hop| hop.network == DEFAULT).and_then(|hop| hop.gateway)
    }

    /// Returns the address that the Pod keeps for itself, with which it speaks to its machine and to nobody else.
    ///
    /// It is the last one of the network, which Pods are not given; where the network has none to spare, one of a link.
    pub(super) fn spare(&self) -> Ipv4Addr {
        const OF_A_LINK: Ipv4Addr = Ipv4Addr::new(169, 254, 75, 10);
        let is_free = |spare: &Ipv4Addr| *spare != self.address.address && Some(*spare) != self.gateway();
        self.address.spare().filter(is_free).unwrap_or(OF_A_LINK)
    }

    /// Returns the routes that the machine must be told one by one: none where they follow from its address, the length
    /// of its prefix and its gateway. The default route is the last, as the way to its gateway must be known before.
    pub(super) fn routes(&self) -> Vec<DhcpRoute> {
        let follows = |hop: &&Hop| {
            hop.network == DEFAULT
                || (hop.gateway.is_none() && self.address.contains(hop.network.address))
                || hop.network.address == self.spare()
        };
        let route =
            |network: Cidr, gateway| DhcpRoute { address: network.address, prefix: network.prefix, gateway };
        let mut routes: Vec<DhcpRoute> =
            self.hops.iter().filter(|hop| !follows(hop)).map(|hop| route(hop.network, hop.gateway)).collect();
        let is_near = |address: Ipv4Addr| self.address.contains(address);
        if routes.is_empty() && self.gateway().is_none_or(is_near) && is_near(self.spare()) {
            return routes;
        }
        if !is_near(self.spare()) {
            routes.push(route(Cidr::new(self.spare(), 32), None));
        }
        routes.extend(self.gateway().map(|gateway| route(DEFAULT, Some(gateway))));
        routes
    }
}

/// `10.244.0.2/24 10.244.0.1/32> 0.0.0.0/0>10.244.0.1`: the address, and where each route goes by way of whom.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        for hop in &self.hops {
            write!(f, " {}>", hop.network)?;
            if let Some(gateway) = hop.gateway {
                write!(f, "{gateway}")?;
            }
        }
        Ok(())
    }
}

/// The text is no note of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoNote;

impl FromStr for Note {
    type Err = NoNote;

    fn from_str(text: &str) -> Result<Self, NoNote> {
        let mut words = text.split(' ');
        let address = words.next().and_then(|word| word.parse().ok()).ok_or(NoNote)?;
        let hop = |word: &str| {
            let (network, gateway) = word.split_once('>')?;
            let gateway = if gateway.is_empty() { None } else { Some(gateway.parse().ok()?) };
            Some(Hop { network: network.parse().ok()?, gateway })
        };
        let hops = words.map(hop).collect::<Option<Vec<Hop>>>().ok_or(NoNote)?;
        Ok(Self { address, hops })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Note {
        text.parse().expect("a note")
    }

    fn routes(text: &str) -> Vec<String> {
        let show = |route: &DhcpRoute| {
            let gateway = route.gateway.map(|gateway| gateway.to_string()).unwrap_or_default();
            format!("{}/{}>{gateway}", route.address, route.prefix)
        };
        note(text).routes().iter().map(show).collect()
    }

    #[test]
    fn notes_are_read_as_they_were_written() {
        for text in
            ["10.244.0.2/24 10.244.0.1/32> 0.0.0.0/0>10.244.0.1", "192.0.2.9/32", "10.1.2.3/16 10.1.0.0/16>"]
        {
            assert_eq!(note(text).to_string(), text);
            assert_eq!(note(text).to_alias().expect("it fits"), text);
        }
        for foreign in ["", "uplink of the lab", "10.0.0.2", "10.0.0.2/24 x>", "10.0.0.2/24 0.0.0.0/0"] {
            assert_eq!(foreign.parse::<Note>(), Err(NoNote), "{foreign:?}");
        }
        let hop = Hop { network: "10.20.30.0/24".parse().expect("a network"), gateway: None };
        let long = Note { address: "10.0.0.2/24".parse().expect("a network"), hops: vec![hop; 20] };
        assert!(long.to_alias().expect_err("too long").to_string().contains("20 routes"));
    }

    #[test]
    fn only_routes_that_do_not_follow_are_told() {
        let none: [&str; 0] = [];
        assert_eq!(routes("10.244.0.2/24 10.244.0.1/32> 10.244.0.0/24> 0.0.0.0/0>10.244.0.1"), none);
        assert_eq!(routes("10.244.0.2/24"), none);
        assert_eq!(
            routes("10.244.0.2/24 10.244.0.0/16>10.244.0.1 0.0.0.0/0>10.244.0.1"),
            ["10.244.0.0/16>10.244.0.1", "0.0.0.0/0>10.244.0.1"]
        );
        assert_eq!(
            routes("192.0.2.9/32 0.0.0.0/0>169.254.1.1 169.254.1.1/32>"),
            ["169.254.1.1/32>", "169.254.75.10/32>", "0.0.0.0/0>169.254.1.1"]
        );
    }

    #[test]
    fn the_pod_keeps_an_address_that_nobody_has() {
        let spare = |text: &str| note(text).spare().to_string();
        assert_eq!(spare("10.244.0.2/24 0.0.0.0/0>10.244.0.1"), "10.244.0.254");
        assert_eq!(spare("10.244.0.2/24 0.0.0.0/0>10.244.0.254"), "169.254.75.10");
        assert_eq!(spare("10.244.0.2/30 0.0.0.0/0>10.244.0.1"), "169.254.75.10");
    }
}
