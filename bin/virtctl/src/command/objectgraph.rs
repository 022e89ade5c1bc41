//! `virtctl objectgraph`

use anyhow::{Result, anyhow, bail};
use clap::{ArgAction, Args};
use serde_json::{Value, json};

use super::{Format, exactly};
use crate::flags::{Pairs, pairs};
use crate::request::{Kind, Request, Verb};
use crate::say::say;
use crate::session::Session;

/// Show the objects that belong to a virtual machine.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl objectgraph (VM|VMI) [flags]",
    after_help = "Examples:\n  # Of the virtual machine 'my-vm':\n  virtctl objectgraph my-vm\n\n  # Of the instance 'my-vmi':\n  virtctl objectgraph --vmi my-vmi\n\n  # Only what it cannot do without, as YAML:\n  virtctl objectgraph my-vm --exclude-optional --output yaml\n\n  # Only its storage:\n  virtctl objectgraph my-vm --selector=kubevirt.io/dependency-type=storage"
)]
pub(crate) struct ObjectGraph {
    #[arg(hide = true, value_name = "NAME")]
    arguments: Vec<String>,
    /// The name is an instance's.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    vmi: bool,
    /// Leave out what the machine can do without.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    exclude_optional: bool,
    /// Labels that an object must have to be shown.
    #[arg(long, value_name = "key=value,...", value_parser = pairs)]
    selector: Vec<Pairs>,
    /// Format: json or yaml.
    #[arg(long, short, default_value = "json", value_name = "string")]
    output: String,
}

impl ObjectGraph {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let (kind, word) = if self.vmi {
            (Kind::Instance, "VirtualMachineInstance")
        } else {
            (Kind::Machine, "VirtualMachine")
        };
        let mut wanted = json!({"includeOptionalNodes": !self.exclude_optional});
        let labels = self.selector.iter().flat_map(|Pairs(pairs)| pairs.iter().cloned());
        let labels: serde_json::Map<_, _> = labels.map(|(key, value)| (key, Value::from(value))).collect();
        if !labels.is_empty() {
            wanted["labelSelector"] = json!({"matchLabels": labels});
        }
        let request = Request::subresource(Verb::Get, &api.namespace, kind, name, "objectgraph")?;
        let answer = api.call(&request.with_body(wanted)).await;
        let answer =
            answer.map_err(|error| anyhow!("error listing object graph of {word} {name}: {error}"))?;
        let Some(format) = Format::parse(&self.output) else {
            bail!("unsupported output format: {} (must be 'json' or 'yaml')", self.output);
        };
        say!("{}", format.write(&serde_json::from_slice(&answer)?, "  "));
        Ok(())
    }
}
