//! What the groups of networking and discovery serve.

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::Value;

use super::super::{set_default, text};
use super::shape::{self, PORT_OR_NAME, PROTOCOLS, SELECTOR, domain_path, port_name};
use super::{Row, Rule};
use Rule::{All, Fixed, Holds, Most, Name, Required, Unique, Words};

pub(super) fn rows(plural: &str) -> &'static [Row] {
    match plural {
        "networkpolicies" => POLICY,
        "ingresses" => INGRESS,
        "ingressclasses" => CLASS,
        "endpointslices" => SLICE,
        "servicecidrs" => CIDRS,
        "ipaddresses" => ADDRESS,
        _ => &[],
    }
}

const POLICY: &[Row] = &[
    Row("spec.podSelector", &[SELECTOR]),
    Row("spec.ingress[].ports[]", &[All(POLICY_PORT)]),
    Row("spec.egress[].ports[]", &[All(POLICY_PORT)]),
    Row("spec.ingress[].from[]", &[Holds(peer)]),
    Row("spec.egress[].to[]", &[Holds(peer)]),
    Row("spec.policyTypes", &[Holds(directions)]),
    Row("spec.policyTypes[]", &[Words(&["Egress", "Ingress"])]),
];

const POLICY_PORT: &[Row] =
    &[Row("protocol?", &[PROTOCOLS]), Row("port?", &[PORT_OR_NAME]), Row("", &[Holds(last_port)])];

/// A range of ports has a number where it begins and one where it ends.
fn last_port(port: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(last) = port["endPort"].as_i64() else { return };
    let mut wrong = |detail: &str| errors.push(FieldError::invalid(path.child("endPort"), last, detail));
    match (&port["port"], port["port"].as_i64()) {
        (Value::Null, _) => wrong("may not be specified when `port` is not specified"),
        (_, None) => wrong("may not be specified when `port` is non-numeric"),
        (_, Some(first)) => {
            if last < first {
                wrong("must be greater than or equal to `port`");
            }
            if !(1..=65_535).contains(&last) {
                wrong("must be between 1 and 65535, inclusive");
            }
        }
    }
}

const PEER: &[Row] = &[
    Row("podSelector?", &[SELECTOR]),
    Row("namespaceSelector?", &[SELECTOR]),
    Row("ipBlock?", &[Holds(block)]),
];

fn peer(peer: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let selectors = !(peer["podSelector"].is_null() && peer["namespaceSelector"].is_null());
    match (selectors, !peer["ipBlock"].is_null()) {
        (false, false) => errors.push(FieldError::required(path.clone(), "must specify a peer")),
        (true, true) => {
            let detail = "may not specify both ipBlock and another peer";
            errors.push(FieldError::forbidden(path.clone(), detail));
        }
        _ => {}
    }
    super::apply(PEER, peer, None, path, errors);
}

/// A network, and networks in it that are left out.
fn block(block: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let cidr = text(block, &["cidr"]);
    let at = path.child("cidr");
    if cidr.is_empty() {
        errors.push(FieldError::required(at, ""));
        return;
    }
    let wrong = shape::network(cidr);
    let known = wrong.is_empty();
    errors.extend(wrong.into_iter().map(|wrong| FieldError::invalid(at.clone(), cidr, wrong)));
    for (index, except) in block["except"].as_array().into_iter().flatten().enumerate() {
        let (except, path) = (except.as_str().unwrap_or_default(), path.child("except").index(index));
        let wrong = shape::network(except);
        if known && wrong.is_empty() && !shape::is_within(cidr, except) {
            let detail = format!("must be a strict subset of `cidr` {cidr:?}");
            errors.push(FieldError::invalid(path.clone(), except, detail));
        }
        errors.extend(wrong.into_iter().map(|wrong| FieldError::invalid(path.clone(), except, wrong)));
    }
}

