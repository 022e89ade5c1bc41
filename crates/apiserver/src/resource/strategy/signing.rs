//! Requests for certificates: who asks is written down, who approves and who signs must be allowed to for the signer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::field::{FieldError, Path};
use machinery::object;
use machinery::status::Status;
use serde_json::{Value, json};

use super::{BASE, Strategy, copy, text};
use crate::Result;
use crate::auth::attributes::Attributes;
use crate::auth::identity::MASTERS;
use crate::resource::Call;
use crate::resource::metadata::timestamp;

const GROUP: &str = "certificates.k8s.io";
/// The signer whose certificates the API server takes for users.
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// Conditions that only who approves sets.
const VERDICTS: [&str; 2] = ["Approved", "Denied"];
/// Conditions that never go again.
const FINAL: [&str; 3] = ["Approved", "Denied", "Failed"];

pub(super) const STRATEGY: Strategy =
    Strategy { name: |_| Vec::new(), prepare_create, prepare_update, validate, admit, ..BASE };

/// Writes down who asks, whatever they say of themselves.
fn prepare_create(call: &mut Call, draft: &mut Value) -> Result<()> {
    let user = &call.user;
    let Some(spec) = draft.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
    for name in ["username", "uid", "groups", "extra"] {
        spec.shift_remove(name);
    }
    spec.insert("username".to_owned(), user.username.as_str().into());
    if !user.uid.is_empty() {
        spec.insert("uid".to_owned(), user.uid.as_str().into());
    }
    if !user.groups.is_empty() {
        spec.insert("groups".to_owned(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        spec.insert("extra".to_owned(), json!(user.extra));
    }
    Ok(())
}

/// A request stays what it was; an approval leaves the certificate alone.
fn prepare_update(call: &mut Call, draft: &mut Value, old: &Value) -> Result<()> {
    copy(draft, old, "spec");
    match call.sub() {
        "approval" => copy(&mut draft["status"], &old["status"], "certificate"),
        "status" => {}
        _ => return Ok(()),
    }
    let now = timestamp(call);
    for condition in super::items_mut(&mut draft["status"], "conditions") {
        if condition["lastUpdateTime"].is_null() {
            condition["lastUpdateTime"] = now.as_str().into();
        }
        if condition["lastTransitionTime"].is_null() {
            let mut before = conditions(old).filter(|before| before["type"] == condition["type"]);
            let since = before.find(|before| before["status"] == condition["status"]);
            let since = since.map(|before| before["lastTransitionTime"].clone());
            condition["lastTransitionTime"] =
                since.filter(|since| !since.is_null()).unwrap_or_else(|| now.as_str().into());
        }
    }
    Ok(())
}

fn conditions(request: &Value) -> impl Iterator<Item = &Value> {
    request["status"]["conditions"].as_array().into_iter().flatten()
}

fn validate(call: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::new("spec.request");
    if let Err(wrong) = parse(object) {
        errors.push(FieldError::invalid(path, object["spec"]["request"].clone(), wrong));
    }
    judge_conditions(object, &mut errors);
    let certificate = text(object, &["status", "certificate"]);
    if !certificate.is_empty() && !is_certificate(certificate) {
        let detail = "must be one or more CERTIFICATE PEM blocks, without headers, each with a certificate";
        let path = Path::new("status.certificate");
        errors.push(FieldError::invalid(path, "<certificate data>", detail));
    }
    if let Some(old) = old {
        judge_change(call.sub(), object, old, &mut errors);
    }
    errors
}

/// Reads what is to be signed.
fn parse(object: &Value) -> Result<certs::CertificateRequest, String> {
    let sent = STANDARD.decode(text(object, &["spec", "request"])).unwrap_or_default();
    certs::CertificateRequest::read(&sent).map_err(|error| error.to_string())
}

fn is_certificate(encoded: &str) -> bool {
    STANDARD.decode(encoded).is_ok_and(|pem| certs::is_certificate_chain(&pem))
}

fn judge_conditions(object: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("status.conditions");
    let mut seen: Vec<&str> = Vec::new();
    for (at, condition) in conditions(object).enumerate() {
        let (path, kind) = (path.index(at), text(condition, &["type"]));
        if kind.is_empty() {
            errors.push(FieldError::required(path.child("type"), ""));
        }
        let words: &[&str] = if FINAL.contains(&kind) { &["True"] } else { &["False", "True", "Unknown"] };
        match text(condition, &["status"]) {
            "" => errors.push(FieldError::required(path.child("status"), "")),
            status if !words.contains(&status) => {
                errors.push(FieldError::not_supported(path.child("status"), status, words.iter().copied()));
            }
            _ => {}
        }
        let other = VERDICTS.into_iter().find(|verdict| *verdict != kind && seen.contains(verdict));
        if VERDICTS.contains(&kind) && other.is_some() {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(path.child("type"), kind, detail));
        }
        if seen.contains(&kind) {
            errors.push(FieldError::duplicate(path.child("type"), kind));
        }
        seen.push(kind);
    }
}

/// Judges what a request to this subresource may change.
fn judge_change(sub: &str, object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("status.conditions");
    for kind in FINAL {
        let of = |request: &Value| -> Vec<Value> {
            conditions(request).filter(|condition| condition["type"] == kind).cloned().collect()
        };
        let (now, before) = (of(object), of(old));
        let set_here = sub == "approval" || !VERDICTS.contains(&kind);
        let detail = match now.len().cmp(&before.len()) {
            std::cmp::Ordering::Less => format!("updates may not remove a condition of type {kind:?}"),
            std::cmp::Ordering::Greater if !set_here => {
                format!("updates may not add a condition of type {kind:?}; the subresource approval may")
            }
            _ if !set_here && now != before => {
                format!("updates may not modify a condition of type {kind:?}; the subresource approval may")
            }
            _ => continue,
        };
        errors.push(FieldError::forbidden(path.clone(), detail));
    }
    let (now, before) = (&object["status"]["certificate"], &old["status"]["certificate"]);
    if now != before {
        let path = Path::new("status.certificate");
        if sub != "status" {
            errors.push(FieldError::forbidden(path, "updates may not set certificate content"));
        } else if !before.is_null() {
            errors.push(FieldError::forbidden(path, "updates may not modify existing certificate content"));
        }
    }
}

/// Whoever approves or signs must have been given that right for the signer; and nobody becomes an administrator of
/// everything by a certificate.
fn admit(call: &Call, draft: &Value, old: Option<&Value>) -> Result<()> {
    let refuse = |why: String| Err(Status::forbidden(&call.resource.gvr(), object::name(draft), why).into());
    let Some(old) = old else {
        let masters = text(draft, &["spec", "signerName"]) == CLIENT_SIGNER
            && parse(draft).is_ok_and(|asked| asked.organizations.iter().any(|group| group == MASTERS));
        return if masters {
            refuse(format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"))
        } else {
            Ok(())
        };
    };
    let changed = |field: &str| draft["status"][field] != old["status"][field];
    let verb = match call.sub() {
        "approval" => "approve",
        "status" if changed("certificate") || changed("conditions") => "sign",
        _ => return Ok(()),
    };
    let signer = text(old, &["spec", "signerName"]);
    if may(call, verb, signer) {
        return Ok(());
    }
    refuse(format!("user not permitted to {verb} requests with signerName {signer:?}"))
}

/// Whether the user has a right for this signer, or for all of its domain.
fn may(call: &Call, verb: &str, signer: &str) -> bool {
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    [signer.to_owned(), format!("{domain}/*")].iter().any(|name| {
        let attributes =
            Attributes { verb, group: GROUP, resource: "signers", name, ..Attributes::default() };
        call.server.auth().decide(&call.server, &call.user, &attributes).allowed
    })
}
