//! ConfigMaps, Secrets and RBAC objects.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::{Map, Value};

use super::{BASE, Strategy, items_mut, text};
use crate::Result;
use crate::resource::Call;

/// The data of one ConfigMap or Secret may not be longer, in bytes.
const MAX: usize = 1 << 20;

pub(super) const CONFIG_MAP: Strategy = Strategy { validate: validate_config_map, ..BASE };
pub(super) const SECRET: Strategy = Strategy {
    prepare_create: encode,
    prepare_update: |call, draft, _| encode(call, draft),
    validate: validate_secret,
    ..BASE
};

fn entries<'a>(object: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object.get(name).and_then(Value::as_object).into_iter().flatten()
}

fn validate_config_map(_: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for part in ["data", "binaryData"] {
        for (key, value) in entries(object, part) {
            size += value.as_str().map_or(0, str::len);
            keys(part, key, &mut errors);
        }
    }
    for (key, _) in
        entries(object, "data").filter(|(key, _)| object["binaryData"].get(key.as_str()).is_some())
    {
        errors.push(FieldError::invalid(
            Path::new("data").key(key),
            key.as_str(),
            "duplicate of key present in binaryData",
        ));
    }
    if size > MAX {
        errors.push(FieldError::too_long(Path::new("[]"), MAX));
    }
    immutable(object, old, &["data", "binaryData"], &mut errors);
    errors
}

fn keys(part: &str, key: &str, errors: &mut Vec<FieldError>) {
    for wrong in names::config_key(key) {
        errors.push(FieldError::invalid(Path::new(part).key(key), key, wrong));
    }
}

/// Once marked immutable, neither data nor mark change.
fn immutable(object: &Value, old: Option<&Value>, parts: &[&str], errors: &mut Vec<FieldError>) {
    let Some(old) = old.filter(|old| old["immutable"] == true) else { return };
    if object["immutable"] != true {
        errors.push(FieldError::forbidden(
            Path::new("immutable"),
            "field is immutable when `immutable` is set",
        ));
    }
    for part in parts {
        if object.get(*part) != old.get(*part) {
            errors
                .push(FieldError::forbidden(Path::new(*part), "field is immutable when `immutable` is set"));
        }
    }
}

/// Moves `stringData` into `data`.
fn encode(_: &mut Call, draft: &mut Value) -> Result<()> {
    let Some(fields) = draft.as_object_mut() else { return Ok(()) };
    let Some(Value::Object(texts)) = fields.shift_remove("stringData") else { return Ok(()) };
    let data = fields.entry("data").or_insert_with(|| Value::Object(Map::new()));
    for (key, value) in texts {
        data[&key] = STANDARD.encode(value.as_str().unwrap_or_default()).into();
    }
    Ok(())
}

fn validate_secret(_: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in entries(object, "data") {
        size += value.as_str().map_or(0, |text| text.len() / 4 * 3);
        keys("data", key, &mut errors);
    }
    if size > MAX {
        errors.push(FieldError::too_long(Path::new("data"), MAX));
    }
    let kind = text(object, &["type"]);
    if old.is_some_and(|old| text(old, &["type"]) != kind) {
        errors.push(FieldError::invalid(Path::new("type"), kind, "field is immutable"));
    }
    let required: &[&str] = match kind {
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        _ => &[],
    };
    for key in required {
        match object["data"].get(*key).and_then(Value::as_str) {
            None => errors.push(FieldError::required(Path::new("data").key(key), "")),
            Some(value) if kind.contains("docker") => {
                let decoded = STANDARD.decode(value).unwrap_or_default();
                if serde_json::from_slice::<Map<String, Value>>(&decoded).is_err() {
                    let detail = "must be a JSON object";
                    errors.push(FieldError::invalid(
                        Path::new("data").key(key),
                        "<secret contents redacted>",
                        detail,
                    ));
                }
            }
            Some(_) => {}
        }
    }
    if kind == "kubernetes.io/basic-auth"
        && ["username", "password"].iter().all(|key| object["data"].get(*key).is_none())
    {
        for key in ["username", "password"] {
            errors.push(FieldError::required(Path::new("data").key(key), ""));
        }
    }
    immutable(object, old, &["data"], &mut errors);
    errors
}

/// RBAC objects: any path segment is a name; a binding's role never changes.
pub(super) fn rbac(plural: &str) -> Strategy {
    let base = Strategy { name: names::path_segment, ..BASE };
    match plural {
        "rolebindings" | "clusterrolebindings" => {
            Strategy { default: default_subjects, validate: validate_binding, ..base }
        }
        "roles" => Strategy { default: default_rules, validate: validate_role, ..base },
        _ => Strategy { default: default_rules, validate: validate_cluster_role, ..base },
    }
}

