//! Holds an object to the schema of its kind: unknown fields, wrong types, missing and impossible values.

use api::facts::{self, Schema, Types};
use machinery::field::{FieldError, Path};
use machinery::quantity::Quantity;
use serde_json::{Map, Value};

/// Returns what is wrong with the specification of an object, field by field.
///
/// Metadata of the object itself and its status are the API server's business.
pub(crate) fn check(definition: &str, object: &Value) -> Vec<FieldError> {
    let mut out = Vec::new();
    let Some(schema) = facts::definitions().get(definition) else {
        return out;
    };
    let Some(spec_schema) = schema.properties.get("spec") else {
        return out;
    };
    match object.get("spec") {
        None | Some(Value::Null) => {
            if schema.required.contains(&"spec") {
                out.push(FieldError::required(Path::new("spec"), "describe what is wanted"));
            }
        }
        Some(spec) => walk(spec_schema, spec, &Path::new("spec"), &mut out),
    }
    out
}

fn walk(schema: &'static Schema, value: &Value, path: &Path, out: &mut Vec<FieldError>) {
    if value.is_null() || schema.reference.is_some_and(is_free_form) {
        return;
    }
    let schema = facts::resolve(schema);
    // Counts that may be percentages: `1` or `50%`.
    if schema.format == Some("int-or-string") && value.is_number() {
        return;
    }
    if !fits(&schema.types, value) {
        let rule = format!("{} belongs there", expected(&schema.types));
        out.push(FieldError::type_invalid(path.clone(), described(value), rule));
        return;
    }
    match value {
        Value::Object(fields) => object(schema, fields, path, out),
        Value::Array(items) => {
            if let Some(item_schema) = schema.items.as_deref() {
                for (index, item) in items.iter().enumerate() {
                    walk(item_schema, item, &path.index(index), out);
                }
            }
        }
        Value::String(text) => {
            if let Some(allowed) = &schema.values
                && !allowed.contains(&text.as_str())
            {
                out.push(FieldError::not_supported(path.clone(), text.as_str(), allowed.iter().copied()));
            }
        }
        _ => {}
    }
}

fn object(schema: &'static Schema, fields: &Map<String, Value>, path: &Path, out: &mut Vec<FieldError>) {
    if let Some(values) = schema.additional_properties.as_deref() {
        for (name, child) in fields {
            walk(values, child, &path.child(name), out);
        }
        return;
    }
    // Deeper down what is missing counts as empty, and the rules of `model` say where that will not do.
    if path.as_str() == "spec" {
        for name in &schema.required {
            if fields.get(*name).is_none_or(Value::is_null) {
                out.push(FieldError::required(path.child(name), "it is missing"));
            }
        }
    }
    for (name, child) in fields {
        let path = path.child(name);
        let Some(schema) = schema.properties.get(name.as_str()) else {
            let remedy = match nearest(schema, name) {
                Some(near) => format!("the API has no such field; did you mean {near}?"),
                None => "the API has no such field: remove it".to_owned(),
            };
            out.push(FieldError::forbidden(path, remedy));
            continue;
        };
        walk(schema, child, &path, out);
    }
}

/// Returns the sentence for the number that keeps an object from being read: the first without which `reads` says that
/// it would have been.
pub(crate) fn number_out_of_range(object: &Value, reads: impl Fn(&Value) -> bool) -> Option<String> {
    let mut suspects = Vec::new();
    numbers(object, "", &mut suspects);
    suspects.into_iter().find_map(|pointer| {
        let mut without = object.clone();
        let value = without.pointer_mut(&pointer)?;
        let number = std::mem::replace(value, Value::from(1));
        let path = path_of(&pointer);
        reads(&without).then(|| format!("{path} is {number}: write a whole number from 0 to {}", u32::MAX))
    })
}

/// Collects the pointers of numbers that a narrow field has no place for.
fn numbers(value: &Value, pointer: &str, out: &mut Vec<String>) {
    match value {
        Value::Number(number) if number.as_u64().is_none_or(|number| number > u64::from(u32::MAX)) => {
            out.push(pointer.to_owned());
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                numbers(item, &format!("{pointer}/{index}"), out);
            }
        }
        Value::Object(fields) => {
            for (name, child) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                numbers(child, &format!("{pointer}/{name}"), out);
            }
        }
        _ => {}
    }
}

/// Writes a pointer as people write paths: `spec.volumes[0].name`.
fn path_of(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').skip(1) {
        if step.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{step}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&step.replace("~1", "/").replace("~0", "~"));
        }
    }
    path
}

fn is_free_form(reference: &str) -> bool {
    reference.ends_with(".FieldsV1")
}

fn fits(types: &Types, value: &Value) -> bool {
    match value {
        Value::Object(_) => matches!(types, Types::Any) || types.allows("object"),
        Value::Array(_) => types.allows("array"),
        Value::String(_) => types.allows("string"),
        Value::Bool(_) => types.allows("boolean"),
        Value::Number(number) => {
            let whole = number.is_i64() || number.is_u64();
            types.allows("number") || (whole && types.allows("integer"))
        }
        Value::Null => true,
    }
}

