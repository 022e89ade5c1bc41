//! Where a peer listens: a URL, or the Pods behind a Service.
//!
//! A Service's own address is carried out on nodes only, so that the API server, which may stand beside them, goes to the
//! endpoints.

use http::Uri;
use machinery::object;
use serde_json::Value;

use crate::ApiServer;
use crate::cache::ObjectKey;
use crate::registry::Collection;

/// A place to connect to: host name or address, and port.
pub(crate) type Address = (String, u16);

/// Where a peer listens.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// `clientConfig.url`.
    Url(Uri),
    /// `clientConfig.service`.
    Service { namespace: String, name: String, port: u16, path: String },
    /// Neither can be read.
    Nowhere(String),
}

impl Target {
    pub(crate) fn read(client: &Value) -> Self {
        if let Some(url) = client["url"].as_str() {
            return match url.parse::<Uri>() {
                Ok(url) if url.host().is_some() => Self::Url(url),
                _ => Self::Nowhere(url.to_owned()),
            };
        }
        let service = &client["service"];
        let text = |field: &str| object::str_at(service, &[field]).to_owned();
        let path = text("path");
        Self::Service {
            namespace: text("namespace"),
            name: text("name"),
            port: service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
            path: if path.starts_with('/') { path } else { format!("/{path}") },
        }
    }

    /// The name that its certificate must have.
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Url(url) => url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            Self::Service { namespace, name, .. } => format!("{name}.{namespace}.svc"),
            Self::Nowhere(text) => text.clone(),
        }
    }

    /// Host and port as a request names them.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Url(url) => url.authority().map_or_else(String::new, ToString::to_string),
            Self::Service { port, .. } => format!("{}:{port}", self.host()),
            Self::Nowhere(text) => text.clone(),
        }
    }

    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Url(url) => url.path(),
            Self::Service { path, .. } => path,
            Self::Nowhere(_) => "/",
        }
    }

    /// The whole, for people.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Url(url) => url.to_string(),
            Self::Nowhere(text) => text.clone(),
            Self::Service { .. } => format!("https://{}{}", self.authority(), self.path()),
        }
    }

    /// Where to connect, best first.
    ///
    /// # Errors
    /// Says what the Service lacks.
    pub(crate) fn addresses(&self, server: &ApiServer) -> Result<Vec<Address>, String> {
        let mut addresses = self.behind(server).map_err(|lack| match (lack, self) {
            (Lack::Url, _) => format!("{:?} is no URL with a host", self.host()),
            (Lack::Service, Self::Service { name, .. }) => format!("service {name:?} not found"),
            (Lack::Port, Self::Service { name, port, .. }) => {
                format!("no service port {port} found for service {name:?}")
            }
            (_, Self::Service { name, .. }) => format!("no endpoints available for service {name:?}"),
            (_, _) => "no address to connect to".to_owned(),
        })?;
        // Which one is asked first turns with what was written last: no endpoint gets all questions.
        let turn = server.caches().applied() as usize % addresses.len().max(1);
        addresses.rotate_left(turn);
        Ok(addresses)
    }

    /// All places to connect to, in a fixed order: at least one.
    ///
    /// # Errors
    /// Names the first thing that is lacking.
    pub(crate) fn behind(&self, server: &ApiServer) -> Result<Vec<Address>, Lack> {
        match self {
            Self::Url(url) => Ok(vec![(self.host(), url.port_u16().unwrap_or(443))]),
            Self::Nowhere(_) => Err(Lack::Url),
            Self::Service { namespace, name, port, .. } => {
                behind(server, &ObjectKey::new(namespace, name), *port)
            }
        }
    }
}

/// What somebody who wants to be reached lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// A URL with a host.
    Url,
    /// The Service.
    Service,
    /// The Service's port.
    Port,
    /// Anybody who says what stands behind the Service.
    Endpoints,
    /// Addresses behind the port of this name.
    Addresses(String),
}

/// The addresses behind a port of a Service.
fn behind(server: &ApiServer, key: &ObjectKey, port: u16) -> Result<Vec<Address>, Lack> {
    let found = server.object(&Collection::new("", "services"), key).and_then(|entry| entry.parse().ok());
    let service: Value = found.ok_or(Lack::Service)?;
    if service["spec"]["type"] == "ExternalName" {
        return Ok(vec![(object::str_at(&service, &["spec", "externalName"]).to_owned(), port)]);
    }
    let mut ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let entry = ports.find(|entry| entry["port"].as_u64() == Some(u64::from(port))).ok_or(Lack::Port)?;
    let port_name = object::str_at(entry, &["name"]);
    let (slices, found) = slices(server, key, port_name);
    if !slices.is_empty() {
        return Ok(slices);
    }
    let by_hand = endpoints(server, key, port_name);
    match by_hand {
        Some(addresses) if !addresses.is_empty() => Ok(addresses),
        None if !found => Err(Lack::Endpoints),
        _ => Err(Lack::Addresses(port_name.to_owned())),
    }
}

fn port_of(ports: &Value, name: &str) -> Option<u16> {
    let mut ports = ports.as_array().into_iter().flatten();
    let port = ports.find(|port| object::str_at(port, &["name"]) == name)?;
    u16::try_from(port["port"].as_u64()?).ok()
}

/// The addresses in the slices of a Service, and whether it has slices.
fn slices(server: &ApiServer, key: &ObjectKey, port: &str) -> (Vec<Address>, bool) {
    let cache = server.caches().of(&Collection::new("discovery.k8s.io", "endpointslices"));
    let (mut addresses, mut found) = (Vec::new(), false);
    for slice in cache.snapshot(&key.namespace).0.iter().filter_map(|entry| entry.parse().ok()) {
        let slice: Value = slice;
        if slice["metadata"]["labels"]["kubernetes.io/service-name"] != *key.name {
            continue;
        }
        found = true;
        let Some(port) = port_of(&slice["ports"], port) else { continue };
        let ready = slice["endpoints"].as_array().into_iter().flatten();
        let ready = ready.filter(|endpoint| endpoint["conditions"]["ready"] != false);
        for address in ready.flat_map(|endpoint| endpoint["addresses"].as_array().into_iter().flatten()) {
            addresses.extend(address.as_str().map(|address| (address.to_owned(), port)));
        }
    }
    (addresses, found)
}

/// Endpoints that somebody wrote by hand, without slices; nothing if nobody did.
fn endpoints(server: &ApiServer, key: &ObjectKey, port: &str) -> Option<Vec<Address>> {
    let object: Value = server.object(&Collection::new("", "endpoints"), key)?.parse().ok()?;
    let mut addresses = Vec::new();
    for subset in object["subsets"].as_array().into_iter().flatten() {
        let Some(port) = port_of(&subset["ports"], port) else { continue };
        for address in subset["addresses"].as_array().into_iter().flatten() {
            addresses.extend(address["ip"].as_str().map(|ip| (ip.to_owned(), port)));
        }
    }
    Some(addresses)
}
