//! What differs between kinds, where Kubernetes has such differences.
//!
//! A strategy is a row of functions; a kind without one of its own takes the base row.
#![allow(clippy::unnecessary_wraps, reason = "the functions of a row have one signature")]

mod admission;
mod api_service;
mod config;
mod crd;
mod data_source;
mod devices;
mod event;
mod flow;
mod job;
mod limits;
mod namespace;
mod node;
mod pod;
mod pod_admission;
mod pod_resize;
mod pod_spec;
mod pod_together;
mod pod_update;
mod policy;
mod rules;
mod service;
mod signing;
mod storage;
mod webhook_client;
mod workload;

use machinery::field::{FieldError, Problem};
use machinery::names;
use machinery::object;
use machinery::status::Status;
use serde_json::Value;

use super::Call;
use crate::cache::ObjectKey;
use crate::registry::Resource;
use crate::{ApiServer, Result};

/// How writes of one kind differ from the base.
#[derive(Clone, Copy)]
pub(crate) struct Strategy {
    /// Says what is wrong with a name.
    pub(crate) name: fn(&str) -> Vec<String>,
    /// Whether objects count the changes of their wishes in `metadata.generation`.
    pub(crate) has_generation: bool,
    /// Sets defaults that depend on other fields.
    pub(crate) default: fn(&mut Value),
    /// Brings a new object into its first state; may refuse it.
    pub(crate) prepare_create: fn(&mut Call, &mut Value) -> Result<()>,
    /// Brings a changed object into order; may refuse it.
    pub(crate) prepare_update: fn(&mut Call, &mut Value, &Value) -> Result<()>,
    /// Says what is wrong with an object (and its change, when there was one before).
    pub(crate) validate: fn(&Call, &Value, Option<&Value>) -> Vec<FieldError>,
    /// Judges a valid object, and its change, as Kubernetes' own validating plug-ins do, before policies and webhooks are asked.
    pub(crate) admit: fn(&Call, &Value, Option<&Value>) -> Result<()>,
    /// Takes what is scarce, such as addresses, once everything else is settled.
    pub(crate) allocate: fn(&Call, &mut Value, Option<&Value>, bool) -> Result<()>,
}

const BASE: Strategy = Strategy {
    name: names::dns_subdomain,
    has_generation: false,
    default: |_| {},
    prepare_create: |_, _| Ok(()),
    prepare_update: |_, _, _| Ok(()),
    validate: |_, _, _| Vec::new(),
    admit: |_, _, _| Ok(()),
    allocate: |_, _, _, _| Ok(()),
};

