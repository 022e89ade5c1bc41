//! What becomes of a template: its machine, with parameters in place of `${NAME}` and `${{NAME}}`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow, bail};
use serde_json::{Map, Value, json};

use super::generate;

/// A template with values for its parameters.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    machine: Value,
    message: String,
    parameters: Vec<Value>,
}

/// Two pieces of a text: plain, or the name of a parameter between braces.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Plain(&'a str),
    Reference(&'a str),
}

impl Engine {
    /// Reads a template, and puts values in.
    ///
    /// # Errors
    /// When it has no machine, or no such parameters.
    pub(super) fn new(template: &Value, values: &BTreeMap<String, String>) -> Result<Self> {
        let spec = &template["spec"];
        if !spec["virtualMachine"].is_object() {
            bail!("spec.virtualMachine: Invalid value: virtualMachine is required and cannot be empty");
        }
        let mut parameters = spec["parameters"].as_array().cloned().unwrap_or_default();
        for (name, value) in values {
            let found = parameters.iter_mut().find(|parameter| parameter["name"] == **name);
            let found = found.ok_or_else(|| {
                anyhow!("error merging template parameters: parameter {name} not found in template")
            })?;
            found["value"] = value.as_str().into();
        }
        let message = spec["message"].as_str().unwrap_or_default().to_owned();
        Ok(Self { machine: spec["virtualMachine"].clone(), message, parameters })
    }

    /// Compares the parameters with the references to them. Returns warnings for those that nobody uses.
    ///
    /// # Errors
    /// When one is used that is not defined.
    pub(super) fn check(&self) -> Result<Vec<String>> {
        let mut used = BTreeSet::new();
        collect(&self.machine, &mut used);
        used.extend(references(&self.message));
        let defined: Vec<&str> = self.parameters.iter().filter_map(|known| known["name"].as_str()).collect();
        let missing: Vec<_> = used.iter().filter(|name| !defined.contains(&name.as_str())).collect();
        if let Some(name) = missing.first() {
            bail!(
                "error validating template parameters: spec.virtualMachine: Invalid value: {name:?}: references undefined parameter {name}"
            );
        }
        let unused = defined.iter().enumerate().filter(|(_, name)| !used.contains(**name));
        Ok(unused
            .map(|(index, name)| {
                format!("spec.parameters[{index}].name: {name} is defined but never referenced")
            })
            .collect())
    }

    /// Returns the machine, and the message for the user.
    ///
    /// # Errors
    /// When a parameter has no value, or none that fits.
    pub(super) fn process(mut self) -> Result<(Value, String)> {
        let values = self.values()?;
        let hard =
            self.machine["metadata"]["namespace"].as_str().is_some_and(|name| references(name).is_empty());
        if hard && let Some(metadata) = self.machine["metadata"].as_object_mut() {
            metadata.remove("namespace");
        }
        let mut machine = substitute(&self.machine, &values)
            .map_err(|error| anyhow!("error processing VirtualMachineTemplate locally: {error}"))?;
        machine["apiVersion"] = "kubevirt.io/v1".into();
        machine["kind"] = "VirtualMachine".into();
        Ok((complete(machine), text(&self.message, &values)?))
    }

