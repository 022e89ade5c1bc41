//! Rules for one version of a definition: its schema, columns, subresources and fields of selectors.

use machinery::field::{FieldError, Path};
use machinery::names;
use machinery::rules::field_at;
use serde_json::Value;

use super::super::text;

const COLUMN_FORMATS: [&str; 8] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
/// Most fields that selectors may name.
const SELECTABLE: usize = 8;

/// Checks one version's schema; `root` is where clients know it to be.
pub(super) fn schema(version: &Value, path: &Path, root: &Path, errors: &mut Vec<FieldError>) {
    let schema = &version["schema"]["openAPIV3Schema"];
    if schema.is_null() {
        errors.push(FieldError::required(path.child("schema").child("openAPIV3Schema"), ""));
        return;
    }
    errors
        .extend(crate::registry::schema::library().structural_errors(schema, &root.child("openAPIV3Schema")));
}

/// Checks the rest of a version. Clients know what a `single` version says as fields of the spec.
pub(super) fn rest(version: &Value, path: &Path, single: bool, errors: &mut Vec<FieldError>) {
    let name = text(version, &["name"]);
    for wrong in names::dns_1035_label(name) {
        if single {
            errors.push(FieldError::invalid(path.child("version"), name, wrong.clone()));
        }
        let path = if single { path.child("versions").index(0) } else { path.clone() };
        errors.push(FieldError::invalid(path.child("name"), name, wrong));
    }
    // Where the warning stands is not shared, also where there is one version only.
    let whole = if single { Path::new("spec.versions").index(0) } else { path.clone() };
    if let Some(warning) = version["deprecationWarning"].as_str() {
        let path = whole.child("deprecationWarning");
        for wrong in wrong_warning(warning, version["deprecated"] == true) {
            errors.push(FieldError::invalid(path.clone(), warning, wrong));
        }
    }
    for (index, column) in version["additionalPrinterColumns"].as_array().into_iter().flatten().enumerate() {
        let path = path.child("additionalPrinterColumns").index(index);
        let kind = text(column, &["type"]);
        if text(column, &["name"]).is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        }
        if kind.is_empty() {
            errors.push(FieldError::required(path.child("type"), ""));
        } else if !COLUMN_TYPES.contains(&kind) {
            let detail = format!("must be one of {}", COLUMN_TYPES.join(","));
            errors.push(FieldError::invalid(path.child("type"), kind, detail));
        }
        let format = text(column, &["format"]);
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.push(FieldError::invalid(path.child("format"), format, detail));
        }
        let json_path = text(column, &["jsonPath"]);
        if json_path.is_empty() {
            errors.push(FieldError::required(path.child("JSONPath"), ""));
        } else if !json_path.starts_with('.') {
            let detail = "must be a simple json path starting with .";
            errors.push(FieldError::invalid(path.child("JSONPath"), json_path, detail));
        }
    }
    selectable(version, &path.child("selectableFields"), errors);
    scale(&version["subresources"]["scale"], &path.child("subresources").child("scale"), errors);
}

/// What is wrong with words that go into a header of each answer.
fn wrong_warning(warning: &str, deprecated: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    if !deprecated {
        wrong.push("can only be set for deprecated versions".to_owned());
    }
    if warning.is_empty() {
        wrong.push("must not be empty".to_owned());
    }
    if warning.len() > 256 {
        wrong.push("must be <= 256 characters long".to_owned());
    }
    if let Some((at, _)) = warning.char_indices().find(|(_, c)| c.is_control()) {
        wrong.push(format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {at}"
        ));
    }
    wrong
}

fn selectable(version: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let schema = &version["schema"]["openAPIV3Schema"];
    let fields = version["selectableFields"].as_array().map_or(&[][..], Vec::as_slice);
    if fields.len() > SELECTABLE {
        errors.push(FieldError::too_many(path.clone(), fields.len(), SELECTABLE));
    }
    let mut seen = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let path = path.index(index).child("jsonPath");
        let written = text(field, &["jsonPath"]);
        if written.is_empty() {
            errors.push(FieldError::required(path, ""));
            continue;
        }
        let found = if written.contains('[') { None } else { field_at(schema, written) };
        let Some((normal, schema)) = found else {
            let detail = "is an invalid path: does not refer to a valid field";
            errors.push(FieldError::invalid(path, written, detail));
            continue;
        };
        if normal == "metadata" || normal.starts_with("metadata.") {
            errors.push(FieldError::invalid(path.clone(), written, "must not point to fields in metadata"));
        }
        if !matches!(text(schema, &["type"]), "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and \
                          strings with formats are allowed.";
            errors.push(FieldError::invalid(path.clone(), written, detail));
        }
        if seen.contains(&normal) {
            errors.push(FieldError::duplicate(path, written));
        }
        seen.push(normal);
    }
}

fn scale(scale: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if scale.is_null() {
        return;
    }
    for (field, prefix, required) in [
        ("specReplicasPath", ".spec.", true),
        ("statusReplicasPath", ".status.", true),
        ("labelSelectorPath", ".status.", false),
    ] {
        let value = text(scale, &[field]);
        if value.is_empty() {
            if required {
                errors.push(FieldError::required(path.child(field), ""));
            }
        } else if !(value.starts_with(prefix) || field == "labelSelectorPath" && value.starts_with(".spec."))
        {
            let detail = format!("should be a json path under {}", prefix.trim_end_matches('.'));
            errors.push(FieldError::invalid(path.child(field), value, detail));
        }
    }
}
