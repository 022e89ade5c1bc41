//! The Service by which the API server reaches virt-api, as the command line names it.

use std::fmt;
use std::str::FromStr;

/// Namespace, name and port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) port: u16,
}

impl Service {
    /// Names that a server behind the Service must have in its certificate.
    pub(super) fn host_names(&self) -> Vec<String> {
        let short = format!("{}.{}.svc", self.name, self.namespace);
        vec![format!("{short}.cluster.local"), short]
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("{text:?} is no service; NAMESPACE/NAME or NAMESPACE/NAME:PORT is");
        let (namespace, rest) = text.split_once('/').ok_or_else(wanted)?;
        let (name, port) = match rest.split_once(':') {
            Some((name, port)) => (name, port.parse().ok().filter(|port| *port > 0).ok_or_else(wanted)?),
            None => (rest, 443),
        };
        let is_name = |name: &str| {
            let inside =
                |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
            (1..=63).contains(&name.len()) && name.chars().all(inside)
        };
        if !is_name(namespace) || !is_name(name) {
            return Err(wanted());
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned(), port })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}:{}", self.namespace, self.name, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_namespace_name_and_port() {
        let read = |text: &str| text.parse::<Service>().map(|service| service.to_string());
        assert_eq!(read("kubevirt/virt-api").unwrap(), "kubevirt/virt-api:443");
        assert_eq!(read("a/b:8443").unwrap(), "a/b:8443");
        for wrong in ["virt-api", "a/", "/b", "a/b:0", "a/b:70000", "a/b:x", "a/b/c", "A/b"] {
            assert!(read(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
