//! Fields of a Service that only go with others.

use machinery::field::{FieldError, Path};
use serde_json::Value;

fn text<'a>(spec: &'a Value, name: &str) -> &'a str {
    spec[name].as_str().unwrap_or_default()
}

fn list<'a>(spec: &'a Value, name: &str) -> &'a [Value] {
    spec[name].as_array().map_or(&[][..], Vec::as_slice)
}

/// Checks a Service as a whole. What an update leaves as it is was judged when it was written.
pub(super) fn check(service: &Value, old: Option<&Value>, _: &Path, errors: &mut Vec<FieldError>) {
    let (spec, path) = (&service["spec"], Path::new("spec"));
    let changed = |fields: &[&str]| {
        old.is_none_or(|old| fields.iter().any(|field| old["spec"][*field] != spec[*field]))
    };
    addresses(spec, old.is_none(), &path, errors);
    if changed(&["type", "ports"]) {
        ports(spec, &path.child("ports"), errors);
    }
    if changed(&["type", "externalIPs", "externalTrafficPolicy", "healthCheckNodePort"]) {
        from_outside(spec, &path, errors);
    }
    let balanced = text(spec, "type") == "LoadBalancer";
    for field in ["loadBalancerClass", "loadBalancerSourceRanges", "allocateLoadBalancerNodePorts"] {
        let said = !spec[field].is_null() && spec[field].as_array().is_none_or(|list| !list.is_empty());
        if said && !balanced && changed(&["type", field]) {
            // One of them is known by the name that it has in Go.
            let name = if field == "loadBalancerSourceRanges" { "LoadBalancerSourceRanges" } else { field };
            errors.push(FieldError::forbidden(
                path.child(name),
                "may only be used when `type` is 'LoadBalancer'",
            ));
        }
    }
    let Some(before) = old.map(|old| &old["spec"]) else { return };
    if balanced && text(before, "type") == "LoadBalancer" {
        let class = |spec: &Value| text(spec, "loadBalancerClass").to_owned();
        if class(before) != class(spec) {
            let detail = "may not change once set";
            errors.push(FieldError::invalid(path.child("loadBalancerClass"), class(spec), detail));
        }
    }
    if checked_locally(before)
        && checked_locally(spec)
        && before["healthCheckNodePort"] != spec["healthCheckNodePort"]
    {
        errors.push(FieldError::forbidden(path.child("healthCheckNodePort"), "field is immutable"));
    }
}

/// Whether balancers ask each node for its own endpoints.
pub(in super::super) fn checked_locally(spec: &Value) -> bool {
    text(spec, "type") == "LoadBalancer" && text(spec, "externalTrafficPolicy") == "Local"
}

fn addresses(spec: &Value, new: bool, path: &Path, errors: &mut Vec<FieldError>) {
    let (kind, address, path) = (text(spec, "type"), text(spec, "clusterIP"), path.child("clusterIPs"));
    let all = list(spec, "clusterIPs");
    if kind == "ExternalName" {
        if !address.is_empty() || !all.is_empty() {
            errors.push(FieldError::forbidden(path, "may not be set for ExternalName services"));
        }
        return;
    }
    if address == "None" && kind != "ClusterIP" {
        let detail = format!("may not be set to 'None' for {kind} services");
        errors.push(FieldError::invalid(path.index(0), address, detail));
    }
    if !new || all.is_empty() {
        return;
    }
    let mut refuse = |detail: &str| errors.push(FieldError::invalid(path.clone(), all.to_vec(), detail));
    if address.is_empty() {
        refuse("must be empty when `clusterIP` is not specified");
    } else if all[0] != address {
        refuse("first value must match `clusterIP`");
    }
    let old_family = |address: &&Value| address.as_str().is_some_and(|text| text.contains('.'));
    let of_old = all.iter().filter(old_family).count();
    if of_old > 1 || all.len() - of_old > 1 {
        refuse("may specify no more than one IP for each IP family");
    }
}

fn ports(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut seen = Vec::new();
    for (at, port) in list(spec, "ports").iter().enumerate() {
        let inside = text(spec, "type") == "ClusterIP" && port["nodePort"].as_i64().unwrap_or(0) != 0;
        if inside {
            let detail = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(path.index(at).child("nodePort"), detail));
        }
        let identity = [&port["protocol"], &port["port"]];
        if seen.contains(&identity) {
            errors.push(FieldError::duplicate(path.index(at), port.clone()));
        }
        seen.push(identity);
    }
}

fn from_outside(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let policy = text(spec, "externalTrafficPolicy");
    let reachable = matches!(text(spec, "type"), "LoadBalancer" | "NodePort")
        || text(spec, "type") == "ClusterIP" && !list(spec, "externalIPs").is_empty();
    if !policy.is_empty() && !reachable {
        let detail = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(path.child("externalTrafficPolicy"), policy, detail));
    }
    let checked = spec["healthCheckNodePort"].as_i64().unwrap_or(0);
    if checked != 0 && !checked_locally(spec) {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid(path.child("healthCheckNodePort"), checked, detail));
    }
}
