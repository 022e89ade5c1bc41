//! The question as it goes over the wire: an `AdmissionReview`.

use machinery::admission::Request;
use machinery::gvk::Gvk;
use serde_json::{Value, json};

use crate::admission::Context;
use crate::registry::{Resource, ResourceRef, convert};

/// The object in the version of `wanted`, of which only the resource's own objects have several.
pub(super) fn in_version(own: &Resource, wanted: &Resource, object: Value) -> Value {
    if own.gvk == wanted.gvk || object.is_null() {
        return object;
    }
    convert::from_storage(wanted, convert::to_storage(own, object))
}

/// What a request says of itself: everything but the two objects, shown as a request for `shown`.
pub(in crate::admission) fn request_facts(request: &Request, shown: &Resource) -> Value {
    // A subresource may have a kind of its own, which all versions share.
    let own_kind = request.kind.kind == shown.gvk.kind && request.kind.group == shown.gvk.group;
    let kind: &Gvk = if own_kind { &shown.gvk } else { &request.kind };
    let mut facts = json!({
        "uid": request.uid,
        "kind": kind,
        "resource": shown.gvr(),
        "requestKind": request.kind,
        "requestResource": request.resource,
        "operation": request.operation,
        "userInfo": request.user_info,
        "object": null,
        "oldObject": null,
        "dryRun": request.dry_run,
        "options": request.options,
    });
    for (name, value) in [
        ("subResource", &request.sub_resource),
        ("requestSubResource", &request.sub_resource),
        ("name", &request.name),
        ("namespace", &request.namespace),
    ] {
        if !value.is_empty() {
            facts[name] = value.as_str().into();
        }
    }
    facts
}

/// The whole question.
pub(super) fn body(version: &str, context: &Context, shown: &ResourceRef, request: &Request) -> Vec<u8> {
    let mut facts = request_facts(request, shown);
    let own = &context.resource;
    facts["object"] = in_version(own, shown, request.object.clone());
    facts["oldObject"] = in_version(own, shown, request.old_object.clone());
    let review = json!({
        "kind": "AdmissionReview",
        "apiVersion": format!("admission.k8s.io/{version}"),
        "request": facts,
    });
    review.to_string().into_bytes()
}
