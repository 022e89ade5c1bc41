//! What a machine's specification amounts to, with everything that is filled in.

use api::kubevirt::v1::VirtualMachine;
use http::{Response, StatusCode};
use kube_ext::{Api, Key};
use machinery::field::FieldError;
use machinery::status::{Reason, Status};
use serde_json::Value;

use super::refusal::{Refusal, answer};
use super::route::Scope;
use super::{Body, Call, options};
use crate::schema;

/// Expands a machine that is there.
pub(super) async fn stored(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    call.machine().await?;
    let machine = Api::<VirtualMachine>::new(call.client).get(&Key::new(call.namespace, call.name)).await;
    expanded(call, machine.map_err(|error| Refusal::of_change(Scope::Machine, call.name, &error))?)
}

/// Expands a machine that the client sends.
pub(super) async fn sent(call: &Call<'_>, body: Body) -> Result<Response<Body>, Refusal> {
    let bytes = options::bytes(body).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::bad("empty request body: send the VirtualMachine to expand"));
    }
    let value: Value = options::parse(&bytes)
        .map_err(|why| Refusal::bad(format!("Can not unmarshal Request body to struct, error: {why}")))?;
    let wrong = schema::check("v1.VirtualMachine", &value);
    if !wrong.is_empty() {
        let sentences: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        let message = format!("Object is not a valid VirtualMachine: {}", sentences.join("; "));
        let causes = wrong.iter().map(FieldError::cause).collect();
        let mut status = Status::failure(Reason::BadRequest, message).with_causes(causes);
        status.code = StatusCode::BAD_REQUEST.as_u16();
        return Err(Refusal::Status(Box::new(status)));
    }
    let machine: VirtualMachine = serde_json::from_value(schema::without_nulls(&value))
        .map_err(|error| Refusal::bad(format!("the VirtualMachine cannot be read: {error}")))?;
    let namespace = machine.metadata.namespace.as_deref().unwrap_or_default();
    if !namespace.is_empty() && namespace != call.namespace {
        return Err(Refusal::bad(format!(
            "VM namespace must be empty or {}, the request's; it is {namespace}",
            call.namespace
        )));
    }
    expanded(call, machine)
}

fn expanded(call: &Call<'_>, mut machine: VirtualMachine) -> Result<Response<Body>, Refusal> {
    let matcher = [
        ("spec.instancetype", machine.spec.instancetype.is_some()),
        ("spec.preference", machine.spec.preference.is_some()),
    ];
    if let Some((field, _)) = matcher.into_iter().find(|(_, set)| *set) {
        return Err(Refusal::bad(format!(
            "{field} cannot be expanded: instance types and preferences are not honoured yet; \
             write what they stand for into spec.template"
        )));
    }
    model::defaults::vm(&mut machine, &call.admission.config(), None);
    let text = serde_json::to_string(&machine).map_err(Refusal::internal)?;
    Ok(answer(StatusCode::OK, "application/json", text))
}
