//! The names of one Service: its own, those of its endpoints, those of its ports.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::{Answer, Data, Kind, Record, reverse};

/// Sum of the weights of one answer's records.
const WEIGHT: usize = 100;

/// How good a name is for an address, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The address is the Service's own.
    Service,
    /// Somebody gave the endpoint this name.
    Given,
    /// The endpoint of a Service without an address, named after its address.
    Headless,
    /// An endpoint behind a Service's address.
    Behind,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// The whole name.
    name: String,
    way: Way,
    /// Ports that the Service itself has.
    ports: Vec<Port>,
    /// Who is ready behind it.
    endpoints: Vec<Endpoint>,
}

/// Where the Service's own name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// To addresses of its own.
    Addresses(Vec<IpAddr>),
    /// To its endpoints.
    Endpoints,
    /// To another name.
    Alias(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Port {
    name: String,
    protocol: String,
    number: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    /// Its label below the Service's name.
    label: String,
    given: bool,
    address: IpAddr,
    ports: Vec<Port>,
}

impl Port {
    fn of(name: Option<&str>, protocol: Option<&str>, number: i32) -> Option<Self> {
        Some(Self {
            name: name.unwrap_or_default().to_lowercase(),
            protocol: protocol.unwrap_or("TCP").to_lowercase(),
            number: u16::try_from(number).ok()?,
        })
    }

    /// Says whether the port is at `_name._protocol`. Ports without a name have no such record.
    fn is_at(&self, place: Option<(&str, &str)>) -> bool {
        place.is_none_or(|(name, protocol)| {
            let named = name.strip_prefix('_').is_some_and(|name| !name.is_empty() && name == self.name);
            named && protocol.strip_prefix('_') == Some(&self.protocol)
        })
    }
}

/// Writes the records of a name's addresses.
pub(super) fn addresses(name: &str, addresses: impl IntoIterator<Item = IpAddr>) -> Vec<Record> {
    let records =
        addresses.into_iter().map(|address| Record { name: Some(name.to_owned()), data: address.into() });
    records.collect()
}

impl Service {
    /// Takes what names depend on. `name` is its whole name; `None` for a Service that has none yet.
    pub(super) fn of(service: &v1::Service, slices: &[&EndpointSlice], name: String) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        let own = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
        let own: BTreeSet<IpAddr> = own.filter_map(|text| text.parse().ok()).collect();
        let way = match (spec.type_.as_deref(), &spec.external_name) {
            (Some("ExternalName"), Some(target)) => Way::Alias(target.trim_end_matches('.').to_owned()),
            (Some("ExternalName"), None) => return None,
            _ if spec.cluster_ip.as_deref() == Some("None") => Way::Endpoints,
            _ => Way::Addresses(own.into_iter().collect()),
        };
        let ports = spec.ports.iter().flatten();
        let ports =
            ports.filter_map(|port| Port::of(port.name.as_deref(), port.protocol.as_deref(), port.port));
        let endpoints = match way {
            Way::Alias(_) => Vec::new(),
            _ => slices.iter().flat_map(|slice| endpoints(slice)).collect(),
        };
        Some(Self { name, way, ports: ports.collect(), endpoints })
    }

    /// Lists the addresses that lead to the Service or to what is behind it, with their names.
    pub(super) fn names(&self) -> impl Iterator<Item = (IpAddr, Rank, String)> {
        let own = match &self.way {
            Way::Addresses(list) => list.as_slice(),
            _ => &[],
        };
        let own = own.iter().map(|address| (*address, Rank::Service, self.name.clone()));
        let is_headless = self.way == Way::Endpoints;
        own.chain(self.endpoints.iter().map(move |endpoint| {
            let rank = match (is_headless, endpoint.given) {
                (true, true) => Rank::Given,
                (true, false) => Rank::Headless,
                (false, _) => Rank::Behind,
            };
            (endpoint.address, rank, self.name_of(endpoint))
        }))
    }

    /// Answers for the name with the labels `below` before the Service's own.
    pub(super) fn answer(&self, below: &[&str], kind: Kind) -> Answer {
        match (below, &self.way) {
            ([], Way::Alias(target)) => Answer::own([Data::Alias(target.clone())]),
            (_, Way::Alias(_)) => Answer::NoName,
            ([], Way::Endpoints) if self.endpoints.is_empty() => Answer::NoName,
            ([], _) if kind == Kind::Srv => self.ports(None).unwrap_or_else(Answer::nothing),
            ([], Way::Addresses(list)) => Answer::addresses(list.iter().copied(), kind),
            ([], Way::Endpoints) => {
                Answer::addresses(self.endpoints.iter().map(|endpoint| endpoint.address), kind)
            }
            ([protocol], _) if protocol.starts_with('_') => {
                let known = self
                    .known_ports()
                    .any(|port| !port.name.is_empty() && protocol.strip_prefix('_') == Some(&port.protocol));
                if known { Answer::nothing() } else { Answer::NoName }
            }
            ([port, protocol], _) if protocol.starts_with('_') => match self.ports(Some((port, protocol))) {
                Some(found) if kind == Kind::Srv => found,
                Some(_) => Answer::nothing(),
                None => Answer::NoName,
            },
            ([label], _) => {
                let named = self.endpoints.iter().filter(|endpoint| endpoint.label == *label);
                let found: Vec<IpAddr> = named.map(|endpoint| endpoint.address).collect();
                if found.is_empty() { Answer::NoName } else { Answer::addresses(found, kind) }
            }
            _ => Answer::NoName,
        }
    }

    /// Lists the ports that have records: the Service's, or where it has no address those that its endpoints answer on.
    fn known_ports(&self) -> impl Iterator<Item = &Port> {
        let (own, behind) = match self.way {
            Way::Endpoints => (&[][..], self.endpoints.as_slice()),
            _ => (self.ports.as_slice(), &[][..]),
        };
        own.iter().chain(behind.iter().flat_map(|endpoint| &endpoint.ports))
    }

    /// Answers with the ports at `place`, or with all of them; `None` when there is none.
    fn ports(&self, place: Option<(&str, &str)>) -> Option<Answer> {
        let mut found: BTreeSet<(String, u16)> = BTreeSet::new();
        let mut further: BTreeSet<Record> = BTreeSet::new();
        match &self.way {
            Way::Addresses(list) => {
                let ports = self.ports.iter().filter(|port| port.is_at(place));
                found.extend(ports.map(|port| (self.name.clone(), port.number)));
                further.extend(addresses(&self.name, list.iter().copied()));
            }
            _ => {
                for endpoint in &self.endpoints {
                    let name = self.name_of(endpoint);
                    for port in endpoint.ports.iter().filter(|port| port.is_at(place)) {
                        found.insert((name.clone(), port.number));
                        further.extend(addresses(&name, [endpoint.address]));
                    }
                }
            }
        }
        let weight = u16::try_from(WEIGHT.checked_div(found.len())?.max(1)).unwrap_or(1);
        let records = found
            .into_iter()
            .map(|(target, port)| Record { name: None, data: Data::Srv { weight, port, target } });
        Some(Answer::Found { records: records.collect(), further: further.into_iter().collect() })
    }

    fn name_of(&self, endpoint: &Endpoint) -> String {
        format!("{}.{}", endpoint.label, self.name)
    }
}

/// Lists who is ready in a slice.
fn endpoints(slice: &EndpointSlice) -> Vec<Endpoint> {
    let ports = slice.ports.iter().flatten();
    let ports: Vec<Port> = ports
        .filter_map(|port| Port::of(port.name.as_deref(), port.protocol.as_deref(), port.port?))
        .collect();
    let ready = slice.endpoints.iter().filter(|endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    });
    ready
        .flat_map(|endpoint| {
            let given = endpoint.hostname.as_deref().filter(|name| !name.is_empty()).map(str::to_lowercase);
            let addresses = endpoint.addresses.iter().filter_map(|text| text.parse::<IpAddr>().ok());
            let ports = &ports;
            addresses.map(move |address| Endpoint {
                label: given.clone().unwrap_or_else(|| reverse::label(address)),
                given: given.is_some(),
                address,
                ports: ports.clone(),
            })
        })
        .collect()
}
