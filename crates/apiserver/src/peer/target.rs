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
        match self {
            Self::Url(url) => Ok(vec![(self.host(), url.port_u16().unwrap_or(443))]),
            Self::Nowhere(text) => Err(format!("{text:?} is no URL with a host")),
            Self::Service { namespace, name, port, .. } => service(server, namespace, name, *port),
        }
    }
}

/// The addresses behind a port of a Service.
fn service(server: &ApiServer, namespace: &str, name: &str, port: u16) -> Result<Vec<Address>, String> {
    let key = ObjectKey::new(namespace, name);
    let found = server.object(&Collection::new("", "services"), &key).and_then(|entry| entry.parse().ok());
    let service: Value = found.ok_or_else(|| format!("service {name:?} not found"))?;
    if service["spec"]["type"] == "ExternalName" {
        return Ok(vec![(object::str_at(&service, &["spec", "externalName"]).to_owned(), port)]);
    }
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let mut ports = ports.filter(|entry| entry["port"].as_u64() == Some(u64::from(port)));
    let entry = ports.next().ok_or_else(|| format!("no service port {port} found for service {name:?}"))?;
    let port_name = object::str_at(entry, &["name"]);
    let mut addresses = endpoints_of(server, &key, port_name);
    if addresses.is_empty() {
        return Err(format!("no endpoints available for service {name:?}"));
    }
    // Which one is asked first turns with what was written last: no endpoint gets all questions.
    let turn = server.caches().applied() as usize % addresses.len();
    addresses.rotate_left(turn);
    Ok(addresses)
}

/// The addresses that stand behind a named port of a Service.
pub(crate) fn endpoints_of(server: &ApiServer, key: &ObjectKey, port: &str) -> Vec<Address> {
    let addresses = slices(server, &key.namespace, &key.name, port);
    if addresses.is_empty() { endpoints(server, key, port) } else { addresses }
}

/// Whether anybody has said what stands behind a Service, be it nothing.
pub(crate) fn has_endpoints(server: &ApiServer, key: &ObjectKey) -> bool {
    let cache = server.caches().of(&Collection::new("discovery.k8s.io", "endpointslices"));
    let mut slices = cache.snapshot(&key.namespace).0.into_iter().filter_map(|entry| entry.parse().ok());
    slices.any(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == *key.name)
        || server.object(&Collection::new("", "endpoints"), key).is_some()
}

fn port_of(ports: &Value, name: &str) -> Option<u16> {
    let mut ports = ports.as_array().into_iter().flatten();
    let port = ports.find(|port| object::str_at(port, &["name"]) == name)?;
    u16::try_from(port["port"].as_u64()?).ok()
}

fn slices(server: &ApiServer, namespace: &str, name: &str, port: &str) -> Vec<Address> {
    let cache = server.caches().of(&Collection::new("discovery.k8s.io", "endpointslices"));
    let mut addresses = Vec::new();
    for slice in cache.snapshot(namespace).0.iter().filter_map(|entry| entry.parse().ok()) {
        let slice: Value = slice;
        if slice["metadata"]["labels"]["kubernetes.io/service-name"] != *name {
            continue;
        }
        let Some(port) = port_of(&slice["ports"], port) else { continue };
        let ready = slice["endpoints"].as_array().into_iter().flatten();
        let ready = ready.filter(|endpoint| endpoint["conditions"]["ready"] != false);
        for address in ready.flat_map(|endpoint| endpoint["addresses"].as_array().into_iter().flatten()) {
            addresses.extend(address.as_str().map(|address| (address.to_owned(), port)));
        }
    }
    addresses
}

/// Endpoints that somebody wrote by hand, without slices.
fn endpoints(server: &ApiServer, key: &ObjectKey, port: &str) -> Vec<Address> {
    let found = server.object(&Collection::new("", "endpoints"), key);
    let Some(object) = found.and_then(|entry| entry.parse().ok()) else { return Vec::new() };
    let object: Value = object;
    let mut addresses = Vec::new();
    for subset in object["subsets"].as_array().into_iter().flatten() {
        let Some(port) = port_of(&subset["ports"], port) else { continue };
        for address in subset["addresses"].as_array().into_iter().flatten() {
            addresses.extend(address["ip"].as_str().map(|ip| (ip.to_owned(), port)));
        }
    }
    addresses
}
