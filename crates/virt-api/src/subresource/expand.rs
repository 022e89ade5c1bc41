//! What a machine's specification amounts to, with everything that is filled in.

use api::kubevirt::v1::VirtualMachine;
use http::{Response, StatusCode};
use kube_ext::{Api, Key};
use machinery::field::{FieldError, Path};
use machinery::status::{Reason, Status};
use model::instancetype;
use serde_json::Value;

use super::refusal::{Refusal, answer};
use super::route::Scope;
use super::{Body, Call, options};
use crate::{named, schema};

/// Expands a machine that is there.
pub(super) async fn stored(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    call.machine().await?;
    let machine = Api::<VirtualMachine>::new(call.client).get(&Key::new(call.namespace, call.name)).await;
    expanded(call, machine.map_err(|error| Refusal::of_change(Scope::Machine, call.name, &error))?).await
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
    expanded(call, machine).await
}

async fn expanded(call: &Call<'_>, mut machine: VirtualMachine) -> Result<Response<Body>, Refusal> {
    let bad = |errors: &[FieldError]| {
        let sentences: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Refusal::bad(sentences.join("; "))
    };
    let matchers = model::validation::vm_matchers(&machine);
    if !matchers.is_empty() {
        return Err(bad(&matchers));
    }
    let config = call.admission.config();
    let lookup = call.admission.lookup();
    let found = match named::infer(lookup, call.namespace, &mut machine).await {
        Ok(()) => named::of(lookup, call.namespace, &machine).await,
        Err(error) => Err(error),
    };
    let found = found.map_err(|error| bad(&[*error]))?;
    if let Some(matcher) = found.missing.first() {
        return Err(Refusal::bad(format!(
            "spec.{} cannot be expanded: the {} {:?} does not exist",
            matcher.field, matcher.kind, matcher.name
        )));
    }
    if let Some(preference) = &found.specs.preference {
        model::defaults::preferred(&mut machine, preference);
    }
    model::defaults::vm(&mut machine, &config, None);
    if !found.specs.is_empty() {
        machine = instancetype::expand(&machine, &found.specs, &config).map_err(|conflicts| {
            let fields: Vec<&str> = conflicts.iter().map(Path::as_str).collect();
            let fields = fields.join(", ");
            Refusal::bad(format!("the instance type decides {fields}: remove what the machine says of it"))
        })?;
    }
    let text = serde_json::to_string(&machine).map_err(Refusal::internal)?;
    Ok(answer(StatusCode::OK, "application/json", text))
}
