//! Services: defaults, cluster addresses and node ports.

use std::net::Ipv4Addr;

use machinery::field::{FieldError, Path};
use machinery::names;
use machinery::object;
use machinery::status::Status;
use serde_json::{Value, json};

use super::{BASE, Strategy, items_mut, rules, set_default, text};
use crate::Result;
use crate::resource::Call;
use crate::resource::service::Allocator;
use crate::resource::write::refuse_field;

pub(super) const STRATEGY: Strategy = Strategy {
    name: names::dns_1035_label,
    default,
    prepare_create,
    prepare_update,
    validate,
    allocate,
    ..BASE
};

fn default(draft: &mut Value) {
    let Some(spec) = draft.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    let kind = text(spec, &["type"]).to_owned();
    for port in items_mut(spec, "ports") {
        let number = port["port"].clone();
        if matches!(&port["targetPort"], Value::Null) || port["targetPort"] == 0 || port["targetPort"] == "" {
            port["targetPort"] = number;
        }
    }
    if text(spec, &["sessionAffinity"]) == "ClientIP" && spec["sessionAffinityConfig"].is_null() {
        spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": 10800}});
    }
    if matches!(text(spec, &["sessionAffinity"]), "" | "None") {
        remove(spec, "sessionAffinityConfig");
    }
    if kind == "ExternalName" {
        return;
    }
    set_default(spec, "internalTrafficPolicy", "Cluster");
    set_default(spec, "ipFamilies", json!(["IPv4"]));
    set_default(spec, "ipFamilyPolicy", "SingleStack");
    let outside = spec["externalIPs"].as_array().is_some_and(|addresses| !addresses.is_empty());
    if outside || matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        set_default(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set_default(spec, "allocateLoadBalancerNodePorts", true);
    }
}

fn remove(value: &mut Value, name: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove(name);
    }
}

/// Tells of what a Service says in vain.
fn warn(call: &mut Call, service: &Value) {
    let spec = &service["spec"];
    if !text(spec, &["externalName"]).is_empty() && text(spec, &["type"]) != "ExternalName" {
        call.warn("spec.externalName is ignored when spec.type is not \"ExternalName\"");
    }
    let outside = spec["externalIPs"].as_array().is_some_and(|addresses| !addresses.is_empty());
    if outside && text(spec, &["clusterIP"]) == "None" {
        call.warn("spec.externalIPs is ignored for headless services");
    }
}

fn prepare_create(call: &mut Call, draft: &mut Value) -> Result<()> {
    warn(call, draft);
    draft["status"] = json!({"loadBalancer": {}});
    Ok(())
}