/// Returns the strategy of a resource.
pub(crate) fn of(resource: &Resource) -> Strategy {
    if resource.custom {
        return Strategy { has_generation: true, ..BASE };
    }
    let row = match (&*resource.collection.group, &*resource.collection.plural) {
        ("", "pods") => pod::STRATEGY,
        ("", "namespaces") => namespace::STRATEGY,
        ("", "nodes") => node::STRATEGY,
        ("", "services") => service::STRATEGY,
        ("", "secrets") => config::SECRET,
        ("", "configmaps") => config::CONFIG_MAP,
        ("", "persistentvolumeclaims") => storage::CLAIM,
        ("", "persistentvolumes") => storage::VOLUME,
        ("", "limitranges") => Strategy { default: limits::default, validate: limits::validate, ..BASE },
        ("networking.k8s.io", "ingresses") => Strategy { validate: policy::ingress, ..BASE },
        ("scheduling.k8s.io", "priorityclasses") => Strategy { validate: policy::priority_class, ..BASE },
        (
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations" | "mutatingwebhookconfigurations",
        ) => admission::WEBHOOKS,
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => admission::POLICY,
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => admission::BINDING,
        ("", "replicationcontrollers" | "podtemplates") | ("apps" | "batch", _) => {
            workload::strategy(resource)
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => crd::STRATEGY,
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => flow::SCHEMA,
        ("flowcontrol.apiserver.k8s.io", _) => flow::LEVEL,
        ("apiregistration.k8s.io", "apiservices") => api_service::STRATEGY,
        ("rbac.authorization.k8s.io", plural) => config::rbac(plural),
        ("networking.k8s.io", "ingressclasses") => Strategy { default: rules::default_class, ..BASE },
        ("autoscaling", _) => Strategy { default: rules::default_autoscaler, ..BASE },
        ("events.k8s.io", _) | ("", "events") => event::STRATEGY,
        ("certificates.k8s.io", _) => signing::STRATEGY,
        ("resource.k8s.io", plural) => devices::strategy(plural),
        ("policy", _) => Strategy { name: names::path_segment, ..BASE },
        _ => BASE,
    };
    Strategy { has_generation: has_generation(resource), ..row }
}

/// Built-in kinds that have a generation.
fn has_generation(resource: &Resource) -> bool {
    match &*resource.collection.group {
        "" => matches!(&*resource.collection.plural, "pods" | "replicationcontrollers"),
        "apps" => &*resource.collection.plural != "controllerrevisions",
        "admissionregistration.k8s.io"
        | "batch"
        | "autoscaling"
        | "apiextensions.k8s.io"
        | "discovery.k8s.io"
        | "flowcontrol.apiserver.k8s.io"
        | "networking.k8s.io"
        | "policy"
        | "scheduling.k8s.io" => true,
        "resource.k8s.io" => &*resource.collection.plural == "resourceslices",
        _ => false,
    }
}

/// Says what is wrong with an object, and with its change when there was one before: by its schema (`errors` so far), by the
/// table of its kind or of its status, and by what is the kind's own.
pub(crate) fn validate(
    strategy: &Strategy,
    call: &Call,
    object: &Value,
    old: Option<&Value>,
    errors: &mut Vec<FieldError>,
) {
    let mut own = own_errors(strategy, call, object, old);
    if let Some(old) = old.filter(|_| !own.is_empty()) {
        // What was wrong before is not this change's fault: it keeps nobody from another change, nor from the end.
        let known = own_errors(strategy, call, old, Some(old));
        own.retain(|error| !known.iter().any(|known| is_same(known, error)));
    }
    if !call.resource.custom {
        let rows = rules::of(call.resource.group(), call.resource.plural());
        // The table of Pods is that of their spec, which templates have as well.
        let tabled = !rows.is_empty() || call.resource.plural() == "pods";
        // Typed clients know no missing text, number or list, so what is required is what the table says; and who knows
        // the kind knows better what is wrong with a field.
        let said = |error: &FieldError| {
            let above = error.path.as_str().rsplit_once(['.', '[']).map(|(above, _)| above);
            own.iter().any(|own| own.path == error.path || above == Some(own.path.as_str()))
        };
        errors.retain(|error| match error.problem {
            Problem::Required => !tabled && !said(error),
            Problem::NotSupported => (!tabled || error.value != "") && !said(error),
            _ => true,
        });
    }
    errors.extend(own);
}

/// What the kind itself and its table say.
fn own_errors(strategy: &Strategy, call: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = (strategy.validate)(call, object, old);
    let (group, plural) = (call.resource.group(), call.resource.plural());
    let rows = match call.sub() {
        _ if call.resource.custom => return errors,
        "" => rules::of(group, plural),
        "status" => rules::of_status(group, plural),
        _ => return errors,
    };
    errors.extend(rules::check(rows, object, old));
    errors
}

/// Whether two errors tell of the same mistake, wherever in its list the item stands by now.
fn is_same(one: &FieldError, other: &FieldError) -> bool {
    let place = |error: &FieldError| -> String {
        error.path.as_str().chars().filter(|letter| !letter.is_ascii_digit()).collect()
    };
    (one.problem, &one.value, &one.detail) == (other.problem, &other.value, &other.detail)
        && place(one) == place(other)
}

/// Drops the status of a new object where only the status subresource may write it.
pub(crate) fn drop_status(resource: &Resource, draft: &mut Value) {
    // A node registers itself with its status.
    let kept = resource.group().is_empty() && resource.plural() == "nodes";
    if let Some(fields) = draft.as_object_mut().filter(|_| resource.has_status() && !kept) {
        fields.shift_remove("status");
    }
}

/// Keeps the part of the object that this request cannot write: the status on the main resource, the rest on `status`.
pub(crate) fn keep_unwritable(call: &Call, draft: &mut Value, old: &Value) {
    let sub = call.sub();
    if sub == "ephemeralcontainers" || sub == "resize" {
        *draft = pod::part(old, draft, sub);
        return;
    }
    if !call.resource.has_status() {
        return;
    }
    if sub.is_empty() {
        copy(draft, old, "status");
    } else if sub == "status" || sub == "approval" {
        let mut result = old.clone();
        copy(&mut result, draft, "status");
        // Metadata travels with the status of built-in kinds, but not with that of custom resources.
        let travelling: &[&str] = if call.resource.custom {
            &["managedFields"]
        } else {
            &["labels", "annotations", "finalizers", "managedFields", "resourceVersion"]
        };
        for name in travelling {
            copy_meta(&mut result, draft, name);
        }
        *draft = result;
    }
}

fn copy(to: &mut Value, from: &Value, name: &str) {
    let Some(fields) = to.as_object_mut() else { return };
    match from.get(name) {
        Some(value) => {
            fields.insert(name.to_owned(), value.clone());
        }
        None => {
            fields.shift_remove(name);
        }
    }
}

fn copy_meta(to: &mut Value, from: &Value, name: &str) {
    match from.get("metadata").and_then(|metadata| metadata.get(name)) {
        Some(value) => object::set_meta(to, name, value.clone()),
        None => {
            object::remove_meta(to, name);
        }
    }
}

/// Whether a finished delete answers with the object's last state; else it answers with a Status.
pub(crate) fn shows_deleted(resource: &Resource) -> bool {
    !resource.custom
        && resource.plural() != "csistoragecapacities"
        && matches!(
            (resource.group(), resource.plural()),
            (
                "",
                "pods"
                    | "services"
                    | "serviceaccounts"
                    | "persistentvolumeclaims"
                    | "persistentvolumes"
                    | "podtemplates"
                    | "resourcequotas"
            ) | ("storage.k8s.io" | "resource.k8s.io", _)
        )
}

/// Whether an update must say which version it changes. For other kinds one that says none overwrites whatever is there.
pub(crate) fn wants_version(resource: &Resource) -> bool {
    resource.custom
        || matches!(
            (resource.group(), resource.plural()),
            ("admissionregistration.k8s.io" | "apiextensions.k8s.io" | "apiregistration.k8s.io", _)
                | ("coordination.k8s.io", "leases")
                | ("node.k8s.io", "runtimeclasses")
                | ("policy", "poddisruptionbudgets")
                | (
                    "storage.k8s.io",
                    "csidrivers" | "csinodes" | "csistoragecapacities" | "volumeattachments"
                )
        )
}

/// Seconds between the mark of deletion and the end.
pub(crate) fn grace(resource: &Resource, object: &Value, wanted: Option<i64>) -> i64 {
    if !(resource.group().is_empty() && resource.plural() == "pods") {
        return 0;
    }
    pod::grace(object, wanted)
}

/// Changes what a mark of deletion changes besides metadata.
pub(crate) fn begin_delete(call: &Call, draft: &mut Value) {
    match (call.resource.group(), call.resource.plural()) {
        ("", "namespaces") => draft["status"]["phase"] = "Terminating".into(),
        ("apiextensions.k8s.io", _) => {
            crate::registry::crd::begin_delete(&super::metadata::timestamp(call), draft);
        }
        _ => {}
    }
}

/// The items of a list field, if there is one.
pub(super) fn items_mut<'a>(object: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Refuses the deletion of what every cluster needs.
pub(crate) fn check_delete(call: &Call, key: &ObjectKey) -> Result<()> {
    let resource = &call.resource;
    let protected = matches!(&*key.name, "default" | "kube-system" | "kube-public");
    if resource.group().is_empty() && resource.plural() == "namespaces" && protected {
        return Err(Status::forbidden(&resource.gvr(), &key.name, "this namespace may not be deleted").into());
    }
    Ok(())
}

/// Whether an update of an object that does not exist creates it.
pub(crate) fn creates_on_update(resource: &Resource) -> bool {
    matches!(
        (resource.group(), resource.plural()),
        ("", "endpoints" | "events" | "limitranges" | "services")
            | ("coordination.k8s.io" | "rbac.authorization.k8s.io", _)
    )
}

/// Acts on a stored change: a CustomResourceDefinition registers its kind.
pub(crate) fn after_write(server: &ApiServer, resource: &Resource, stored: Option<&Value>) {
    let Some(stored) = stored else { return };
    match (resource.group(), resource.plural()) {
        ("apiextensions.k8s.io", _) => crate::registry::crd::changed(server, stored),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => {
            crate::admission::check_types(server, stored);
        }
        _ => {}
    }
}

/// Acts on a removal: what the object had taken is free again.
pub(crate) fn after_delete(server: &ApiServer, resource: &Resource, last: &Value) {
    match (resource.group(), resource.plural()) {
        ("apiextensions.k8s.io", "customresourcedefinitions") => crate::registry::crd::removed(server, last),
        ("", "services") => server.allocator().release(last),
        _ => {}
    }
}

/// Returns the string at a path, or the empty string.
pub(super) fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    object::str_at(object, path)
}

/// Sets a field if it is absent.
pub(super) fn set_default(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(fields) = object.as_object_mut() {
        fields.entry(name).or_insert_with(|| value.into());
    }
}
