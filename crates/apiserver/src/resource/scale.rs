//! The `scale` subresource: the count of a workload, whatever its kind.

use http::{Response, StatusCode};
use machinery::field::{FieldError, Path};
use machinery::object;
use machinery::selector::LabelSelector;
use machinery::status::Status;
use serde_json::{Value, json};

use super::decode::Decoded;
use super::ownership::Ownership;
use super::subresource::take;
use super::{Call, FieldValidation, WriteOptions, decode, metadata, patch, present, storage, write};
use crate::registry::Resource;
use crate::registry::kind::ScalePaths;
use crate::{Body, Result, audit};

/// Answers a get, update or patch of `scale`.
pub(crate) async fn answer(
    call: &mut Call,
    verb: &str,
    request_body: &mut Option<Body>,
) -> Result<Response<Body>> {
    let key = call.key();
    if verb == "get" {
        let found = storage::current(&call.server, &call.resource, &key).await?;
        let entry = found.ok_or_else(|| call.not_found(&key.name))?;
        let object = present::current(&call.server, &call.resource, &entry).await?;
        return present::value(call, StatusCode::OK, &scale_of(&call.resource, &object));
    }
    let kind = if verb == "patch" { "PatchOptions" } else { "UpdateOptions" };
    let body = take(request_body).await?;
    let media_type = decode::media_type(&call.headers);
    let options = WriteOptions::parse(&call.query, kind, media_type == "application/apply-patch+yaml")?;
    let sent = match verb {
        "patch" if media_type.contains("yaml") => decode::yaml(&body)?,
        "patch" => decode::json(&body)?,
        _ => {
            let decoded = decode::object(&call.headers, &body)?;
            let value = write::accept(call, decoded, options.validation)?;
            if !object::name(&value).is_empty() {
                metadata::check_name(object::name(&value), &key.name)?;
            }
            Decoded { value, duplicates: Vec::new() }
        }
    };
    let Decoded { value: sent, duplicates } = sent;
    audit::requested_change(&sent);
    let owner = Ownership::update(call);
    let patching = verb == "patch";
    let mut told = false;
    let outcome = write::update(call, &key, &options, &owner, |call, old| {
        let present = scale_of(&call.resource, old);
        let wanted = if patching {
            let patched = match media_type.as_str() {
                "application/json-patch+json" => machinery::patch::json::apply(&present, &sent),
                _ => machinery::patch::merge::apply(&present, &sent),
            };
            let patched = patched.map_err(|error| Box::new(error.status()))?;
            // Only the first attempt reports; the others find the same.
            let validation = if told { FieldValidation::Ignore } else { options.validation };
            told = true;
            patch::settle(call, patched, (old, &sent), duplicates.clone(), validation)?
        } else {
            sent.clone()
        };
        let version = object::resource_version(&wanted);
        let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or(0);
        if replicas < 0 {
            let detail = "must be greater than or equal to 0";
            let error = FieldError::invalid(Path::new("spec.replicas"), replicas, detail);
            let gvk = machinery::gvk::Gvk::new("autoscaling", "v1", "Scale");
            return Err(Status::invalid(&gvk, object::name(old), &[error]).into());
        }
        let mut changed = old.clone();
        if version.is_empty() {
            object::remove_meta(&mut changed, "resourceVersion");
        } else {
            object::set_meta(&mut changed, "resourceVersion", version);
        }
        set_replicas(&call.resource, &mut changed, replicas);
        Ok(changed)
    })
    .await?;
    let object = present::value_of(&call.resource, &outcome.entry)?;
    present::value(call, StatusCode::OK, &scale_of(&call.resource, &object))
}

/// Returns what is wrong with the counts that the scale of a custom object shows. Clients know them by the paths that the
/// definition names, dot included.
pub(super) fn check(resource: &Resource, object: &Value) -> Vec<FieldError> {
    resource.scale.as_ref().map(|scale| counts(scale, object)).unwrap_or_default()
}

fn counts(scale: &ScalePaths, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for written in [&scale.spec_replicas, &scale.status_replicas] {
        let path: Vec<&str> = written.trim_start_matches('.').split('.').collect();
        let Some(count) = object::i64_at(object, &path) else { continue };
        let rule = if count < 0 {
            "write a number of at least 0".to_owned()
        } else if count > i64::from(i32::MAX) {
            format!("write a number of at most {}", i32::MAX)
        } else {
            continue;
        };
        errors.push(FieldError::invalid(Path::new(&**written), count, rule));
    }
    errors
}

fn spec_path(resource: &Resource) -> String {
    let path = resource.scale.as_ref().map_or(".spec.replicas", |scale| &*scale.spec_replicas);
    path.trim_start_matches('.').to_owned()
}

/// Sets the count that an object's scale shows.
pub(super) fn set_replicas(resource: &Resource, object: &mut Value, replicas: i64) {
    let path = spec_path(resource);
    let path: Vec<&str> = path.split('.').collect();
    object::set_at(object, &path, replicas.into());
}

/// Returns an object's scale.
pub(super) fn scale_of(resource: &Resource, object: &Value) -> Value {
    let number = |path: &str| {
        let path: Vec<&str> = path.trim_start_matches('.').split('.').collect();
        object::i64_at(object, &path).unwrap_or(0)
    };
    let status_path = resource.scale.as_ref().map_or(".status.replicas", |scale| &*scale.status_replicas);
    let (wanted, observed) = (number(&spec_path(resource)), number(status_path));
    let selector = if let Some(scale) = &resource.scale {
        scale.label_selector.as_deref().map(|path| {
            let path: Vec<&str> = path.trim_start_matches('.').split('.').collect();
            object::str_at(object, &path).to_owned()
        })
    } else {
        let selector = &object["spec"]["selector"];
        let parsed = if selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some() {
            LabelSelector::from_object(selector).unwrap_or_default()
        } else {
            LabelSelector::from_map(selector)
        };
        Some(parsed.to_string())
    };
    let mut metadata = json!({"name": object::name(object)});
    for name in ["namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(name) {
            metadata[name] = value.clone();
        }
    }
    let mut spec = json!({});
    if wanted != 0 {
        spec["replicas"] = wanted.into();
    }
    let mut status = json!({"replicas": observed});
    if let Some(selector) = selector.filter(|selector| !selector.is_empty()) {
        status["selector"] = selector.into();
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_numbers_that_a_scale_can_show() {
        let scale = ScalePaths {
            spec_replicas: ".spec.size".into(),
            status_replicas: ".status.have".into(),
            label_selector: None,
        };
        let cases = [
            (json!({"spec": {"size": 3}, "status": {"have": 0}}), &[][..]),
            (json!({"spec": {}}), &[]),
            (json!({"spec": {"size": -1}}), &[".spec.size"]),
            (
                json!({"spec": {"size": 2_147_483_648_i64}, "status": {"have": -2}}),
                &[".spec.size", ".status.have"],
            ),
        ];
        for (object, paths) in cases {
            let errors = counts(&scale, &object);
            assert_eq!(errors.iter().map(|error| error.path.as_str()).collect::<Vec<_>>(), paths, "{object}");
        }
    }
}