    fn values(&self) -> Result<BTreeMap<String, String>> {
        let mut values = BTreeMap::new();
        for (index, parameter) in self.parameters.iter().enumerate() {
            let word = |field: &str| parameter[field].as_str().unwrap_or_default();
            let path = format!("error processing VirtualMachineTemplate locally: spec.parameters[{index}]");
            let name = word("name");
            if name.is_empty() {
                bail!("{path}.name: Invalid value: \"\": parameter name is empty");
            }
            if values.contains_key(name) {
                bail!("{path}.name: Duplicate value: {name:?}");
            }
            let mut value = word("value").to_owned();
            match word("generate") {
                generator if !value.is_empty() || generator.is_empty() => {}
                "expression" if word("from").is_empty() => bail!(
                    "{path}.from: Invalid value: \"\": from cannot be empty for parameter '{name}' using generator 'expression'"
                ),
                "expression" => {
                    let from = word("from");
                    value = generate::value(from, &mut generate::random)
                        .map_err(|error| anyhow!("{path}.from: Invalid value: {from:?}: {error}"))?;
                }
                other => bail!(
                    "{path}.generate: Invalid value: {other:?}: unknown generator name '{other}' for parameter '{name}'"
                ),
            }
            if value.is_empty() && parameter["required"] == true {
                bail!(
                    "{path}.value: Required value: parameter '{name}' is required and a value must be specified"
                );
            }
            values.insert(name.to_owned(), value);
        }
        Ok(values)
    }
}

/// Adds what the reference's types always write.
fn complete(mut machine: Value) -> Value {
    // What a template makes of its parameters may be anything; the server judges it.
    let mut empty = |parent: &str, name: &str| {
        if let Some(parent) = machine.pointer_mut(parent).and_then(Value::as_object_mut) {
            let field = parent.entry(name).or_insert(Value::Null);
            if field.is_null() {
                *field = json!({});
            }
        }
    };
    empty("", "metadata");
    empty("", "status");
    empty("/spec/template", "metadata");
    empty("/spec/template/spec/domain", "devices");
    empty("/spec/template/spec/domain", "resources");
    machine
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Returns the name in a text that is `${{NAME}}` and nothing else: what stands there is not a text.
fn whole(text: &str) -> Option<&str> {
    text.strip_prefix("${{")?.strip_suffix("}}").filter(|name| is_name(name))
}

/// Parts a text at its references.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut plain, mut at) = (0, 0);
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        let name = text[start + 2..].split('}').next().unwrap_or_default();
        let end = start + 2 + name.len();
        if is_name(name) && end < text.len() {
            pieces.push(Piece::Plain(&text[plain..start]));
            pieces.push(Piece::Reference(name));
            plain = end + 1;
            at = plain;
        } else {
            at = start + 2;
        }
    }
    pieces.push(Piece::Plain(&text[plain..]));
    pieces
}

fn references(text: &str) -> Vec<String> {
    if let Some(name) = whole(text) {
        return vec![name.to_owned()];
    }
    let pieces = pieces(text).into_iter();
    pieces
        .filter_map(|piece| if let Piece::Reference(name) = piece { Some(name.to_owned()) } else { None })
        .collect()
}

fn collect(value: &Value, used: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => used.extend(references(text)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, used)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            used.extend(references(name));
            collect(value, used);
        }),
        _ => {}
    }
}

fn find<'a>(name: &str, values: &'a BTreeMap<String, String>) -> Result<&'a str> {
    let found = values.get(name);
    found.map(String::as_str).ok_or_else(|| anyhow!("found parameter '{name}' but it was not defined"))
}

fn text(template: &str, values: &BTreeMap<String, String>) -> Result<String> {
    let mut written = String::new();
    for piece in pieces(template) {
        match piece {
            Piece::Plain(plain) => written.push_str(plain),
            Piece::Reference(name) => written.push_str(find(name, values)?),
        }
    }
    Ok(written)
}

