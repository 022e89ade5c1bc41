//! Fields of a Pod that contradict each other.

use machinery::field::{FieldError, Path};
use serde_json::Value;

use super::text;

pub(super) fn check(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if text(spec, &["dnsPolicy"]) == "None"
        && spec["dnsConfig"]["nameservers"].as_array().is_none_or(Vec::is_empty)
    {
        errors.push(if spec["dnsConfig"].is_null() {
            FieldError::required(path.child("dnsConfig"), "must provide `dnsConfig` when `dnsPolicy` is None")
        } else {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            FieldError::required(path.child("dnsConfig").child("nameservers"), detail)
        });
    }
    if spec["hostPID"] == true && spec["shareProcessNamespace"] == true {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        let at = path.child("securityContext").child("shareProcessNamespace");
        errors.push(FieldError::invalid(at, true, detail));
    }
    if spec["hostUsers"] == false {
        for field in ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|field| spec[*field] == true) {
            errors.push(FieldError::forbidden(path.child(field), "when `hostUsers` is false"));
        }
    }
    let gated = spec["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty());
    if gated && !text(spec, &["nodeName"]).is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(path.child("nodeName"), detail));
    }
    for kind in ["initContainers", "containers"] {
        let mut taken = Vec::new();
        for (at, container) in spec[kind].as_array().into_iter().flatten().enumerate() {
            let path = path.child(kind).index(at);
            if kind == "initContainers" {
                taken.clear();
            }
            ports(container, spec["hostNetwork"] == true, &path, &mut taken, errors);
        }
    }
}

/// Checks names of images, which a template may leave to be corrected when its Pods are made.
pub(super) fn images(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for kind in ["initContainers", "containers"] {
        for (at, container) in spec[kind].as_array().into_iter().flatten().enumerate() {
            let image = text(container, &["image"]);
            if image != image.trim() {
                let detail = "must not have leading or trailing whitespace";
                errors.push(FieldError::invalid(path.child(kind).index(at).child("image"), image, detail));
            }
        }
    }
}

/// A port of the host: protocol, address, number.
type HostPort = [Value; 3];

fn ports(
    container: &Value,
    on_host: bool,
    path: &Path,
    taken: &mut Vec<HostPort>,
    errors: &mut Vec<FieldError>,
) {
    for (at, port) in container["ports"].as_array().into_iter().flatten().enumerate() {
        let path = path.child("ports").index(at).child("hostPort");
        let Some(number) = port["hostPort"].as_i64().filter(|number| *number > 0) else { continue };
        if on_host && port["containerPort"].as_i64() != Some(number) {
            let detail = "must match `containerPort` when `hostNetwork` is true";
            errors.push(FieldError::invalid(path.clone(), number, detail));
        }
        let identity = ["protocol", "hostIP"].map(|field| text(port, &[field]).to_owned());
        let shown = format!("{}/{}/{number}", identity[0], identity[1]);
        let [protocol, address] = identity.map(Value::from);
        let identity = [protocol, address, number.into()];
        if taken.contains(&identity) {
            errors.push(FieldError::duplicate(path, shown));
        } else {
            taken.push(identity);
        }
    }
}