/// Returns what is shown of a value: not all of what may be large.
fn described(value: &Value) -> Value {
    match value {
        Value::Object(_) => "a structure".into(),
        Value::Array(_) => "a list".into(),
        other => other.clone(),
    }
}

fn expected(types: &Types) -> String {
    let word = |name: &str| match name {
        "string" => "a text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "array" => "a list",
        _ => "a structure",
    };
    match types {
        Types::Any => "a structure".to_owned(),
        Types::One(name) => word(name).to_owned(),
        Types::Several(names) => names
            .iter()
            .filter(|name| **name != "null")
            .map(|name| word(name))
            .collect::<Vec<_>>()
            .join(" or "),
    }
}

/// Returns the field that a misspelt name probably means: the same but for case, or one letter away.
fn nearest(schema: &'static Schema, name: &str) -> Option<&'static str> {
    schema.properties.keys().copied().find(|known| known.eq_ignore_ascii_case(name)).or_else(|| {
        schema.properties.keys().copied().find(|known| known.len() > 3 && one_letter_apart(known, name))
    })
}

fn one_letter_apart(a: &str, b: &str) -> bool {
    let (a, b) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if b.len() - a.len() > 1 {
        return false;
    }
    let same = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let (rest_a, rest_b) = (&a.as_bytes()[same..], &b.as_bytes()[same..]);
    if a.len() == b.len() { rest_a.get(1..) == rest_b.get(1..) } else { rest_b.get(1..) == Some(rest_a) }
}

/// Returns a sentence about the first amount that is none.
pub(crate) fn bad_amount(definition: &str, object: &Value) -> Option<String> {
    let schema = facts::definitions().get(definition)?.properties.get("spec")?;
    find_bad(schema, object.get("spec")?, "spec")
}

fn find_bad(schema: &'static Schema, value: &Value, path: &str) -> Option<String> {
    if schema.reference.is_some_and(|name| name.ends_with("resource.Quantity")) {
        let text = value.as_str()?;
        return Quantity::parse(text).err().map(|error| format!("{path} is {text:?}: {error}"));
    }
    let schema = facts::resolve(schema);
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, child)| {
            let schema = schema.properties.get(name.as_str()).or(schema.additional_properties.as_deref())?;
            find_bad(schema, child, &format!("{path}.{name}"))
        }),
        Value::Array(items) => {
            let schema = schema.items.as_deref()?;
            items
                .iter()
                .enumerate()
                .find_map(|(index, item)| find_bad(schema, item, &format!("{path}[{index}]")))
        }
        _ => None,
    }
}

/// Returns a value without the fields that are null: they mean the same as absent ones.
pub(crate) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, child)| !child.is_null())
            .map(|(name, child)| (name.clone(), without_nulls(child)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sentences(domain: Value) -> Vec<String> {
        let errors = check("v1.VirtualMachineInstance", &json!({"spec": {"domain": domain}}));
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn fields_types_and_values_are_held_to_the_schema() {
        for (domain, sentence) in [
            (
                json!({"devices": {}, "bogus": 1}),
                "spec.domain.bogus: Forbidden: the API has no such field: remove it",
            ),
            (
                json!({"devices": {}, "Memory": {}}),
                "spec.domain.Memory: Forbidden: the API has no such field; did you mean memory?",
            ),
            (
                json!({"devices": {}, "memry": {}}),
                "spec.domain.memry: Forbidden: the API has no such field; did you mean memory?",
            ),
            (
                json!({"devices": {}, "cpu": {"cores": "4"}}),
                "spec.domain.cpu.cores: Invalid value: \"4\": a whole number belongs there",
            ),
            (
                json!({"devices": {"disks": {}}}),
                "spec.domain.devices.disks: Invalid value: \"a structure\": a list belongs there",
            ),
        ] {
            assert_eq!(sentences(domain), [sentence]);
        }
        let missing = check("v1.VirtualMachine", &json!({"spec": {}}));
        assert_eq!(missing, [FieldError::required(Path::new("spec.template"), "it is missing")]);
        let operator = json!({"spec": {"domain": {"devices": {}}, "tolerations": [{"operator": "Nosuch"}]}});
        let told = check("v1.VirtualMachineInstance", &operator);
        assert_eq!(told[0].path.as_str(), "spec.tolerations[0].operator");
        assert!(
            told[0].message().starts_with("Unsupported value: \"Nosuch\": supported values: "),
            "{told:?}"
        );
        assert!(sentences(json!({"devices": {}, "resources": {"requests": {"cpu": 1}}})).is_empty());
    }

    #[test]
    fn counts_may_be_percentages() {
        for most in [json!(1), json!("50%")] {
            let pool =
                json!({"spec": {"selector": {}, "virtualMachineTemplate": {}, "maxUnavailable": most}});
            assert_eq!(check("v1beta1.VirtualMachinePool", &pool), []);
        }
    }

    #[test]
    fn amounts_are_read() {
        let object = json!({"spec": {"domain": {"devices": {}, "memory": {"guest": "lots"}}}});
        let sentence = bad_amount("v1.VirtualMachineInstance", &object).unwrap();
        assert!(sentence.starts_with("spec.domain.memory.guest is \"lots\""), "{sentence}");
    }
}
