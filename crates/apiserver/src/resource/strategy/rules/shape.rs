//! Judges of what many kinds share: selectors, labels, ports, addresses, shares.

use std::net::IpAddr;

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::Value;

use super::super::pod_spec::node_term;
use super::super::text;
use super::Rule;

/// A label selector.
pub(super) const SELECTOR: Rule = Rule::Holds(|value, _, path, errors| selector(value, path, errors));
/// A map of labels.
pub(super) const LABELS: Rule = Rule::Holds(|value, _, path, errors| labels(value, path, errors));
/// A choice of nodes.
pub(super) const NODES: Rule = Rule::Holds(|nodes, _, path, errors| {
    let (terms, path) = (nodes["nodeSelectorTerms"].as_array(), path.child("nodeSelectorTerms"));
    if terms.is_none_or(Vec::is_empty) {
        errors.push(FieldError::required(path.clone(), "must have at least one node selector term"));
    }
    for (at, term) in terms.into_iter().flatten().enumerate() {
        node_term(term, &path.index(at), errors);
    }
});
/// A port's number.
pub(super) const PORT: Rule = Rule::Between(1, 65_535);
/// A port's number or name.
pub(super) const PORT_OR_NAME: Rule = Rule::Holds(|value, _, path, errors| {
    if let Value::String(name) = value {
        names_of(port_name, name, path, errors);
        return;
    }
    let number = value.as_i64().unwrap_or_default();
    if !(1..=65_535).contains(&number) {
        let detail = "must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(path.clone(), number, detail));
    }
});
/// A number that is not below nought, or a percentage.
pub(super) const SHARE: Rule = Rule::Holds(|value, _, path, errors| {
    let detail = if let Value::String(text) = value {
        let digits = text.strip_suffix('%').unwrap_or_default();
        let good = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        (!good).then_some("must be a number followed by '%' (for example '25%')")
    } else {
        (value.as_i64().unwrap_or_default() < 0).then_some("must be greater than or equal to 0")
    };
    errors.extend(detail.map(|detail| FieldError::invalid(path.clone(), value.clone(), detail)));
});
/// A percentage is of no more than all.
pub(super) const NO_MORE_THAN_ALL: Rule = Rule::Holds(|value, _, path, errors| {
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<u64>().ok());
    if percent.is_some_and(|percent| percent > 100) {
        errors.push(FieldError::invalid(path.clone(), value.clone(), "must not be greater than 100%"));
    }
});
/// What a port speaks.
pub(super) const PROTOCOLS: Rule = Rule::Words(&["SCTP", "TCP", "UDP"]);

fn names_of(rule: fn(&str) -> Vec<String>, name: &str, path: &Path, errors: &mut Vec<FieldError>) {
    errors.extend(rule(name).into_iter().map(|wrong| FieldError::invalid(path.clone(), name, wrong)));
}

/// Checks the name of a port: at most 15 small letters, digits and single dashes, one of them a letter.
pub(super) fn port_name(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut say = |broken: bool, rule: &str| {
        if broken {
            wrong.push(rule.to_owned());
        }
    };
    say(name.len() > 15, "must be no more than 15 characters");
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    say(!name.bytes().all(known), "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    say(!name.bytes().any(|b| b.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    say(name.contains("--"), "must not contain consecutive hyphens");
    say(name.starts_with('-') || name.ends_with('-'), "must not begin or end with a hyphen");
    wrong
}

/// Checks an address of either family.
pub(super) fn address(text: &str) -> Vec<String> {
    match text.parse::<IpAddr>() {
        Ok(_) => Vec::new(),
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
    }
}

/// Checks a network: an address and the length of its prefix.
pub(super) fn network(text: &str) -> Vec<String> {
    if super::super::policy::is_cidr(text) {
        return Vec::new();
    }
    vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()]
}

/// The address and prefix length of a network.
fn parts(network: &str) -> Option<(IpAddr, u32)> {
    let (address, prefix) = network.split_once('/')?;
    Some((address.parse().ok()?, prefix.parse().ok()?))
}

