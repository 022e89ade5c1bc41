//! Subresources that are more than another view of the same object.

use std::sync::Arc;

use http::{Response, StatusCode};
use machinery::object;
use machinery::status::Status;
use serde_json::{Value, json};

use super::ownership::Ownership;
use super::{Call, WriteOptions, admit, decode, eviction, present, scale, storage, write};
use crate::cache::ObjectKey;
use crate::node::LogOptions;
use crate::registry::ResourceRef;
use crate::serve::websocket::Framing;
use crate::{Body, Result, auth, body};

/// Answers the request if its subresource (or review kind) needs it; nothing if the generic path does.
pub(crate) async fn answer(
    call: &mut Call,
    verb: &str,
    request_body: &mut Option<Body>,
) -> Result<Option<Response<Body>>> {
    let sub = call.sub().to_owned();
    let group = call.resource.group().to_owned();
    let plural = call.resource.plural().to_owned();
    let response = match (group.as_str(), plural.as_str(), sub.as_str()) {
        ("", "bindings", "") if verb == "create" => bind(call, request_body, None).await?,
        ("", "serviceaccounts", "token") => token(call, request_body).await?,
        (group, plural, "") if verb == "create" && auth::review::is_review(group, plural) => {
            review(call, request_body).await?
        }
        ("", "pods", "binding") => bind(call, request_body, Some(call.key())).await?,
        ("", "pods", "eviction") => eviction::evict(call, request_body).await?,
        ("", "pods", "log") => logs(call).await?,
        ("", "pods" | "services" | "nodes", "exec" | "attach" | "portforward" | "proxy") => {
            let what = format!("{plural}/{sub} is not served by this API server");
            return Err(Status::failure(machinery::status::Reason::MethodNotAllowed, what).into());
        }
        (_, _, "scale") => scale::answer(call, verb, request_body).await?,
        _ => return Ok(None),
    };
    Ok(Some(response))
}

pub(crate) async fn take(request_body: &mut Option<Body>) -> Result<bytes::Bytes> {
    match request_body.take() {
        Some(request_body) => body::read(request_body).await,
        None => Ok(bytes::Bytes::new()),
    }
}

/// The answer of a write that has no object to show.
pub(super) fn done() -> Response<Body> {
    let mut status = Status::success().to_value();
    status["code"] = 201.into();
    body::json(StatusCode::CREATED, &status)
}

/// Issues a token for a service account.
async fn token(call: &mut Call, request_body: &mut Option<Body>) -> Result<Response<Body>> {
    let options = WriteOptions::parse(&call.query, "CreateOptions", false)?;
    let decoded = decode::object(&call.headers, &take(request_body).await?)?;
    let request = write::accept(call, decoded, options.validation)?;
    let request = admit::alone(call, request, &options).await?;
    let answer = auth::bearer::issue(&call.server, call.namespace(), &call.info.name, &request)?;
    Ok(body::json(StatusCode::CREATED, &answer))
}

/// Answers a question about identities or permissions.
async fn review(call: &mut Call, request_body: &mut Option<Body>) -> Result<Response<Body>> {
    let options = WriteOptions::parse(&call.query, "CreateOptions", false)?;
    let decoded = decode::object(&call.headers, &take(request_body).await?)?;
    let review = write::accept(call, decoded, options.validation)?;
    let plural = call.resource.plural();
    let answer = auth::review::answer(&call.server, &call.user, plural, call.namespace(), review)?;
    Ok(body::json(StatusCode::CREATED, &answer))
}

