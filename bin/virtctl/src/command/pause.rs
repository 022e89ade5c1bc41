//! `virtctl pause`

use anyhow::{Result, anyhow, bail};
use clap::Args;
use serde_json::Value;

use super::{DryRun, exactly};
use crate::request::{Kind, Request, Verb, options};
use crate::say::say;
use crate::session::Session;

/// Pause a virtual machine.
///
/// Its processors stop; its memory stays as it is. The first argument is the type: virtualmachineinstance (vmi) or
/// virtualmachine (vm), in any case, singular or plural. The second is the name.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl pause vm|vmi (VM)|(VMI) [flags]",
    after_help = "Examples:\n  # Pause a virtual machine called 'myvm':\n  virtctl pause vm myvm"
)]
pub(crate) struct Pause {
    #[arg(hide = true, value_name = "TYPE NAME")]
    arguments: Vec<String>,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Pause {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [word, name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let kind = instance_or_machine(word)?;
        let body = options(self.dry_run.announced());
        let machine = if kind == Kind::Instance {
            None
        } else {
            let read = api.call(&Request::object(&api.namespace, kind, name)?).await;
            let read = read.map_err(|error| anyhow!("Error getting VirtualMachine {name}: {error}"))?;
            Some(serde_json::from_slice::<Value>(&read)?)
        };
        let request = Request::subresource(Verb::Put, &api.namespace, Kind::Instance, name, "pause")?;
        api.call(&request.with_body(body)).await.map_err(|error| match &machine {
            Some(machine) if error.code() == Some(404) => anyhow!(missing(name, machine)),
            _ => anyhow!("Error pausing VirtualMachineInstance {name}: {error}"),
        })?;
        say!("VMI {name} was scheduled to pause");
        Ok(())
    }
}

/// Reads the type of what is paused or resumed.
///
/// # Errors
/// When it is another.
pub(crate) fn instance_or_machine(word: &str) -> Result<Kind> {
    match Kind::parse(word) {
        Some(kind @ (Kind::Machine | Kind::Instance)) => Ok(kind),
        _ => bail!("unsupported resource type: {word}"),
    }
}

/// Says why a machine has no instance.
fn missing(name: &str, machine: &Value) -> String {
    let spec = &machine["spec"];
    if spec["runStrategy"] == "Halted" || spec["running"] == false {
        format!("Error pausing VirtualMachineInstance {name}. VirtualMachine {name} is not set to run")
    } else {
        format!("Error pausing VirtualMachineInstance {name}, it was not found")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_machine_without_an_instance_says_whether_it_should_have_one() {
        let halted = "Error pausing VirtualMachineInstance a. VirtualMachine a is not set to run";
        let lost = "Error pausing VirtualMachineInstance a, it was not found";
        for (spec, says) in [
            (json!({"runStrategy": "Halted"}), halted),
            (json!({"running": false}), halted),
            (json!({"runStrategy": "Always"}), lost),
            (json!({"running": true}), lost),
        ] {
            assert_eq!(missing("a", &json!({"spec": spec})), says);
        }
        assert_eq!(instance_or_machine("pod").unwrap_err().to_string(), "unsupported resource type: pod");
    }
}
