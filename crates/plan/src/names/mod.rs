//! The names of a cluster: which records Kubernetes' specification of DNS-based service discovery gives to Services.
//!
//! A [`Zone`] is made of all Services with their EndpointSlices; what it answers depends on nothing else. How questions
//! and answers look on the wire is the name server's affair.

mod reverse;
mod service;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use k8s_openapi::api::core::v1;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use self::service::Service;

/// Domain of the cluster's own names.
pub const DOMAIN: &str = "cluster.local";
/// Namespace of the name server's Service.
pub const NAMESPACE: &str = "kube-system";
/// Name of the name server's Service.
pub const SERVICE: &str = "kube-dns";
/// Version of the specification that the records follow.
const SCHEMA: &str = "1.1.0";

/// Which records are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Ports, with the names that answer on them.
    Srv,
    /// Names of an address.
    Ptr,
    /// Texts.
    Txt,
    /// The zone's own record.
    Soa,
    /// Name servers.
    Ns,
    /// Something that no name here has.
    Other,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name's labels in lower case, from the left.
    pub labels: Vec<String>,
    /// What is asked of it.
    pub kind: Kind,
}

impl Question {
    /// Asks for records of `name`, written with or without a dot at its end.
    pub fn new(name: &str, kind: Kind) -> Self {
        let name = name.trim_end_matches('.').to_lowercase();
        Self { labels: name.split('.').map(str::to_owned).collect(), kind }
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Whose it is, without a dot at its end; `None` for the name that was asked.
    pub name: Option<String>,
    /// What it says.
    pub data: Data,
}

/// What a record says. Names have no dot at their end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Another name; whoever asks for something else than this is answered for that name.
    Alias(String),
    /// A port.
    Srv {
        /// Share among the records of one answer.
        weight: u16,
        /// The port.
        port: u16,
        /// Who answers on it.
        target: String,
    },
    /// The name of an address.
    Ptr(String),
    /// A text.
    Txt(String),
    /// A name server.
    Ns(String),
    /// The zone's own record.
    Soa,
}

impl From<IpAddr> for Data {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::A(address),
            IpAddr::V6(address) => Self::Aaaa(address),
        }
    }
}

impl Data {
    /// Says whether a question of this kind is answered by the record.
    fn is(&self, kind: Kind) -> bool {
        matches!((self, kind), (Self::A(_), Kind::A) | (Self::Aaaa(_), Kind::Aaaa))
    }
}

/// What the zone says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: the name is in nobody's hands here.
    Elsewhere,
    /// There is no such name, nor anything below it.
    NoName,
    /// The name exists, with these records of the kind that was asked for; there may be none.
    Found {
        /// The records.
        records: Vec<Record>,
        /// What whoever asks wants to know next: the addresses of names in `records`.
        further: Vec<Record>,
    },
}

impl Answer {
    fn own(data: impl IntoIterator<Item = Data>) -> Self {
        let records = data.into_iter().map(|data| Record { name: None, data }).collect();
        Self::Found { records, further: Vec::new() }
    }

    /// The name exists, without records of the kind.
    fn nothing() -> Self {
        Self::own([])
    }

    /// Those of `addresses` that are of the kind.
    fn addresses(addresses: impl IntoIterator<Item = IpAddr>, kind: Kind) -> Self {
        let addresses: BTreeSet<IpAddr> = addresses.into_iter().collect();
        Self::own(addresses.into_iter().map(Data::from).filter(|data| data.is(kind)))
    }
}

/// All names of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Labels of the cluster's domain.
    domain: Vec<String>,
    /// Addresses of the name server itself.
    servers: Vec<IpAddr>,
    /// Services of each namespace that exists.
    namespaces: BTreeMap<String, BTreeMap<String, Service>>,
    /// Names of addresses; the first of them in this order is what a person would call it.
    names: BTreeMap<IpAddr, BTreeSet<(service::Rank, String)>>,
}

impl Zone {
    /// Begins a zone for the names below `domain`, which the name server at `servers` answers for.
    pub fn new(domain: &str, servers: Vec<IpAddr>) -> Self {
        Self { domain: Question::new(domain, Kind::Soa).labels, servers, ..Self::default() }
    }

    /// Returns the zone's own name.
    pub fn domain(&self) -> String {
        self.domain.join(".")
    }

    /// Adds a namespace, so that its name exists also without a Service.
    pub fn add_namespace(&mut self, name: &str) {
        self.namespaces.entry(name.to_owned()).or_default();
    }

    /// Adds a Service with its slices.
    pub fn add(&mut self, service: &v1::Service, slices: &[&EndpointSlice]) {
        let (Some(name), Some(namespace)) = (&service.metadata.name, &service.metadata.namespace) else {
            return;
        };
        let full = format!("{name}.{namespace}.svc.{}", self.domain());
        let Some(service) = Service::of(service, slices, full) else { return };
        for (address, rank, known_as) in service.names() {
            self.names.entry(address).or_default().insert((rank, known_as));
        }
        self.namespaces.entry(namespace.clone()).or_default().insert(name.clone(), service);
    }

    /// Answers a question.
    pub fn answer(&self, question: &Question) -> Answer {
        let kind = question.kind;
        if let Some(address) = reverse::address(&question.labels) {
            let Some(names) = self.names.get(&address) else { return Answer::Elsewhere };
            let names = names.iter().filter(|_| kind == Kind::Ptr);
            return Answer::own(names.map(|(_, name)| Data::Ptr(name.clone())));
        }
        let Some(inside) = question.labels.strip_suffix(self.domain.as_slice()) else {
            return Answer::Elsewhere;
        };
        let inside: Vec<&str> = inside.iter().map(String::as_str).collect();
        match inside.as_slice() {
            [] => self.apex(kind),
            ["svc" | "pod" | "dns"] => Answer::nothing(),
            ["dns-version"] => Answer::own((kind == Kind::Txt).then(|| Data::Txt(SCHEMA.to_owned()))),
            ["ns", "dns"] => Answer::addresses(self.servers.iter().copied(), kind),
            [namespace, "svc" | "pod"] if self.namespaces.contains_key(*namespace) => Answer::nothing(),
            [pod, namespace, "pod"] => match reverse::dashed(pod) {
                Some(address) if self.namespaces.contains_key(*namespace) => {
                    Answer::addresses([address], kind)
                }
                _ => Answer::NoName,
            },
            [below @ .., name, namespace, "svc"] => {
                let service = self.namespaces.get(*namespace).and_then(|services| services.get(*name));
                service.map_or(Answer::NoName, |service| service.answer(below, kind))
            }
            _ => Answer::NoName,
        }
    }

    fn apex(&self, kind: Kind) -> Answer {
        let server = format!("ns.dns.{}", self.domain());
        match kind {
            Kind::Soa => Answer::own([Data::Soa]),
            Kind::Ns => Answer::Found {
                further: service::addresses(&server, self.servers.iter().copied()),
                records: vec![Record { name: None, data: Data::Ns(server) }],
            },
            _ => Answer::nothing(),
        }
    }
}