/// Puts a Pod on a node.
async fn bind(
    call: &mut Call,
    request_body: &mut Option<Body>,
    key: Option<ObjectKey>,
) -> Result<Response<Body>> {
    let options = WriteOptions::parse(&call.query, "CreateOptions", false)?;
    let decoded = decode::object(&call.headers, &take(request_body).await?)?;
    let binding = write::accept(call, decoded, options.validation)?;
    let node = object::str_at(&binding, &["target", "name"]).to_owned();
    let kind = object::str_at(&binding, &["target", "kind"]);
    if node.is_empty() || !matches!(kind, "" | "Node") {
        use machinery::field::{FieldError, Path};
        let error = if node.is_empty() {
            FieldError::required(Path::new("target.name"), "")
        } else {
            FieldError::not_supported(Path::new("target.kind"), kind, ["Node"])
        };
        let gvk = machinery::gvk::Gvk::new("", "v1", "Binding");
        return Err(Status::invalid(&gvk, object::name(&binding), &[error]).into());
    }
    let key = key.unwrap_or_else(|| ObjectKey::new(call.namespace(), object::name(&binding)));
    let uid = object::uid(&binding).to_owned();
    let carried = ["annotations", "labels"]
        .map(|kind| (kind, binding["metadata"][kind].as_object().cloned().unwrap_or_default()));
    let now = super::metadata::timestamp(call);
    admit::alone(call, binding, &options).await?;
    as_pods(call)?;
    let owner = Ownership::update(call);
    write::update(call, &key, &options, &owner, |call, pod| {
        let conflict = |why: String| Err(Status::conflict(&call.resource.gvr(), object::name(pod), why).into());
        if !uid.is_empty() && uid != object::uid(pod) {
            return conflict(format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", object::uid(pod)));
        }
        if object::is_being_deleted(pod) {
            return conflict(format!("pod {} is being deleted, cannot be assigned to a host", object::name(pod)));
        }
        let present = object::str_at(pod, &["spec", "nodeName"]);
        if !present.is_empty() {
            return conflict(format!("pod {} is already assigned to node {present:?}", object::name(pod)));
        }
        if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
            return conflict(format!("pod {} has non-empty .spec.schedulingGates", object::name(pod)));
        }
        let mut bound = pod.clone();
        bound["spec"]["nodeName"] = node.as_str().into();
        for (kind, fields) in &carried {
            for (name, value) in fields {
                bound["metadata"][kind][name] = value.clone();
            }
        }
        let scheduled = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now,
            "observedGeneration": object::generation(pod)});
        match bound.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
            Some(conditions) => {
                conditions.retain(|condition| condition["type"] != "PodScheduled");
                conditions.push(scheduled);
            }
            None => bound["status"]["conditions"] = json!([scheduled]),
        }
        Ok(bound)
    })
    .await?;
    Ok(done())
}

/// Turns a call of a subresource with a kind of its own into one that writes Pods.
fn as_pods(call: &mut Call) -> Result<()> {
    let snapshot = call.server.registry().snapshot();
    let pods = snapshot.resource("", "v1", "pods").ok_or_else(Status::no_such_path)?;
    call.resource = ResourceRef::clone(pods);
    if call.subresource.is_none() {
        call.subresource = pods.subresource("binding").cloned();
    }
    Ok(())
}

/// Streams a container's log from its node.
async fn logs(call: &mut Call) -> Result<Response<Body>> {
    let key = call.key();
    let entry = storage::current(&call.server, &call.resource, &key)
        .await?
        .ok_or_else(|| call.not_found(&key.name))?;
    let pod = present::value_of(&call.resource, &entry)?;
    let query = &call.query;
    let number = |name: &str| query.get(name).parse::<u64>().ok();
    let options = LogOptions {
        container: container(&pod, query.get("container"))?,
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        tail_lines: number("tailLines"),
        limit_bytes: number("limitBytes"),
        since_seconds: number("sinceSeconds"),
        since_time: Some(query.get("sinceTime").to_owned()).filter(|time| !time.is_empty()),
        timestamps: query.flag("timestamps"),
    };
    if object::str_at(&pod, &["spec", "nodeName"]).is_empty() {
        let why = format!(
            "container {:?} in pod {:?} is waiting: the pod is not on a node yet",
            options.container, key.name
        );
        return Err(Status::bad_request(why).into());
    }
    let node = object::str_at(&pod, &["spec", "nodeName"]);
    let nodes = crate::registry::Collection::new("", "nodes");
    if call.server.object(&nodes, &ObjectKey::new("", node)).is_none() {
        return Err(Status::not_found(&machinery::gvk::Gvr::new("", "v1", "nodes"), node).into());
    }
    let log = Arc::clone(call.server.nodes()).logs(&pod, &options).await?;
    let mut response = Response::new(log);
    let plain = http::HeaderValue::from_static("text/plain");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response.extensions_mut().insert(Framing::Bytes);
    Ok(response)
}

/// Finds the container that a log request means.
fn container(pod: &Value, wanted: &str) -> Result<String> {
    let names = |kind: &str| -> Vec<String> {
        let list = pod["spec"][kind].as_array().into_iter().flatten();
        list.map(|container| object::str_at(container, &["name"]).to_owned()).collect()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    let pod_name = object::name(pod);
    if wanted.is_empty() {
        return match main.as_slice() {
            [only] => Ok(only.clone()),
            many => Err(Status::bad_request(format!(
                "a container name must be specified for pod {pod_name}, choose one of: {many:?} or one of the init containers: {init:?}"
            ))
            .into()),
        };
    }
    if main.iter().chain(&init).chain(&names("ephemeralContainers")).any(|name| name == wanted) {
        return Ok(wanted.to_owned());
    }
    Err(Status::bad_request(format!("container {wanted} is not valid for pod {pod_name}")).into())
}