fn directions(list: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if list.as_array().is_some_and(|list| list.len() > 2) {
        let detail = "may not specify more than two policyTypes";
        errors.push(FieldError::invalid(path.clone(), list.clone(), detail));
    }
}

const INGRESS: &[Row] = &[
    Row("spec.ingressClassName?", &[Name(names::dns_subdomain)]),
    Row("spec.tls[].hosts[]", &[Name(host)]),
    Row("spec.tls[].secretName?", &[Name(names::dns_subdomain)]),
    Row("spec.defaultBackend?", &[Holds(backend)]),
    Row("spec.rules[].http?.paths", &[Required("")]),
    Row("spec.rules[].http?.paths[].pathType?", &[Words(&["Exact", "ImplementationSpecific", "Prefix"])]),
    Row("spec.rules[].http?.paths[].backend", &[Holds(backend)]),
];

fn host(host: &str) -> Vec<String> {
    names::dns_subdomain(host.strip_prefix("*.").unwrap_or(host))
}

const SERVICE_BACKEND: &[Row] = &[Row("name", &[Required(""), Name(names::dns_1035_label)])];
const REFERENCE: &[Row] = &[
    Row("apiGroup?", &[Name(names::dns_subdomain)]),
    Row("kind", &[Required(""), Name(names::path_segment)]),
    Row("name", &[Required(""), Name(names::path_segment)]),
];

fn backend(backend: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    match (backend["resource"].is_null(), backend["service"].is_null()) {
        (false, false) => {
            let detail = "cannot set both resource and service backends";
            errors.push(FieldError::invalid(path.clone(), "", detail));
        }
        (true, true) => {
            errors.push(FieldError::invalid(path.clone(), "", "resource or service backend is required"));
        }
        (false, true) => {
            super::apply(REFERENCE, &backend["resource"], None, &path.child("resource"), errors);
        }
        (true, false) => {
            super::apply(SERVICE_BACKEND, &backend["service"], None, &path.child("service"), errors);
            backend_port(&backend["service"]["port"], path, errors);
        }
    }
}

/// A port has a name or a number; that it has neither or both is told of the backend.
fn backend_port(port: &Value, backend: &Path, errors: &mut Vec<FieldError>) {
    let (name, number) = (text(port, &["name"]), port["number"].as_i64().unwrap_or_default());
    let path = backend.child("service").child("port");
    match (name.is_empty(), number == 0) {
        (true, true) => {
            errors.push(FieldError::required(backend.clone(), "port name or number is required"));
        }
        (false, false) => {
            let detail = "cannot set both port name & port number";
            errors.push(FieldError::invalid(backend.clone(), "", detail));
        }
        (false, true) => {
            let wrong = port_name(name).into_iter();
            errors.extend(wrong.map(|wrong| FieldError::invalid(path.child("name"), name, wrong)));
        }
        (true, false) => super::apply(&[Row("number", &[shape::PORT])], port, None, &path, errors),
    }
}

const CLASS: &[Row] = &[
    Row("spec.controller", &[Required(""), Name(domain_path), Fixed]),
    Row("spec.parameters?", &[All(REFERENCE), Holds(parameters)]),
];

/// Parameters are the cluster's where a class does not say.
pub(in super::super) fn default_class(draft: &mut Value) {
    if let Some(parameters) =
        draft.pointer_mut("/spec/parameters").filter(|parameters| parameters.is_object())
    {
        set_default(parameters, "scope", "Cluster");
    }
}

fn parameters(reference: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let namespace = text(reference, &["namespace"]);
    match text(reference, &["scope"]) {
        "Namespace" if namespace.is_empty() => {
            let detail = "`parameters.scope` is set to 'Namespace'";
            errors.push(FieldError::required(path.child("namespace"), detail));
        }
        "Namespace" => {
            let wrong = names::dns_label(namespace);
            let at = path.child("namespace");
            errors.extend(wrong.into_iter().map(|wrong| FieldError::invalid(at.clone(), namespace, wrong)));
        }
        "Cluster" if !namespace.is_empty() => {
            let detail = "`parameters.scope` is set to 'Cluster'";
            errors.push(FieldError::forbidden(path.child("namespace"), detail));
        }
        "Cluster" => {}
        other => {
            errors.push(FieldError::not_supported(path.child("scope"), other, ["Cluster", "Namespace"]));
        }
    }
}

