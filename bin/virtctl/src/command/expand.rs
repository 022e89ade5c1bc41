//! `virtctl expand`

use std::io::Read as _;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};

use super::{Format, exactly};
use crate::flags::at_most_one;
use crate::request::{Kind, Request, Verb};
use crate::say;
use crate::session::Session;

/// Show a virtual machine with its instance type and preference written out.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl expand (VM) [flags]",
    after_help = "Examples:\n  # The virtual machine 'myvm':\n  virtctl expand --vm myvm\n\n  # A machine in a file, or from standard input with '-':\n  virtctl expand --file myvm.yaml\n\n  # As JSON:\n  virtctl expand --vm myvm --output json"
)]
pub(crate) struct Expand {
    #[arg(hide = true)]
    arguments: Vec<String>,
    /// Virtual machine of the server.
    #[arg(long, value_name = "string")]
    vm: Option<String>,
    /// File with a virtual machine; '-' is standard input. Excludes --vm.
    #[arg(long, short, value_name = "string")]
    file: Option<String>,
    /// Format: yaml or json.
    #[arg(long, short, default_value = "yaml", value_name = "string")]
    output: String,
}

impl Expand {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no such machine, or the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [] = exactly(&self.arguments)?;
        let given = |flag: &Option<String>| flag.as_ref().is_some_and(|text| !text.is_empty());
        if !given(&self.vm) && !given(&self.file) {
            bail!("error invalid arguments - VirtualMachine name or file must be provided");
        }
        let Some(format) = Format::parse(&self.output) else {
            bail!("error not supported output format defined: {}", self.output);
        };
        at_most_one(&[("file", self.file.is_some()), ("vm", self.vm.is_some())])?;
        let api = session.api().await?;
        let (name, request) = if let Some(name) = self.vm.as_ref().filter(|name| !name.is_empty()) {
            let request =
                Request::subresource(Verb::Get, &api.namespace, Kind::Machine, name, "expand-spec")?;
            (name.clone(), request)
        } else {
            let machine = read(self.file.as_deref().unwrap_or_default())?;
            let name = machine["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            (name, Request::expand(&api.namespace, machine)?)
        };
        let answer = api.call(&request).await.map_err(|error| {
            anyhow!("error expanding VirtualMachine - {name} in namespace - {}: {error}", api.namespace)
        })?;
        let mut machine: Value = serde_json::from_slice(&answer)?;
        complete(&mut machine);
        say::document(format.write(&machine, " ").as_bytes())
    }
}

/// Adds what the reference's types always write.
fn complete(machine: &mut Value) {
    if machine["status"].is_null() {
        machine["status"] = json!({});
    }
    let conditions = machine.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        for time in ["lastProbeTime", "lastTransitionTime"] {
            if condition.get(time).is_none() {
                condition[time] = Value::Null;
            }
        }
    }
}

/// Reads the first machine of a file.
fn read(file: &str) -> Result<Value> {
    let mut text = String::new();
    if file == "-" {
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| anyhow!("error reading from stdin: {error}"))?;
    } else {
        text = std::fs::read_to_string(file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                anyhow!("error reading file open {file}: no such file or directory")
            }
            _ => anyhow!("error reading file {file}: {error}"),
        })?;
    }
    let documents = serde_saphyr::from_multiple::<Value>(&text);
    let documents = documents.map_err(|error| anyhow!("error decoding VirtualMachine {error}"))?;
    let first = documents.into_iter().find(|document| !document.is_null());
    first.ok_or_else(|| anyhow!("error decoding VirtualMachine EOF"))
}
