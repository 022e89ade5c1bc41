//! Patching an object: JSON patch, merge patch, strategic merge patch, and apply.

use bytes::Bytes;
use http::Response;
use machinery::field::{FieldError, Path};
use machinery::object;
use machinery::patch::{self, PatchError};
use machinery::status::{Details, Reason, Status};
use serde_json::Value;

use super::decode::Decoded;
use super::ownership::Ownership;
use super::{Call, FieldValidation, WriteOptions, apply, decode, present, write, written};
use crate::{Body, Result, audit};

/// The kinds of patch, by media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

fn kind(call: &Call) -> Result<PatchKind> {
    match decode::media_type(&call.headers).as_str() {
        "application/json-patch+json" => Ok(PatchKind::Json),
        "application/merge-patch+json" => Ok(PatchKind::Merge),
        "application/strategic-merge-patch+json" if !call.resource.custom => Ok(PatchKind::Strategic),
        "application/apply-patch+yaml" => Ok(PatchKind::Apply),
        _ => {
            let message = "a patch must be of type application/json-patch+json, application/merge-patch+json, \
                application/strategic-merge-patch+json (built-in kinds) or application/apply-patch+yaml";
            let status = Status::failure(Reason::UnsupportedMediaType, message);
            Err(status.with_details(Details::default()).into())
        }
    }
}

/// Answers a patch.
pub(crate) async fn patch(call: &mut Call, body: &Bytes) -> Result<Response<Body>> {
    let kind = kind(call)?;
    let options = WriteOptions::parse(&call.query, "PatchOptions", kind == PatchKind::Apply)?;
    if kind == PatchKind::Apply {
        return apply::apply(call, body, &options).await;
    }
    let Decoded { value: patch, duplicates } = decode::json(body)?;
    audit::requested_change(&patch);
    let owner = Ownership::update(call);
    let key = call.key();
    let mut told = false;
    let outcome = write::update(call, &key, &options, &owner, |call, old| {
        let patched = patched(call, kind, old, &patch)?;
        // Only the first attempt reports; the others find the same.
        let validation = if told { FieldValidation::Ignore } else { options.validation };
        told = true;
        settle(call, patched, (old, &patch), duplicates.clone(), validation)
    })
    .await?;
    present::object(call, written(outcome.created), &outcome.entry)
}

fn patched(call: &Call, kind: PatchKind, old: &Value, patch: &Value) -> Result<Value> {
    let outcome = match kind {
        PatchKind::Json => patch::json::apply(old, patch),
        PatchKind::Merge => patch::merge::apply(old, patch),
        PatchKind::Strategic | PatchKind::Apply => {
            patch::strategic::apply(call.resource.schema.schema(), old, patch)
        }
    };
    outcome.map_err(|error: PatchError| Box::new(error.status()))
}

/// Checks a patched object as if it had been sent whole.
pub(super) fn settle(
    call: &mut Call,
    mut patched: Value,
    (old, patch): (&Value, &Value),
    duplicates: Vec<String>,
    validation: FieldValidation,
) -> Result<Value> {
    let gvk = write::body_kind(call);
    if object::kind(&patched) != gvk.kind || object::api_version(&patched) != gvk.api_version() {
        let found = (object::api_version(&patched), object::kind(&patched));
        return Err(Status::bad_request(format!(
            "a patch cannot change apiVersion and kind; they became {found:?}"
        ))
        .into());
    }
    let resource = std::sync::Arc::clone(&call.resource);
    let settled = write::body_schema(&resource, &gvk).map(|schema| schema.settle(&mut patched));
    let unknown = settled.unwrap_or_else(|| Ok(Vec::new())).map_err(|why| {
        let shown = patch.to_string();
        Status::invalid(&gvk, object::name(old), &[FieldError::invalid(Path::new("patch"), shown, why)])
    })?;
    write::strict(call, &gvk, duplicates, unknown, validation)?;
    Ok(patched)
}