const SLICE: &[Row] = &[
    Row("addressType", &[Required(""), Words(&["FQDN", "IPv4", "IPv6"]), Fixed]),
    Row("endpoints", &[Most(1000)]),
    Row("endpoints[].addresses", &[Required("must contain at least 1 address"), Most(100)]),
    Row("", &[Holds(addresses)]),
    Row("endpoints[].hostname?", &[Name(names::dns_label)]),
    Row("endpoints[].nodeName?", &[Name(names::dns_subdomain)]),
    Row("ports", &[Most(20_000), Unique("name")]),
    Row("ports[].name?", &[Name(names::dns_label)]),
    Row("ports[].protocol", &[Required(""), PROTOCOLS]),
    Row("ports[].appProtocol?", &[Name(names::qualified_name)]),
];

/// The addresses of endpoints are of the slice's type, and such as others can reach.
fn addresses(slice: &Value, _: Option<&Value>, _: &Path, errors: &mut Vec<FieldError>) {
    let rule: fn(&str) -> Vec<String> = match text(slice, &["addressType"]) {
        "IPv4" => |text| shape::endpoint_address(text, Some(true)),
        "IPv6" => |text| shape::endpoint_address(text, Some(false)),
        "FQDN" => names::dns_subdomain,
        _ => return,
    };
    let path = Path::new("endpoints");
    for (at, endpoint) in slice["endpoints"].as_array().into_iter().flatten().enumerate() {
        let path = path.index(at).child("addresses");
        for (at, address) in endpoint["addresses"].as_array().into_iter().flatten().enumerate() {
            let address = address.as_str().unwrap_or_default();
            let wrong = rule(address).into_iter();
            errors.extend(wrong.map(|wrong| FieldError::invalid(path.index(at), address, wrong)));
        }
    }
}

const CIDRS: &[Row] = &[
    Row("spec.cidrs", &[Required("at least one CIDR required"), Most(2), Holds(families)]),
    Row("spec.cidrs[]", &[Name(shape::network)]),
];

/// Services get addresses of one network of each family. The one that is there stays; that of the other may come.
fn families(cidrs: &Value, old: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let items = |cidrs: &Value| cidrs.as_array().cloned().unwrap_or_default();
    let now = items(cidrs);
    let is_six = |cidr: &Value| cidr.as_str().unwrap_or_default().contains(':');
    if let [one, other] = &now[..]
        && is_six(one) == is_six(other)
    {
        let detail =
            "may specify no more than one network of each IP family, e.g. 10.9.8.0/24 and 2001:db8::/64";
        errors.push(FieldError::invalid(path.clone(), cidrs.clone(), detail));
    }
    let Some(old) = old.map(items) else { return };
    let detail = "field is immutable";
    if now.len() < old.len() || (now.len() > old.len() && old.len() != 1) {
        errors.push(FieldError::invalid(path.clone(), cidrs.clone(), detail));
    } else if let Some((at, changed)) =
        now.iter().enumerate().zip(&old).find_map(|((at, now), old)| (now != old).then_some((at, now)))
    {
        errors.push(FieldError::invalid(path.index(at), changed.clone(), detail));
    }
}

const ADDRESS: &[Row] = &[
    Row("spec.parentRef", &[Required("")]),
    Row("spec.parentRef?.resource", &[Required(""), Name(names::path_segment)]),
    Row("spec.parentRef?.name", &[Required(""), Name(names::path_segment)]),
    Row("spec.parentRef?.namespace?", &[Name(names::path_segment)]),
    Row("spec.parentRef?.group?", &[Name(names::dns_subdomain)]),
];
