//! CustomResourceDefinitions: defaults, rules, and the first status.

mod conversion;
mod version;

use machinery::field::{FieldError, Path};
use machinery::names;
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
    let scope = text(object, &["spec", "scope"]);
    if !matches!(scope, "Namespaced" | "Cluster") {
        errors.push(FieldError::not_supported(spec.child("scope"), scope, ["Cluster", "Namespaced"]));
    }
    validate_names(object, &spec.child("names"), &mut errors);
    if object["spec"]["preserveUnknownFields"] == true {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid(spec.child("preserveUnknownFields"), true, detail));
    }
    if storage_versions(object).len() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(spec.child("versions"), object["spec"]["versions"].clone(), detail));
        let stored = object["status"]["storedVersions"].clone();
        errors.push(FieldError::invalid(
            Path::new("status.storedVersions"),
            stored,
            "must have the one storage version",
        ));
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
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
        seen.push(name);
    }
    conversion::check(&object["spec"]["conversion"], &mut errors);
    if let Some(old) = old {
        validate_change(object, old, &seen, &mut errors);
    }
    errors
}

fn validate_names(object: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for field in ["plural", "singular", "kind", "listKind"] {
        let value = text(object, &["spec", "names", field]);
        if value.is_empty() {
            errors.push(FieldError::required(path.child(field), ""));
            continue;
        }
        for wrong in names::dns_1035_label(&value.to_lowercase()) {
            errors.push(FieldError::invalid(path.child(field), value, wrong));
        }
    }
    let kind = text(object, &["spec", "names", "kind"]);
    if !kind.is_empty() && kind == text(object, &["spec", "names", "listKind"]) {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(path.child("listKind"), kind, detail));
    }
}

fn validate_change(object: &Value, old: &Value, versions: &[&str], errors: &mut Vec<FieldError>) {
    for path in
        [&["spec", "group"][..], &["spec", "scope"], &["spec", "names", "plural"], &["spec", "names", "kind"]]
    {
        let (now, before) = (text(object, path), text(old, path));
        if now != before {
            if path.last() == Some(&"plural") {
                // The name is bound to the plural, so the first complaint would only confuse.
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
