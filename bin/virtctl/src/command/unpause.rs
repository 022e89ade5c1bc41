//! `virtctl unpause`

use anyhow::{Result, anyhow};
use clap::Args;

use super::pause::instance_or_machine;
use super::{DryRun, exactly};
use crate::request::{Kind, Request, Verb, options};
use crate::say::say;
use crate::session::Session;

/// Unpause a virtual machine.
///
/// The first argument is the type: virtualmachineinstance (vmi) or virtualmachine (vm), in any case, singular or plural.
/// The second is the name.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl unpause vm|vmi (VM)|(VMI) [flags]",
    after_help = "Examples:\n  # Unpause a virtual machine called 'myvm':\n  virtctl unpause vm myvm"
)]
pub(crate) struct Unpause {
    #[arg(hide = true, value_name = "TYPE NAME")]
    arguments: Vec<String>,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Unpause {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [word, name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let kind = instance_or_machine(word)?;
        let body = options(self.dry_run.announced());
        if kind == Kind::Machine {
            let read = api.call(&Request::object(&api.namespace, kind, name)?).await;
            read.map_err(|error| anyhow!("Error getting VirtualMachine {name}: {error}"))?;
        }
        let request = Request::subresource(Verb::Put, &api.namespace, Kind::Instance, name, "unpause")?;
        let answer = api.call(&request.with_body(body)).await;
        answer.map_err(|error| anyhow!("Error unpausing VirtualMachineInstance {name}: {error}"))?;
        say!("VMI {name} was scheduled to unpause");
        Ok(())
    }
}