/// Whether the second network is a part of the first, and not all of it.
pub(super) fn is_within(outer: &str, inner: &str) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, true),
        IpAddr::V6(address) => (address.to_bits(), false),
    };
    let (Some((outer, length)), Some((inner, longer))) = (parts(outer), parts(inner)) else { return false };
    let ((outer, four), (inner, inner_four)) = (bits(outer), bits(inner));
    let differ = (outer ^ inner).leading_zeros() < length;
    four == inner_four && longer > length && !differ
}

/// Checks the address of an endpoint, of IPv4 or IPv6 or (none) of either. Kubernetes refuses loopback addresses; where
/// the whole cluster is one machine, they lead to programs beside it.
pub(super) fn endpoint_address(text: &str, four: Option<bool>) -> Vec<String> {
    let Ok(parsed) = text.parse::<IpAddr>() else { return address(text) };
    let mut wrong = Vec::new();
    let mut say = |broken: bool, rule: &str| {
        if broken {
            wrong.push(rule.to_owned());
        }
    };
    say(four == Some(true) && !parsed.is_ipv4(), "must be an IPv4 address");
    say(four == Some(false) && !parsed.is_ipv6(), "must be an IPv6 address");
    let link_local = |multicast: bool| match parsed {
        IpAddr::V4(address) if multicast => address.octets()[..3] == [224, 0, 0],
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) if multicast => address.segments()[0] & 0xff0f == 0xff02,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    say(parsed.is_unspecified(), &format!("may not be unspecified ({text})"));
    say(link_local(false), "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    say(link_local(true), "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    wrong
}

/// Checks the one word that says why a condition is as it is.
pub(super) fn reason_word(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let within = |b: &u8| b.is_ascii_alphanumeric() || b"_,:".contains(b);
    let good = bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
        && bytes.iter().all(within);
    if good {
        return Vec::new();
    }
    vec!["a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'".to_owned()]
}

/// Checks a name that its owner's domain makes unique, such as `acme.io/foo`.
pub(super) fn domain_path(text: &str) -> Vec<String> {
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    if host.is_empty() || path.is_empty() {
        return vec!["must be a domain-prefixed path (such as \"acme.io/foo\")".to_owned()];
    }
    names::dns_subdomain(host)
}

/// A path below the one that it belongs to.
pub(super) fn inner_path(path: &str) -> Vec<String> {
    let mut wrong = inner_step(path);
    if path.starts_with('/') {
        wrong.push("must be a relative path".to_owned());
    }
    wrong
}

/// A path that does not lead up.
pub(super) fn inner_step(path: &str) -> Vec<String> {
    if path.split('/').any(|part| part == "..") {
        return vec!["must not contain '..'".to_owned()];
    }
    Vec::new()
}

/// Tells of labels whose key or value is none.
pub(super) fn labels(labels: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        names_of(names::label_key, key, path, errors);
        names_of(names::label_value, value.as_str().unwrap_or_default(), path, errors);
    }
}

/// Tells what is wrong with a label selector.
pub(super) fn selector(selector: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    labels(&selector["matchLabels"], &path.child("matchLabels"), errors);
    for (at, expression) in selector["matchExpressions"].as_array().into_iter().flatten().enumerate() {
        let path = path.child("matchExpressions").index(at);
        let values = expression["values"].as_array().map_or(&[][..], Vec::as_slice);
        let operator = text(expression, &["operator"]);
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(path.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(path.child("values"), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let detail = "not a valid selector operator";
                errors.push(FieldError::invalid(path.child("operator"), other, detail));
            }
        }
        names_of(names::label_key, text(expression, &["key"]), &path.child("key"), errors);
        for (at, value) in values.iter().enumerate() {
            let path = path.child("values").index(at);
            names_of(names::label_value, value.as_str().unwrap_or_default(), &path, errors);
        }
    }
}
