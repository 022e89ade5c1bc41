//! What a webhook answers, checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::admission::Response;
use machinery::status::Status;
use serde_json::Value;

use crate::Refusal;
use crate::admission::chain::denial;

/// A webhook's answer.
#[derive(Debug)]
pub(super) struct Verdict {
    /// The refusal, if it denies.
    pub(super) denial: Option<Refusal>,
    /// Operations of a JSON patch.
    pub(super) patch: Option<Value>,
    /// Sentences for the client.
    pub(super) warnings: Vec<String>,
    /// Facts for the audit log, keys beginning with the webhook's name.
    pub(super) annotations: Vec<(String, String)>,
}

/// Reads the answer to the question `uid`.
///
/// # Errors
/// Says what is no answer in it.
pub(super) fn read(
    body: &[u8],
    version: &str,
    uid: &str,
    mutating: bool,
    name: &str,
) -> Result<Verdict, String> {
    let invalid = |why: String| format!("received invalid webhook response: {why}");
    let review: Value =
        serde_json::from_slice(body).map_err(|error| invalid(format!("not JSON: {error}")))?;
    let text = |field: &str| review[field].as_str().unwrap_or_default();
    let wanted = format!("admission.k8s.io/{version}");
    let strict = version == "v1";
    if strict && (text("apiVersion"), text("kind")) != (wanted.as_str(), "AdmissionReview") {
        let found = (text("apiVersion"), text("kind"));
        return Err(invalid(format!(
            "expected webhook response of {wanted}, Kind=AdmissionReview, got {}, Kind={}",
            found.0, found.1
        )));
    }
    let raw = &review["response"];
    if raw.is_null() {
        return Err(invalid("webhook response was absent".to_owned()));
    }
    let response: Response =
        serde_json::from_value(with_status(raw)).map_err(|error| invalid(error.to_string()))?;
    if strict && response.uid != uid {
        return Err(invalid(format!("expected response.uid={uid:?}, got {:?}", response.uid)));
    }
    let patch = patch(&response, strict, mutating).map_err(invalid)?;
    let annotations = raw["auditAnnotations"].as_object().into_iter().flatten();
    let annotations = annotations
        .map(|(key, value)| (format!("{name}/{key}"), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    let denied = (!response.allowed)
        .then(|| denial(name, response.status.clone().unwrap_or_else(Status::success)).into());
    Ok(Verdict { denial: denied, patch, warnings: response.warnings, annotations })
}

/// Fields that may be null in JSON are left out instead.
fn with_status(raw: &Value) -> Value {
    let mut raw = raw.clone();
    if let Some(fields) = raw.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
        if let Some(Value::Object(status)) = fields.get_mut("status") {
            status.retain(|_, value| !value.is_null());
        }
    }
    raw
}

fn patch(response: &Response, strict: bool, mutating: bool) -> Result<Option<Value>, String> {
    let given = response.patch.as_deref().filter(|patch| !patch.is_empty());
    let kind = response.patch_type.as_deref();
    if !mutating {
        return match (given, kind) {
            _ if !strict => Ok(None),
            (Some(_), _) => Err("validating webhook may not return response.patch".to_owned()),
            (_, Some(_)) => Err("validating webhook may not return response.patchType".to_owned()),
            (None, None) => Ok(None),
        };
    }
    match (given, kind) {
        (Some(_), None) if strict => {
            Err("webhook returned response.patch but not response.patchType".to_owned())
        }
        (None, Some(_)) if strict => {
            Err("webhook returned response.patchType but not response.patch".to_owned())
        }
        (None, _) => Ok(None),
        (Some(_), Some(kind)) if kind != "JSONPatch" => {
            Err(format!("webhook returned invalid response.patchType of {kind:?}"))
        }
        (Some(patch), _) => {
            let bytes =
                STANDARD.decode(patch).map_err(|error| format!("response.patch is not base64: {error}"))?;
            serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| format!("response.patch is not JSON: {error}"))
        }
    }
}
