//! CustomResourceDefinitions: defaults, rules, and the first status.

mod conversion;
mod names;
mod version;

use machinery::field::{FieldError, Path};
use machinery::object;
use serde_json::{Value, json};

use super::{BASE, Strategy, set_default, text};
use crate::Result;
use crate::resource::Call;

pub(super) const STRATEGY: Strategy = Strategy { default, prepare_create, prepare_update, validate, ..BASE };

fn default(draft: &mut Value) {
    let Some(spec) = draft.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    let kind = text(spec, &["names", "kind"]).to_owned();
    if let Some(names) = spec.get_mut("names").filter(|names| names.is_object()) {
        if text(names, &["singular"]).is_empty() {
            names["singular"] = kind.to_lowercase().into();
        }
        if text(names, &["listKind"]).is_empty() {
            names["listKind"] = format!("{kind}List").into();
        }
    }
    set_default(spec, "conversion", json!({"strategy": "None"}));
    // Whoever empties the list does not unmake that objects are stored in the version of now.
    let is_empty = |status: &Value| status["storedVersions"].as_array().is_none_or(Vec::is_empty);
    if draft["status"].is_object() && is_empty(&draft["status"]) {
        draft["status"]["storedVersions"] = storage_versions(draft).into();
    }
}

fn prepare_create(_: &mut Call, draft: &mut Value) -> Result<()> {
    let stored: Vec<Value> = storage_versions(draft).into_iter().map(Value::from).collect();
    draft["status"] =
        json!({"conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored});
    Ok(())
}

/// A new storage version joins those that objects may be stored in.
fn prepare_update(_: &mut Call, draft: &mut Value, _: &Value) -> Result<()> {
    let storage = storage_versions(draft);
    if let Some(known) = draft.pointer_mut("/status/storedVersions").and_then(Value::as_array_mut) {
        for version in storage {
            if !known.iter().any(|known| *known == version) {
                known.push(version.into());
            }
        }
    }
    Ok(())
}

fn versions(object: &Value) -> impl Iterator<Item = &Value> {
    object["spec"]["versions"].as_array().into_iter().flatten()
}

fn storage_versions(object: &Value) -> Vec<String> {
    versions(object)
        .filter(|version| version["storage"] == true)
        .map(|version| text(version, &["name"]).to_owned())
        .collect()
}

fn validate(_: &Call, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = Path::new("spec");
    let (group, plural) = (text(object, &["spec", "group"]), text(object, &["spec", "names", "plural"]));
    let name = object::name(object);
    if name != format!("{plural}.{group}") && !group.is_empty() {
        let detail = format!("must be spec.names.plural+\".\"+spec.group, {plural}.{group}");
        errors.push(FieldError::invalid(Path::new("metadata.name"), name, detail));
    }
    if group.is_empty() {
        errors.push(FieldError::required(spec.child("group"), ""));
    } else if !group.contains('.') {
        let detail = "should be a domain with at least one dot";
        errors.push(FieldError::invalid(spec.child("group"), group, detail));
    }
    if old.is_none_or(|old| approval(old).is_none()) {
        errors.extend(approval(object));
    }
    let scope = text(object, &["spec", "scope"]);
    if scope.is_empty() {
        errors.push(FieldError::required(spec.child("scope"), ""));
    } else if !matches!(scope, "Namespaced" | "Cluster") {
        errors.push(FieldError::not_supported(spec.child("scope"), scope, ["Cluster", "Namespaced"]));
    }
    names::check(&object["spec"]["names"], &spec.child("names"), &mut errors);
    if object["spec"]["preserveUnknownFields"] == true {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid(spec.child("preserveUnknownFields"), true, detail));
    }
    if storage_versions(object).len() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(spec.child("versions"), object["spec"]["versions"].clone(), detail));
    }
    let unclear = old.is_none() && storage_versions(object).len() != 1;
    if unclear || object["status"]["storedVersions"].as_array().is_none_or(Vec::is_empty) {
        let stored = object["status"]["storedVersions"].clone();
        let detail = "must have the one storage version";
        errors.push(FieldError::invalid(Path::new("status.storedVersions"), stored, detail));
    }
    let mut seen = Vec::new();
    let single = versions(object).count() == 1;
    for (at, version) in versions(object).enumerate() {
        let path = spec.child("versions").index(at);
        let root = if single { spec.child("validation") } else { path.child("schema") };
        // A schema that was accepted once stays so, also where a later release asks for more.
        let before = old.and_then(|old| versions(old).find(|before| before["name"] == version["name"]));
        if before.is_none_or(|before| before["schema"] != version["schema"]) {
            version::schema(version, &path, &root, &mut errors);
        }
        // Clients know what all versions share (and a single version shares everything) as fields of the spec.
        version::rest(version, if single { &spec } else { &path }, single, &mut errors);
        let name = text(version, &["name"]);
        seen.push(name);
    }
    if (1..seen.len()).any(|at| seen[..at].contains(&seen[at])) {
        let given = object["spec"]["versions"].clone();
        errors.push(FieldError::invalid(spec.child("versions"), given, "must contain unique version names"));
    }
    conversion::check(&object["spec"]["conversion"], &mut errors);
    if let Some(old) = old {
        validate_change(object, old, &seen, &mut errors);
    }
    errors
}

/// Says that a definition in a group of Kubernetes itself lacks the approval that such a definition has.
fn approval(object: &Value) -> Option<FieldError> {
    const APPROVED: &str = "api-approved.kubernetes.io";
    let group = text(object, &["spec", "group"]);
    let ours =
        |domain: &str| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if !ours("k8s.io") && !ours("kubernetes.io") {
        return None;
    }
    let (path, given) = (
        Path::new("metadata.annotations").key(APPROVED),
        text(object, &["metadata", "annotations", APPROVED]),
    );
    let is_url =
        || given.parse::<http::Uri>().is_ok_and(|url| url.scheme().is_some() && url.host().is_some());
    if given.is_empty() {
        let detail = format!(
            "protected groups must have approval annotation {APPROVED:?}, see https://github.com/kubernetes/enhancements/pull/1111"
        );
        return Some(FieldError::required(path, detail));
    }
    let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111";
    (!given.starts_with("unapproved") && !is_url()).then(|| FieldError::invalid(path, given, detail))
}

fn validate_change(object: &Value, old: &Value, versions: &[&str], errors: &mut Vec<FieldError>) {
    for path in
        [&["spec", "group"][..], &["spec", "scope"], &["spec", "names", "plural"], &["spec", "names", "kind"]]
    {
        let (now, before) = (text(object, path), text(old, path));
        if now != before {
            if matches!(path.last(), Some(&("plural" | "group"))) {
                // The name is bound to both, so the first complaint would only confuse.
                errors.retain(|error| error.path.as_str() != "metadata.name");
            }
            errors.push(FieldError::invalid(Path::new(path.join(".")), now, "field is immutable"));
        }
    }
    let stored = object["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
    for (at, version) in stored.iter().enumerate() {
        let version = version.as_str().unwrap_or_default();
        if !versions.contains(&version) {
            let detail = format!(
                "missing from spec.versions; {version} was a storage version: migrate what is stored in it, and remove it from status.storedVersions first"
            );
            errors.push(FieldError::invalid(Path::new("status.storedVersions").index(at), version, detail));
        }
    }
}