fn substitute(value: &Value, values: &BTreeMap<String, String>) -> Result<Value> {
    Ok(match value {
        Value::String(template) => match whole(template) {
            None => text(template, values)?.into(),
            Some(name) => {
                let written = find(name, values)?;
                match serde_json::from_str(written) {
                    Ok(Value::Null) => bail!("parameter '{name}' is null, and a value is needed"),
                    Ok(value) => value,
                    // A bare word is a text after all.
                    Err(_) => written.into(),
                }
            }
        },
        Value::Array(items) => items.iter().map(|item| substitute(item, values)).collect::<Result<_>>()?,
        Value::Object(fields) => {
            let mut written = Map::new();
            for (name, value) in fields {
                written.insert(text(name, values)?, substitute(value, values)?);
            }
            written.into()
        }
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Value {
        json!({"spec": {
            "message": "Log in to ${NAME}",
            "parameters": [
                {"name": "NAME", "required": true},
                {"name": "CPUS", "value": "2"},
                {"name": "KEY", "generate": "expression", "from": "k-[a]{4}"},
            ],
            "virtualMachine": {
                "metadata": {"name": "vm-${NAME}", "namespace": "fixed", "labels": {"${NAME}": "$${KEY}"}},
                "spec": {"template": {"spec": {"domain": {"cpu": {"cores": "${{CPUS}}"}}}}},
            },
        }})
    }

    fn processed(given: &[(&str, &str)]) -> Result<(Value, String), String> {
        let values = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let engine = Engine::new(&template(), &values).map_err(|error| error.to_string())?;
        engine.process().map_err(|error| error.to_string())
    }

    #[test]
    fn parameters_take_the_place_of_their_names() {
        let (machine, message) = processed(&[("NAME", "a")]).unwrap();
        assert_eq!(
            machine,
            json!({
                "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine",
                "metadata": {"name": "vm-a", "labels": {"a": "$k-aaaa"}},
                "spec": {"template": {"metadata": {}, "spec": {"domain": {"cpu": {"cores": 2}, "devices": {}, "resources": {}}}}},
                "status": {},
            })
        );
        assert_eq!(message, "Log in to a");
        let (many, _) = processed(&[("NAME", "a"), ("CPUS", "many"), ("KEY", "own")]).unwrap();
        assert_eq!(many["spec"]["template"]["spec"]["domain"]["cpu"]["cores"], "many");
        assert_eq!(many["metadata"]["labels"]["a"], "$own");
    }

    #[test]
    fn what_is_missing_is_named_with_its_field() {
        assert!(processed(&[]).unwrap_err().ends_with(
            "spec.parameters[0].value: Required value: parameter 'NAME' is required and a value must be specified"
        ));
        assert_eq!(
            processed(&[("X", "1")]).unwrap_err(),
            "error merging template parameters: parameter X not found in template"
        );
        assert!(
            processed(&[("NAME", "a"), ("CPUS", "null")]).unwrap_err().contains("parameter 'CPUS' is null")
        );
        let nothing = Engine::new(&json!({"spec": {}}), &BTreeMap::new()).unwrap_err().to_string();
        assert!(nothing.contains("virtualMachine is required"), "{nothing}");
    }

    #[test]
    fn references_and_parameters_are_compared() {
        let check = |template: &Value| {
            Engine::new(template, &BTreeMap::new()).unwrap().check().map_err(|error| error.to_string())
        };
        assert_eq!(check(&template()), Ok(vec![]));
        let mut unused = template();
        unused["spec"]["parameters"].as_array_mut().unwrap().push(json!({"name": "SPARE"}));
        assert_eq!(
            check(&unused).unwrap(),
            ["spec.parameters[3].name: SPARE is defined but never referenced"]
        );
        let mut undefined = template();
        undefined["spec"]["virtualMachine"]["spec"]["runStrategy"] = "${WHEN}".into();
        assert!(check(&undefined).unwrap_err().ends_with("references undefined parameter WHEN"));
    }

    #[test]
    fn only_names_between_braces_are_references() {
        assert_eq!(references("a${B}c${D_1}"), ["B", "D_1"]);
        assert_eq!(references("${{N}}"), ["N"]);
        for plain in ["$B", "${}", "${A", "${A-B}", "x${{N}}", "$ {A}"] {
            assert!(references(plain).is_empty(), "{plain}");
        }
        let values = [("A".to_owned(), "${B}".to_owned())].into();
        assert_eq!(text("x${A}y${", &values).unwrap(), "x${B}y${", "what is put in is not looked at again");
    }
}
