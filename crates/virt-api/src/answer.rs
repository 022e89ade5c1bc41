//! Words answers: refusals with their causes, changes as JSON patches.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::admission::{Request, Response};
use machinery::field::FieldError;
use machinery::status::{Cause, Reason, Status};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::schema;

/// Allows, or refuses for the errors.
pub(crate) fn judge(request: &Request, errors: &[FieldError]) -> Response {
    if errors.is_empty() { Response::allow(request.uid.clone()) } else { refuse(request, causes(errors)) }
}

/// Refuses an object for what is wrong with it.
pub(crate) fn refuse(request: &Request, causes: Vec<Cause>) -> Response {
    let sentences: Vec<String> = causes
        .iter()
        .map(|cause| {
            if cause.field.is_empty() {
                cause.message.clone()
            } else {
                format!("{}: {}", cause.field, cause.message)
            }
        })
        .collect();
    let status = Status::failure(Reason::Invalid, sentences.join("; ")).with_causes(causes);
    Response::deny(request.uid.clone(), status)
}

/// Allows, with what changed between the request's object and `object`.
///
/// Only `metadata`, `spec` and `status` are looked at.
pub(crate) fn changed(request: &Request, object: &Value) -> Response {
    let mut patch = Vec::new();
    for part in ["metadata", "spec", "status"] {
        let (old, new) = (request.object.get(part), object.get(part));
        match (old, new) {
            (old, Some(new)) if old != Some(new) => {
                patch.push(json!({"op": "add", "path": format!("/{part}"), "value": new}));
            }
            (Some(_), None) => patch.push(json!({"op": "remove", "path": format!("/{part}")})),
            _ => {}
        }
    }
    let mut response = Response::allow(request.uid.clone());
    if !patch.is_empty() {
        response.patch = Some(STANDARD.encode(Value::from(patch).to_string()));
        response.patch_type = Some("JSONPatch".to_owned());
    }
    response
}

/// Refuses what cannot be understood.
pub(crate) fn bad_request(request: &Request, message: impl Into<String>) -> Response {
    Response::deny(request.uid.clone(), Status::unexplained(Reason::BadRequest.code(), message))
}

/// Reads an object that was held to its schema.
///
/// What the schema cannot tell (an amount that is none, a number out of range) is refused as a bad request.
pub(crate) fn read<T: DeserializeOwned>(request: &Request, object: &Value) -> Result<T, Box<Response>> {
    let bad = |message: String| Box::new(bad_request(request, message));
    let definition = definition(request);
    if let Some(sentence) = schema::bad_amount(definition, object) {
        return Err(bad(sentence));
    }
    let object = schema::without_nulls(object);
    let error = match serde_json::from_value(object.clone()) {
        Ok(read) => return Ok(read),
        Err(error) => error.to_string(),
    };
    let reads = |object: &Value| {
        serde_json::from_value::<T>(object.clone()).map_or_else(|e| e.to_string() != error, |_| true)
    };
    let kind = &request.kind.kind;
    Err(bad(schema::number_out_of_range(&object, reads)
        .unwrap_or_else(|| format!("the {kind} cannot be read: {error}"))))
}

/// Holds the request's object to the schema of its kind.
///
/// The reference tells of these errors in words alone: its causes have neither reason nor field. The words name the field.
pub(crate) fn hold_to_schema(request: &Request) -> Result<(), Box<Response>> {
    let errors = schema::check(definition(request), &request.object);
    if errors.is_empty() {
        return Ok(());
    }
    let causes = errors.iter().map(|error| Cause { message: error.to_string(), ..Cause::default() });
    Err(Box::new(refuse(request, causes.collect())))
}

/// Returns the name of the definition of the request's kind.
fn definition(request: &Request) -> &'static str {
    api::facts::kind(&request.kind.kind).map(|kind| kind.definition).unwrap_or_default()
}

fn causes(errors: &[FieldError]) -> Vec<Cause> {
    errors
        .iter()
        .map(|error| Cause {
            reason: error.problem.reason().to_owned(),
            message: error.message(),
            field: error.path.as_str().to_owned(),
        })
        .collect()
}