/// The rules of a role are shown even when there are none.
fn default_rules(draft: &mut Value) {
    super::set_default(draft, "rules", Value::Null);
}

fn default_subjects(draft: &mut Value) {
    if text(draft, &["roleRef", "apiGroup"]).is_empty() {
        draft["roleRef"]["apiGroup"] = "rbac.authorization.k8s.io".into();
    }
    for subject in items_mut(draft, "subjects") {
        let is_user = matches!(text(subject, &["kind"]), "User" | "Group");
        if is_user && text(subject, &["apiGroup"]).is_empty() {
            subject["apiGroup"] = "rbac.authorization.k8s.io".into();
        }
    }
}

fn validate_binding(call: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let role = Path::new("roleRef");
    let kind = text(object, &["roleRef", "kind"]);
    let supported: &[&str] =
        if call.resource.namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if text(object, &["roleRef", "apiGroup"]) != "rbac.authorization.k8s.io" {
        let value = text(object, &["roleRef", "apiGroup"]);
        errors.push(FieldError::not_supported(role.child("apiGroup"), value, ["rbac.authorization.k8s.io"]));
    }
    if !supported.contains(&kind) {
        errors.push(FieldError::not_supported(role.child("kind"), kind, supported.iter().copied()));
    }
    match text(object, &["roleRef", "name"]) {
        "" => errors.push(FieldError::required(role.child("name"), "")),
        name => {
            for wrong in names::path_segment(name) {
                errors.push(FieldError::invalid(role.child("name"), name, wrong));
            }
        }
    }
    for (at, subject) in object["subjects"].as_array().into_iter().flatten().enumerate() {
        validate_subject(call, subject, &Path::new("subjects").index(at), &mut errors);
    }
    if old.is_some_and(|old| old["roleRef"] != object["roleRef"]) {
        errors.push(FieldError::invalid(role, object["roleRef"].clone(), "cannot change roleRef"));
    }
    errors
}

fn validate_subject(call: &Call, subject: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let name = text(subject, &["name"]);
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name"), ""));
    }
    let group = text(subject, &["apiGroup"]);
    match text(subject, &["kind"]) {
        "ServiceAccount" => {
            if !name.is_empty() {
                for wrong in names::dns_subdomain(name) {
                    errors.push(FieldError::invalid(path.child("name"), name, wrong));
                }
            }
            if !group.is_empty() {
                errors.push(FieldError::not_supported(path.child("apiGroup"), group, [""]));
            }
            if text(subject, &["namespace"]).is_empty() && !call.resource.namespaced {
                errors.push(FieldError::required(path.child("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != "rbac.authorization.k8s.io" {
                errors.push(FieldError::not_supported(
                    path.child("apiGroup"),
                    group,
                    ["rbac.authorization.k8s.io"],
                ));
            }
        }
        kind => errors.push(FieldError::not_supported(
            path.child("kind"),
            kind,
            ["ServiceAccount", "User", "Group"],
        )),
    }
}

fn validate_role(_: &Call, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (at, rule) in object["rules"].as_array().into_iter().flatten().enumerate() {
        validate_rule(rule, &Path::new("rules").index(at), true, &mut errors);
    }
    errors
}

fn validate_cluster_role(_: &Call, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (at, rule) in object["rules"].as_array().into_iter().flatten().enumerate() {
        validate_rule(rule, &Path::new("rules").index(at), false, &mut errors);
    }
    errors
}

fn validate_rule(rule: &Value, path: &Path, namespaced: bool, errors: &mut Vec<FieldError>) {
    let empty = |name: &str| rule[name].as_array().is_none_or(Vec::is_empty);
    if empty("verbs") {
        errors.push(FieldError::required(path.child("verbs"), "verbs must contain at least one value"));
    }
    if !empty("nonResourceURLs") {
        if namespaced {
            let detail = "namespaced rules cannot apply to non-resource URLs";
            errors.push(FieldError::invalid(
                path.child("nonResourceURLs"),
                rule["nonResourceURLs"].clone(),
                detail,
            ));
        }
        if !(empty("apiGroups") && empty("resources") && empty("resourceNames")) {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(
                path.child("nonResourceURLs"),
                rule["nonResourceURLs"].clone(),
                detail,
            ));
        }
        return;
    }
    if empty("apiGroups") {
        errors.push(FieldError::required(
            path.child("apiGroups"),
            "resource rules must supply at least one api group",
        ));
    }
    if empty("resources") {
        errors.push(FieldError::required(
            path.child("resources"),
            "resource rules must supply at least one resource",
        ));
    }
}
