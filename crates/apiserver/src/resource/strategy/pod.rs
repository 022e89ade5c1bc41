//! Pods: first state, quality of service, grace.

use machinery::field::{FieldError, Path};
use machinery::names;
use machinery::object;
use machinery::quantity::Quantity;
use machinery::status::Status;
use serde_json::{Value, json};

use super::{
    BASE, Strategy, items_mut, pod_admission, pod_resize, pod_spec, pod_together, pod_update, set_default,
    text,
};
use crate::Result;
use crate::resource::Call;

pub(super) const STRATEGY: Strategy =
    Strategy { name: names::dns_subdomain, default, prepare_create, prepare_update, validate, ..BASE };

fn default(draft: &mut Value) {
    let Some(spec) = draft.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    pod_spec::default_pod_spec(spec);
    set_default(spec, "enableServiceLinks", true);
    let host_network = spec["hostNetwork"] == true;
    for container in containers_mut(spec) {
        default_requests(container);
        if host_network {
            for port in items_mut(container, "ports") {
                let number = port["containerPort"].clone();
                set_default(port, "hostPort", number);
            }
        }
    }
}

/// A limit without a request is a request as well.
fn default_requests(container: &mut Value) {
    let Some(limits) = container["resources"]["limits"].as_object().cloned() else { return };
    for (name, limit) in limits {
        if container["resources"]["requests"].get(&name).is_none() {
            container["resources"]["requests"][&name] = limit;
        }
    }
}

fn containers_mut(spec: &mut Value) -> impl Iterator<Item = &mut Value> {
    let fields = spec.as_object_mut().into_iter().flat_map(|fields| fields.iter_mut());
    fields
        .filter(|(name, _)| matches!(name.as_str(), "containers" | "initContainers"))
        .flat_map(|(_, list)| list.as_array_mut().into_iter().flatten())
}

/// Containers and init containers of a Pod spec, with their paths.
pub(super) fn containers(spec: &Value) -> impl Iterator<Item = (Path, &Value)> {
    ["initContainers", "containers"].into_iter().flat_map(|kind| {
        let list = spec[kind].as_array().into_iter().flatten().enumerate();
        list.map(move |(at, container)| (Path::new("spec").child(kind).index(at), container))
    })
}

fn prepare_create(call: &mut Call, draft: &mut Value) -> Result<()> {
    object::set_meta(draft, "generation", 1);
    pod_admission::admit(call, draft)?;
    draft["status"] = json!({"phase": "Pending", "qosClass": qos_class(&draft["spec"])});
    Ok(())
}

fn prepare_update(call: &mut Call, draft: &mut Value, old: &Value) -> Result<()> {
    if call.sub() == "status" && draft["status"]["qosClass"].is_null() {
        draft["status"]["qosClass"] = old["status"]["qosClass"].clone();
    }
    if call.sub().is_empty() && draft["spec"].is_object() {
        // Who sends the manifest again that the Pod was made from leaves them out.
        pod_admission::tolerations(&mut draft["spec"]);
    }
    Ok(())
}

/// Returns the class by which a node under pressure chooses its victims.
pub(super) fn qos_class(spec: &Value) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    for (_, container) in containers(spec) {
        for name in ["cpu", "memory"] {
            let amount = |kind: &str| {
                let text = text(container, &["resources", kind, name]);
                Quantity::parse(text).ok().filter(|quantity| !quantity.is_zero())
            };
            let (limit, request) = (amount("limits"), amount("requests"));
            any |= limit.is_some() || request.is_some();
            guaranteed &= match (&limit, &request) {
                (Some(limit), Some(request)) => limit.milli() == request.milli(),
                (Some(_), None) => true,
                (None, _) => false,
            };
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Returns the seconds that a Pod gets to end: as wanted, as its spec says, or none if it never ran.
pub(super) fn grace(pod: &Value, wanted: Option<i64>) -> i64 {
    let own = object::i64_at(pod, &["spec", "terminationGracePeriodSeconds"]).unwrap_or(30);
    let grace = wanted.unwrap_or(own);
    // What no node has taken, and what has ended, needs no time to end.
    if text(pod, &["spec", "nodeName"]).is_empty()
        || matches!(text(pod, &["status", "phase"]), "Failed" | "Succeeded")
    {
        return 0;
    }
    if grace < 0 { 1 } else { grace }
}

fn validate(call: &Call, pod: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match old {
        None => {
            let path = Path::new("spec");
            pod_spec::validate_pod_spec(&pod["spec"], &path, &mut errors);
            pod_together::images(&pod["spec"], &path, &mut errors);
            pod_spec::no_ephemeral(&pod["spec"], &path, "cannot be set on create", &mut errors);
        }
        Some(old) => match call.sub() {
            "" => pod_update::validate(&pod["spec"], &old["spec"], &mut errors),
            "resize" => pod_resize::validate(pod, old, &mut errors),
            "status" => kept_class(pod, old, &mut errors),
            "ephemeralcontainers" => pod_update::validate_ephemeral(&pod["spec"], &old["spec"], &mut errors),
            _ => {}
        },
    }
    errors
}

/// The class follows from what the Pod asks for, which its status cannot change.
fn kept_class(pod: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let (now, before) = (text(pod, &["status", "qosClass"]), text(old, &["status", "qosClass"]));
    if !before.is_empty() && now != before {
        errors.push(FieldError::invalid(Path::new("status.qosClass"), now, "field is immutable"));
    }
}

/// Returns the Pod `old` with the part that a subresource writes taken from `draft`.
pub(super) fn part(old: &Value, draft: &Value, sub: &str) -> Value {
    let mut result = old.clone();
    super::copy_meta(&mut result, draft, "resourceVersion");
    if sub == "ephemeralcontainers" {
        result["spec"]["ephemeralContainers"] = draft["spec"]["ephemeralContainers"].clone();
        if result["spec"]["ephemeralContainers"].is_null() {
            super::copy(&mut result["spec"], &old["spec"], "ephemeralContainers");
        }
        return result;
    }
    for kind in ["initContainers", "containers"] {
        for container in items_mut(&mut result["spec"], kind) {
            let name = text(container, &["name"]).to_owned();
            let wanted = draft["spec"][kind].as_array().into_iter().flatten();
            if let Some(wanted) = wanted.into_iter().find(|wanted| wanted["name"] == *name) {
                super::copy(container, wanted, "resources");
                super::copy(container, wanted, "resizePolicy");
            }
        }
    }
    result
}

/// The refusal of what admission of Pods forbids.
pub(super) fn forbid(call: &Call, draft: &Value, why: impl std::fmt::Display) -> Box<Status> {
    Status::forbidden(&call.resource.gvr(), object::name(draft), why).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_of_service_follows_resources() {
        let of =
            |resources: Value| qos_class(&json!({"containers": [{"name": "c", "resources": resources}]}));
        let all = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(of(json!({})), "BestEffort");
        assert_eq!(of(json!({"limits": all, "requests": all})), "Guaranteed");
        assert_eq!(
            of(json!({"limits": all, "requests": {"cpu": "1000m", "memory": "1024Mi"}})),
            "Guaranteed"
        );
        assert_eq!(of(json!({"requests": all})), "Burstable");
        assert_eq!(of(json!({"requests": {"example.test/x": "1"}})), "BestEffort");
    }

    #[test]
    fn grace_is_for_running_pods() {
        let pod = json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 5}, "status": {"phase": "Running"}});
        assert_eq!((grace(&pod, None), grace(&pod, Some(0)), grace(&pod, Some(60))), (5, 0, 60));
        assert_eq!(grace(&json!({"spec": {}}), None), 0);
    }
}
