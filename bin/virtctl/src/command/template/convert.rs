//! `virtctl template convert`

use anyhow::{Result, anyhow, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use super::{Origin, format, origin, read};
use crate::request::Request;
use crate::say;
use crate::session::Session;

/// Make a VirtualMachineTemplate of a Template of OpenShift, and print it.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl template convert [NAME] [flags]",
    after_help = "Examples:\n  # A Template of the server:\n  virtctl template convert mytemplate\n\n  # A Template in a file, or from standard input with '-':\n  virtctl template convert --file mytemplate.yaml\n\n  # As JSON:\n  virtctl template convert --file mytemplate.yaml --output json"
)]
pub(super) struct Convert {
    #[arg(hide = true, value_name = "NAME")]
    arguments: Vec<String>,
    /// Template of the server.
    #[arg(long, default_value = "", value_name = "string")]
    name: String,
    /// File with a Template; '-' is standard input.
    #[arg(long, short, default_value = "", value_name = "file")]
    file: String,
    /// Format: yaml or json.
    #[arg(long, short, default_value = "yaml", value_name = "string")]
    output: String,
}

impl Convert {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no such Template, or it has not exactly one object.
    pub(super) async fn run(&self, session: &Session) -> Result<()> {
        let origin = origin(&self.arguments, &self.name, &self.file)?;
        let format = format(&self.output)?;
        let template = match origin {
            Origin::File(file) => read(file, "Template")?,
            Origin::Named(name) => {
                let api = session.api().await?;
                let path = format!("/apis/template.openshift.io/v1/namespaces/{}/templates", api.namespace);
                let found = api.read(&Request::below(&path, name)?).await;
                found.map_err(|error| {
                    anyhow!("error fetching remote Template {}/{name}: {error}", api.namespace)
                })?
            }
        };
        say::document(format.write(&converted(&template)?, " ").as_bytes())
    }
}

fn converted(template: &Value) -> Result<Value> {
    let objects = template["objects"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [machine] = objects else {
        bail!("template must contain exactly one object, found {}", objects.len());
    };
    let copied = |from: &Value, fields: &[&str]| -> Map<String, Value> {
        let given = fields.iter().filter_map(|field| Some(((*field).to_owned(), from.get(*field)?.clone())));
        given.filter(|(_, value)| !value.is_null() && *value != "" && *value != false).collect()
    };
    let fields = ["name", "displayName", "description", "value", "generate", "from", "required"];
    let parameters = template["parameters"].as_array().into_iter().flatten();
    let parameters: Vec<Value> = parameters.map(|parameter| copied(parameter, &fields).into()).collect();
    let mut spec = copied(template, &["message"]);
    if !parameters.is_empty() {
        spec.insert("parameters".to_owned(), parameters.into());
    }
    spec.insert("virtualMachine".to_owned(), machine.clone());
    Ok(json!({
        "apiVersion": "template.kubevirt.io/v1alpha1",
        "kind": "VirtualMachineTemplate",
        "metadata": copied(&template["metadata"], &["name", "namespace", "labels", "annotations"]),
        "spec": spec,
        "status": {},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_with_one_object_is_converted() {
        let template = json!({
            "apiVersion": "template.openshift.io/v1", "kind": "Template",
            "metadata": {"name": "t", "labels": {"a": "b"}, "uid": "u"},
            "message": "hello",
            "parameters": [{"name": "N", "required": true, "value": "", "displayName": "Name"}],
            "objects": [{"kind": "VirtualMachine"}],
        });
        assert_eq!(
            converted(&template).unwrap(),
            json!({
                "apiVersion": "template.kubevirt.io/v1alpha1", "kind": "VirtualMachineTemplate",
                "metadata": {"name": "t", "labels": {"a": "b"}},
                "spec": {"message": "hello", "parameters": [{"name": "N", "displayName": "Name", "required": true}],
                         "virtualMachine": {"kind": "VirtualMachine"}},
                "status": {},
            })
        );
        let two = json!({"objects": [{}, {}]});
        assert_eq!(
            converted(&two).unwrap_err().to_string(),
            "template must contain exactly one object, found 2"
        );
    }
}
