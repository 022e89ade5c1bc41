//! Addresses, networks and URLs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::super::EvalError;
use super::super::value::{Key, Value};
use super::Answer;

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub(super) text: String,
    scheme: String,
    host: String,
    path: String,
    query: String,
}

impl Url {
    /// Reads an absolute URL or an absolute path.
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.chars().any(|c| c.is_control() || c == ' ') {
            return None;
        }
        let (rest, _) = text.split_once('#').unwrap_or((text, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (scheme, host, path) = if rest.starts_with('/') {
            ("", "", rest)
        } else {
            let (scheme, rest) = rest.split_once(':')?;
            let first = scheme.chars().next()?;
            let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
            if !first.is_ascii_alphabetic() || !scheme.chars().all(valid) {
                return None;
            }
            match rest.strip_prefix("//") {
                Some(rest) => {
                    let end = rest.find('/').unwrap_or(rest.len());
                    let host = rest[..end].rsplit_once('@').map_or(&rest[..end], |(_, host)| host);
                    (scheme, host, &rest[end..])
                }
                None => (scheme, "", rest),
            }
        };
        let bracketed = host.starts_with('[');
        let port = host.rsplit_once(':').filter(|(before, _)| !bracketed || before.ends_with(']'));
        if port.is_some_and(|(_, port)| !port.chars().all(|c| c.is_ascii_digit())) {
            return None;
        }
        Some(Self {
            text: text.to_owned(),
            scheme: scheme.to_ascii_lowercase(),
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
        })
    }

    fn hostname(&self) -> &str {
        if let Some(rest) = self.host.strip_prefix('[') {
            return rest.split(']').next().unwrap_or_default();
        }
        self.host.rsplit_once(':').map_or(&self.host, |(host, _)| host)
    }

    fn port(&self) -> &str {
        let behind = self.host.rsplit(']').next().unwrap_or_default();
        behind.rsplit_once(':').map_or("", |(_, port)| port)
    }

    fn query(&self) -> Value {
        let mut values: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            values
                .entry(Key::String(decoded(name).into()))
                .or_default()
                .push(Value::String(decoded(value).into()));
        }
        Value::Map(Arc::new(values.into_iter().map(|(name, all)| (name, Value::list(all))).collect()))
    }
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (*first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            (byte, _) => {
                bytes.push(if byte == b'+' { b' ' } else { byte });
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads an address as Kubernetes does: no zone, no IPv4 inside IPv6.
fn ip(text: &str) -> Option<IpAddr> {
    let ip: IpAddr = text.parse().ok()?;
    match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => None,
        ip => Some(ip),
    }
}

fn cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let (address, length) = (ip(address)?, length.parse::<u8>().ok()?);
    (length <= bits(address)).then_some((address, length))
}

fn bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// The address with all bits behind the first `length` zero.
fn network(ip: IpAddr, length: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

fn within(ip: IpAddr, (address, length): (IpAddr, u8)) -> bool {
    ip.is_ipv4() == address.is_ipv4() && network(ip, length) == network(address, length)
}

pub(super) fn function(name: &str, args: &[Value]) -> Answer {
    let [Value::String(text)] = args else { return None };
    let failed = |what: &str| EvalError::failed(format!("{what} {text:?}"));
    Some(match name {
        "ip" => ip(text)
            .map(Value::Ip)
            .ok_or_else(|| failed("IP Address parse error during conversion from string")),
        "isIP" => Ok(Value::Bool(ip(text).is_some())),
        "ip.isCanonical" => match ip(text) {
            Some(ip) => Ok(Value::Bool(ip.to_string() == **text)),
            None => Err(failed("IP Address parse error during conversion from string")),
        },
        "cidr" => cidr(text)
            .map(|(ip, length)| Value::Cidr(ip, length))
            .ok_or_else(|| failed("network address parse error during conversion from string")),
        "isCIDR" => Ok(Value::Bool(cidr(text).is_some())),
        "url" => Url::parse(text)
            .map(|url| Value::Url(Arc::new(url)))
            .ok_or_else(|| failed("URL parse error during conversion from string")),
        "isURL" => Ok(Value::Bool(Url::parse(text).is_some())),
        _ => return None,
    })
}

pub(super) fn method(name: &str, args: &[Value]) -> Answer {
    let text = |text: &str| Ok(Value::from(text));
    let (first, rest) = args.split_first()?;
    Some(match (first, name, rest) {
        (Value::Url(url), "getScheme", []) => text(&url.scheme),
        (Value::Url(url), "getHost", []) => text(&url.host),
        (Value::Url(url), "getHostname", []) => text(url.hostname()),
        (Value::Url(url), "getPort", []) => text(url.port()),
        (Value::Url(url), "getEscapedPath", []) => text(&url.path),
        (Value::Url(url), "getQuery", []) => Ok(url.query()),
        (Value::Ip(ip), "family", []) => Ok(Value::Int(if ip.is_ipv4() { 4 } else { 6 })),
        (Value::Ip(ip), "isUnspecified", []) => Ok(Value::Bool(ip.is_unspecified())),
        (Value::Ip(ip), "isLoopback", []) => Ok(Value::Bool(ip.is_loopback())),
        (Value::Ip(ip), "isLinkLocalMulticast", []) => Ok(Value::Bool(match ip {
            IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
            IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
        })),
        (Value::Ip(ip), "isLinkLocalUnicast", []) => Ok(Value::Bool(match ip {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
        })),
        (Value::Ip(ip), "isGlobalUnicast", []) => Ok(Value::Bool(match ip {
            IpAddr::V4(v4) => {
                !(v4.is_unspecified()
                    || v4.is_loopback()
                    || v4.is_multicast()
                    || v4.is_link_local()
                    || v4.is_broadcast())
            }
            IpAddr::V6(v6) => {
                let local = v6.segments()[0] & 0xffc0 == 0xfe80;
                !(v6.is_unspecified() || v6.is_loopback() || v6.is_multicast() || local)
            }
        })),
        (Value::Cidr(address, length), "containsIP", [other]) => {
            let ip = match other {
                Value::Ip(ip) => Some(*ip),
                Value::String(text) => ip(text),
                _ => return None,
            };
            match ip {
                Some(ip) => Ok(Value::Bool(within(ip, (*address, *length)))),
                None => Err(EvalError::failed("IP Address parse error during conversion from string")),
            }
        }
        (Value::Cidr(address, length), "containsCIDR", [other]) => {
            let inner = match other {
                Value::Cidr(address, length) => Some((*address, *length)),
                Value::String(text) => cidr(text),
                _ => return None,
            };
            match inner {
                Some((ip, inner)) => Ok(Value::Bool(inner >= *length && within(ip, (*address, *length)))),
                None => Err(EvalError::failed("network address parse error during conversion from string")),
            }
        }
        (Value::Cidr(address, _), "ip", []) => Ok(Value::Ip(*address)),
        (Value::Cidr(address, length), "masked", []) => Ok(Value::Cidr(network(*address, *length), *length)),
        (Value::Cidr(_, length), "prefixLength", []) => Ok(Value::Int(i64::from(*length))),
        _ => return None,
    })
}
