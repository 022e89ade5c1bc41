//! Between writes and admission: the question, and the object before and after it.

use machinery::admission::{Operation, Request};
use machinery::field::{FieldError, Path};
use machinery::gvk::Gvk;
use machinery::object;
use machinery::status::Status;
use serde_json::{Value, json};

use super::strategy::{self, Strategy};
use super::{Call, WriteOptions, scale};
use crate::Result;
use crate::admission::Context;

/// The question for admission, if anything wants it; without objects.
pub(crate) fn request(call: &Call, operation: Operation, options: &WriteOptions) -> Option<Request> {
    // Binding a Pod is admitted as the creation of a Binding, not as a change of the Pod.
    if call.sub() == "binding" {
        return None;
    }
    question(call, operation, options)
}

fn question(call: &Call, operation: Operation, options: &WriteOptions) -> Option<Request> {
    let resource = &call.resource;
    if !call.server.admission().concerns(&call.server, resource, call.sub()) {
        return None;
    }
    let kind = match operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        _ => "DeleteOptions",
    };
    let mut told = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    if options.dry_run {
        told["dryRun"] = json!(["All"]);
    }
    for name in ["fieldManager", "fieldValidation"] {
        let value = call.query.get(name);
        if !value.is_empty() {
            told[name] = value.into();
        }
    }
    let is_namespace = resource.group().is_empty() && resource.plural() == "namespaces";
    Some(Request {
        uid: call.server.entropy().uuid(),
        kind: if call.sub() == "scale" {
            Gvk::new("autoscaling", "v1", "Scale")
        } else {
            resource.gvk.clone()
        },
        resource: resource.gvr(),
        sub_resource: call.sub().to_owned(),
        name: call.info.name.to_string(),
        namespace: if is_namespace { call.info.name.to_string() } else { call.namespace().to_owned() },
        operation,
        user_info: call.user.clone(),
        object: Value::Null,
        old_object: Value::Null,
        dry_run: options.dry_run,
        options: told,
    })
}

/// Names the object of a creation in the question.
pub(crate) fn name(request: &mut Request, name: &str) {
    if request.resource.group.is_empty() && request.resource.resource == "namespaces" {
        name.clone_into(&mut request.namespace);
    }
    name.clone_into(&mut request.name);
}

/// Lets admission change `draft`.
///
/// # Errors
/// Returns the refusal of the first that refuses.
pub(crate) async fn mutate(
    call: &mut Call,
    request: &mut Request,
    strategy: &Strategy,
    draft: &mut Value,
) -> Result<()> {
    if request.sub_resource == "scale" {
        return mutate_scale(call, request, draft).await;
    }
    let (server, resource) = (call.server.clone(), call.resource.clone());
    let settle = |object: &mut Value| {
        super::write::settle(&resource, object)?;
        resource.schema.default(object);
        (strategy.default)(object);
        Ok(())
    };
    let context = Context::new(&server, &call.resource);
    request.object = std::mem::take(draft);
    let outcome = server.admission().mutate(&context, request, &settle, &mut call.warnings).await;
    *draft = std::mem::take(&mut request.object);
    outcome
}

/// Lets admission change the scale of `draft`: a view of the object of which only the count is taken back.
async fn mutate_scale(call: &mut Call, request: &mut Request, draft: &mut Value) -> Result<()> {
    let (server, resource) = (call.server.clone(), call.resource.clone());
    let context = Context::new(&server, &resource);
    request.object = scale::scale_of(&resource, draft);
    let old = scale::scale_of(&resource, &request.old_object);
    let whole = std::mem::replace(&mut request.old_object, old);
    let outcome = server.admission().mutate(&context, request, &|_| Ok(()), &mut call.warnings).await;
    request.old_object = whole;
    let wanted = std::mem::take(&mut request.object);
    outcome?;
    // As in a typed Scale, a count that is not there is none; another value than a count is nobody's wish.
    let replicas = match &wanted["spec"]["replicas"] {
        Value::Null => 0,
        held => held.as_i64().filter(|count| (0..=i64::from(i32::MAX)).contains(count)).ok_or_else(|| {
            let why = "admission left no count of at least 0 here";
            let error = FieldError::invalid(Path::new("spec.replicas"), held.clone(), why);
            Status::invalid(&resource.gvk, object::name(draft), &[error])
        })?,
    };
    if scale::scale_of(&resource, draft)["spec"] != wanted["spec"] {
        scale::set_replicas(&resource, draft, replicas);
    }
    Ok(())
}

/// Lets admission judge `draft`.
///
/// # Errors
/// Returns the refusal of the first that refuses.
pub(crate) async fn validate(call: &mut Call, request: &mut Request, draft: &mut Value) -> Result<()> {
    let (server, context) = (call.server.clone(), Context::new(&call.server, &call.resource));
    let mut warnings = Vec::new();
    let outcome = if request.sub_resource == "scale" {
        request.object = scale::scale_of(&call.resource, draft);
        let old = scale::scale_of(&call.resource, &request.old_object);
        let whole = std::mem::replace(&mut request.old_object, old);
        let outcome = server.admission().validate(&context, request, &mut warnings).await;
        request.old_object = whole;
        outcome
    } else {
        request.object = std::mem::take(draft);
        let outcome = server.admission().validate(&context, request, &mut warnings).await;
        *draft = std::mem::take(&mut request.object);
        outcome
    };
    for warning in warnings {
        call.warn(warning);
    }
    outcome
}

/// Asks admission about what is no write of an object: an eviction, a binding, a request for a token. Returns it as admission
/// left it.
///
/// # Errors
/// Returns the refusal of the first that refuses.
pub(crate) async fn alone(call: &mut Call, mut body: Value, options: &WriteOptions) -> Result<Value> {
    let Some(mut request) = question(call, Operation::Create, options) else { return Ok(body) };
    let (api_version, kind) = (object::api_version(&body), object::kind(&body));
    if let Ok(gvk) = Gvk::from_object(api_version, kind) {
        request.kind = gvk;
    }
    if request.name.is_empty() {
        object::name(&body).clone_into(&mut request.name);
    }
    let (server, context) = (call.server.clone(), Context::new(&call.server, &call.resource));
    request.object = body;
    server.admission().mutate(&context, &mut request, &|_| Ok(()), &mut call.warnings).await?;
    body = request.object.clone();
    server.admission().validate(&context, &request, &mut call.warnings).await?;
    Ok(body)
}

/// Asks admission about the deletion of `old`.
///
/// # Errors
/// Returns the refusal of the first that refuses.
pub(crate) async fn delete(
    call: &mut Call,
    name: &str,
    old: &Value,
    dry_run: bool,
    sent: &Value,
) -> Result<()> {
    let options = WriteOptions { dry_run, ..WriteOptions::default() };
    let Some(mut request) = request(call, Operation::Delete, &options) else { return Ok(()) };
    self::name(&mut request, name);
    request.old_object = old.clone();
    if sent.is_object() {
        request.options = sent.clone();
    }
    request.options["kind"] = "DeleteOptions".into();
    request.options["apiVersion"] = "meta.k8s.io/v1".into();
    let mut nothing = Value::Null;
    mutate(call, &mut request, &strategy::of(&call.resource.clone()), &mut nothing).await?;
    validate(call, &mut request, &mut nothing).await
}