/// An update that leaves out what was allocated keeps it; a change of type gives back what the new one has not.
fn prepare_update(call: &mut Call, draft: &mut Value, old: &Value) -> Result<()> {
    warn(call, draft);
    let (kind, before) = (text(draft, &["spec", "type"]).to_owned(), text(old, &["spec", "type"]).to_owned());
    let spec = &mut draft["spec"];
    give_back(spec, &old["spec"]);
    if kind == "ExternalName" {
        if before != kind {
            for name in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
                remove(spec, name);
            }
        }
        return Ok(());
    }
    for name in ["clusterIP", "clusterIPs"] {
        if spec[name].is_null() || spec[name] == "" {
            spec[name] = old["spec"][name].clone();
        }
        if spec[name].is_null() {
            remove(spec, name);
        }
    }
    let had = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let wants_node_ports = matches!(kind.as_str(), "NodePort" | "LoadBalancer");
    for port in items_mut(spec, "ports") {
        let same = had.iter().find(|old| old["port"] == port["port"] && old["protocol"] == port["protocol"]);
        match same.map(|old| old["nodePort"].clone()) {
            Some(number) if wants_node_ports && port["nodePort"].is_null() && !number.is_null() => {
                port["nodePort"] = number;
            }
            Some(number) if !wants_node_ports && before != kind && port["nodePort"] == number => {
                remove(port, "nodePort");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Takes from a Service what came with its former type or policy, unless the same request sets it anew.
fn give_back(spec: &mut Value, old: &Value) {
    let (kind, before) = (text(spec, &["type"]).to_owned(), text(old, &["type"]));
    let kept = |spec: &Value, name: &str| spec[name] == old[name];
    if kind != before && kind != "LoadBalancer" {
        for name in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if kept(spec, name) {
                remove(spec, name);
            }
        }
    }
    let outside = spec["externalIPs"].as_array().is_some_and(|addresses| !addresses.is_empty());
    let reachable = matches!(kind.as_str(), "NodePort" | "LoadBalancer") || kind == "ClusterIP" && outside;
    if !reachable && kept(spec, "externalTrafficPolicy") {
        remove(spec, "externalTrafficPolicy");
    }
    if rules::checked_locally(old) {
        if !rules::checked_locally(spec) && kept(spec, "healthCheckNodePort") {
            remove(spec, "healthCheckNodePort");
        } else if rules::checked_locally(spec)
            && spec["healthCheckNodePort"].as_i64().unwrap_or(0) == 0
            && old["healthCheckNodePort"].is_number()
        {
            spec["healthCheckNodePort"] = old["healthCheckNodePort"].clone();
        }
    }
}

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

fn validate(call: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    let spec = &object["spec"];
    let kind = text(spec, &["type"]);
    let ports = spec["ports"].as_array().cloned().unwrap_or_default();
    let headless = text(spec, &["clusterIP"]) == "None";
    if ports.is_empty() && kind != "ExternalName" && !headless {
        errors.push(FieldError::required(path.child("ports"), ""));
    }
    if !TYPES.contains(&kind) {
        errors.retain(|error| error.path != path.child("type"));
        errors.push(FieldError::not_supported(path.child("type"), kind, TYPES));
    }
    if call.sub() == "status" && kind != "LoadBalancer" {
        let ingress = &object["status"]["loadBalancer"]["ingress"];
        if ingress.as_array().is_some_and(|ingress| !ingress.is_empty()) {
            let detail = "may only be used when `spec.type` is \"LoadBalancer\"";
            errors.push(FieldError::forbidden(Path::new("status.loadBalancer.ingress"), detail));
        }
    }
    let mut seen = std::collections::HashSet::new();
    for (at, port) in ports.iter().enumerate() {
        let name = text(port, &["name"]);
        if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::duplicate(path.child("ports").index(at).child("name"), name));
        }
        validate_port(port, &path.child("ports").index(at), ports.len() > 1, &mut errors);
    }
    if kind == "ExternalName" {
        let name = text(spec, &["externalName"]);
        if name.is_empty() {
            errors.push(FieldError::required(path.child("externalName"), ""));
        }
    }
    let asked =
        |service: &Value| [service["spec"]["ipFamilies"].clone(), service["spec"]["ipFamilyPolicy"].clone()];
    if kind != "ExternalName" && old.is_none_or(|old| asked(old) != asked(object)) {
        validate_families(spec, headless, &path, &mut errors);
    }
    if let Some(old) = old {
        let before = text(old, &["spec", "clusterIP"]);
        let now = text(spec, &["clusterIP"]);
        let kept_type = text(old, &["spec", "type"]) != "ExternalName" && kind != "ExternalName";
        if kept_type && !before.is_empty() && before != now {
            errors.push(FieldError::invalid(
                path.child("clusterIPs").index(0),
                vec![now],
                "may not change once set",
            ));
        }
    }
    errors
}

/// The families of addresses that a Service may ask for: this cluster's Services have IPv4 addresses.
///
/// A headless Service without selector is for endpoints that somebody else writes, of whichever family.
fn validate_families(spec: &Value, headless: bool, path: &Path, errors: &mut Vec<FieldError>) {
    let families = spec["ipFamilies"].as_array().cloned().unwrap_or_default();
    let policy = text(spec, &["ipFamilyPolicy"]);
    const KNOWN: [&str; 2] = ["IPv4", "IPv6"];
    let mut wrong = Vec::new();
    for (at, family) in families.iter().enumerate() {
        let at_path = path.child("ipFamilies").index(at);
        let name = family.as_str().unwrap_or_default();
        if !KNOWN.contains(&name) {
            wrong.push(FieldError::not_supported(at_path, name, KNOWN));
        } else if families[..at].contains(family) {
            wrong.push(FieldError::duplicate(at_path, name));
        }
    }
    if !wrong.is_empty() {
        errors.extend(wrong);
        return;
    }
    if families.len() > 1 && policy == "SingleStack" {
        let detail = "must be RequireDualStack or PreferDualStack when multiple ipFamilies are specified";
        errors.push(FieldError::invalid(path.child("ipFamilyPolicy"), policy, detail));
    }
    let has_selector = spec["selector"].as_object().is_some_and(|selector| !selector.is_empty());
    if headless && !has_selector {
        return;
    }
    for (at, family) in families.iter().enumerate().filter(|(_, family)| *family != "IPv4") {
        let at = path.child("ipFamilies").index(at);
        errors.push(FieldError::invalid(at, family.clone(), "not configured on this cluster"));
    }
    if policy == "RequireDualStack" {
        let detail = "this cluster is not configured for dual-stack services";
        errors.push(FieldError::invalid(path.child("ipFamilyPolicy"), policy, detail));
    }
}

