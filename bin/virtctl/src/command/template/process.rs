//! `virtctl template process`

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use clap::{ArgAction, Args};
use serde_json::{Value, json};

use super::engine::Engine;
use super::{Origin, format, origin, read};
use crate::api::Api;
use crate::flags::{Pairs, at_most_one, pairs};
use crate::request::{Kind, Request, Verb};
use crate::say::{self, say};
use crate::session::Session;

/// Make a virtual machine of a template, and print it.
///
/// A template of the server is processed there, unless --local; one in a file is processed here.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl template process [NAME] [flags]",
    after_help = "Examples:\n  # A template of the server:\n  virtctl template process mytemplate --param NAME=web --param CPUS=4\n\n  # A template in a file, with parameters from another, as JSON:\n  virtctl template process --file mytemplate.yaml --params-file params.yaml --output json\n\n  # Have the server make the machine at once:\n  virtctl template process mytemplate --param NAME=web --create\n\n  # Which parameters there are:\n  virtctl template process mytemplate --print-params"
)]
pub(super) struct Process {
    #[arg(hide = true, value_name = "NAME")]
    arguments: Vec<String>,
    /// Template of the server.
    #[arg(long, default_value = "", value_name = "string")]
    name: String,
    /// File with a template; '-' is standard input.
    #[arg(long, short, default_value = "", value_name = "file")]
    file: String,
    /// Format: yaml or json.
    #[arg(long, short, default_value = "yaml", value_name = "string")]
    output: String,
    /// Value of a parameter; may be repeated.
    #[arg(long, short, value_name = "key=value,...", value_parser = pairs)]
    param: Vec<Pairs>,
    /// File with values of parameters, as YAML or JSON.
    #[arg(long, default_value = "", value_name = "file")]
    params_file: String,
    /// Process a template of the server here.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    local: bool,
    /// Have the server make the machine.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    create: bool,
    /// Print the parameters alone.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    print_params: bool,
}

impl Process {
    /// Runs the command.
    ///
    /// # Errors
    /// When flags do not fit together, the template is wrong, or the server does not agree.
    pub(super) async fn run(&self, session: &Session) -> Result<()> {
        let origin = self.origin()?;
        let format = format(&self.output)?;
        if self.print_params {
            let template = template(&origin, session).await;
            let template =
                template.map_err(|error| anyhow!("error printing template parameters: {error}"))?;
            return say::document(format.write(&template["spec"]["parameters"], " ").as_bytes());
        }
        let values = self.values()?;
        let (machine, message) = match origin {
            Origin::Named(name) if self.create => {
                let answer = ask(session.api().await?, name, "create", &values).await;
                let machine = answer.map_err(|error| {
                    anyhow!("error creating VirtualMachine from remote VirtualMachineTemplate {error}")
                })?;
                say!(
                    "virtualmachine.kubevirt.io/{} created",
                    machine["virtualMachine"]["metadata"]["name"].as_str().unwrap_or_default()
                );
                return Ok(());
            }
            Origin::Named(name) if !self.local => {
                let answer = ask(session.api().await?, name, "process", &values).await;
                let mut answer = answer
                    .map_err(|error| anyhow!("error processing remote VirtualMachineTemplate {error}"))?;
                let message = answer["message"].as_str().unwrap_or_default().to_owned();
                (answer["virtualMachine"].take(), message)
            }
            origin => {
                let engine = Engine::new(&template(&origin, session).await?, &values)?;
                for warning in engine.check()? {
                    eprintln!("Warning: {warning}");
                }
                engine.process()?
            }
        };
        if !message.is_empty() {
            eprint!("{message}");
        }
        say::document(format.write(&machine, " ").as_bytes())
    }

    fn origin(&self) -> Result<Origin<'_>> {
        let file = ("file", !self.file.is_empty());
        let create = ("create", self.create);
        at_most_one(&[file, ("local", self.local)])?;
        at_most_one(&[("param", !self.param.is_empty()), ("params-file", !self.params_file.is_empty())])?;
        at_most_one(&[create, file])?;
        at_most_one(&[create, ("local", self.local)])?;
        at_most_one(&[create, ("print-params", self.print_params)])?;
        origin(&self.arguments, &self.name, &self.file)
    }

    fn values(&self) -> Result<BTreeMap<String, String>> {
        if self.params_file.is_empty() {
            return Ok(self.param.iter().flat_map(|Pairs(pairs)| pairs.iter().cloned()).collect());
        }
        let values = read(&self.params_file, "parameters");
        let values = values.map_err(|error| anyhow!("error reading params file: {error}"))?;
        let written = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let values = values.as_object().ok_or_else(|| {
            anyhow!("error reading params file: {} holds no dictionary of parameters", self.params_file)
        })?;
        Ok(values.iter().map(|(name, value)| (name.clone(), written(value))).collect())
    }
}

/// Reads a template.
async fn template(origin: &Origin<'_>, session: &Session) -> Result<Value> {
    match origin {
        Origin::File(file) => read(file, "VirtualMachineTemplate"),
        Origin::Named(name) => {
            let api = session.api().await?;
            let found = api.read(&Request::object(&api.namespace, Kind::Template, name)?).await;
            found.map_err(|error| {
                anyhow!("error fetching remote VirtualMachineTemplate {}/{name}: {error}", api.namespace)
            })
        }
    }
}

/// Has the server process a template.
async fn ask(api: &Api, name: &str, part: &str, values: &BTreeMap<String, String>) -> Result<Value> {
    let request = Request::of_object(Verb::Post, &api.namespace, Kind::Template, name)?;
    let path =
        request.path.replacen("/apis/template.kubevirt.io/", "/apis/subresources.template.kubevirt.io/", 1);
    let request = Request { path: format!("{path}/{part}"), ..request };
    let answer = api.read(&request.with_body(json!({"parameters": values}))).await;
    answer.map_err(|error| anyhow!("{}/{name}: {error}", api.namespace))
}