fn validate_port(port: &Value, path: &Path, named: bool, errors: &mut Vec<FieldError>) {
    let number = port["port"].as_i64().unwrap_or(0);
    if named && text(port, &["name"]).is_empty() {
        errors.push(FieldError::required(path.child("name"), ""));
    }
    if !(1..=65535).contains(&number) {
        errors.push(FieldError::invalid(
            path.child("port"),
            number,
            "must be between 1 and 65535, inclusive",
        ));
    }
    let protocol = text(port, &["protocol"]);
    if !PROTOCOLS.contains(&protocol) {
        errors.push(FieldError::not_supported(path.child("protocol"), protocol, PROTOCOLS));
    }
    if let Some(target) = port["targetPort"].as_i64().filter(|target| !(1..=65535).contains(target)) {
        errors.push(FieldError::invalid(
            path.child("targetPort"),
            target,
            "must be between 1 and 65535, inclusive",
        ));
    }
}

/// Gives the Service its addresses and ports.
fn allocate(call: &Call, draft: &mut Value, old: Option<&Value>, dry_run: bool) -> Result<()> {
    let name = object::name(draft).to_owned();
    let allocator = call.server.allocator();
    let kind = text(draft, &["spec", "type"]).to_owned();
    if kind != "ExternalName" {
        address(call, draft, old, &name)?;
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer")
        && draft["spec"]["allocateLoadBalancerNodePorts"] != false
    {
        node_ports(call, draft, old, &name)?;
    }
    if dry_run {
        allocator.release(draft);
        if let Some(old) = old {
            allocator.hold(old);
        }
    }
    Ok(())
}

fn random(call: &Call) -> u32 {
    let mut bytes = [0; 4];
    call.server.entropy().fill(&mut bytes);
    u32::from_le_bytes(bytes)
}

fn address(call: &Call, draft: &mut Value, old: Option<&Value>, name: &str) -> Result<()> {
    let allocator = call.server.allocator();
    let given = text(draft, &["spec", "clusterIP"]).to_owned();
    let held = old.map_or("", |old| text(old, &["spec", "clusterIP"]));
    match given.as_str() {
        "None" => {}
        "" => {
            let full = || Status::internal("every address of the service network is taken");
            let address = allocator.next_address(random(call)).ok_or_else(full)?;
            draft["spec"]["clusterIP"] = address.to_string().into();
        }
        given if given == held => {}
        given => {
            let refuse =
                |detail: &str| refuse_field(&call.resource.gvk, name, "spec.clusterIPs", vec![given], detail);
            let parsed: Ipv4Addr = given.parse().map_err(|_| {
                let (path, detail) = ("spec.clusterIPs[0]", "must be a valid IP address");
                refuse_field(&call.resource.gvk, name, path, given, detail)
            })?;
            if !allocator.contains(parsed) {
                let network = allocator.network();
                return Err(refuse(&format!(
                    "the provided IP ({given}) is not in the valid range {network}"
                )));
            }
            if !allocator.take_address(parsed) {
                return Err(refuse("failed to allocate IP: provided IP is already allocated"));
            }
        }
    }
    draft["spec"]["clusterIPs"] = json!([draft["spec"]["clusterIP"]]);
    Ok(())
}

fn node_ports(call: &Call, draft: &mut Value, old: Option<&Value>, name: &str) -> Result<()> {
    let allocator = call.server.allocator();
    let held: Vec<Value> = old
        .and_then(|old| old["spec"]["ports"].as_array())
        .into_iter()
        .flatten()
        .map(|port| port["nodePort"].clone())
        .collect();
    let full = || Status::internal("every node port is taken");
    for (at, port) in items_mut(&mut draft["spec"], "ports").enumerate() {
        match port["nodePort"].as_i64().filter(|number| *number > 0) {
            None => port["nodePort"] = allocator.next_port(random(call) as u16).ok_or_else(full)?.into(),
            Some(number) if held.contains(&number.into()) => {}
            Some(number) => {
                let path = format!("spec.ports[{at}].nodePort");
                let refuse = |detail: &str| refuse_field(&call.resource.gvk, name, &path, number, detail);
                if !Allocator::is_node_port(number) {
                    return Err(refuse(
                        "provided port is not in the valid range. The range of valid ports is 30000-32767",
                    ));
                }
                if !allocator.take_port(number as u16) {
                    return Err(refuse("provided port is already allocated"));
                }
            }
        }
    }
    let local = text(draft, &["spec", "type"]) == "LoadBalancer"
        && text(draft, &["spec", "externalTrafficPolicy"]) == "Local";
    if local && draft["spec"]["healthCheckNodePort"].as_i64().unwrap_or(0) == 0 {
        draft["spec"]["healthCheckNodePort"] =
            allocator.next_port(random(call) as u16).ok_or_else(full)?.into();
    }
    Ok(())
}
