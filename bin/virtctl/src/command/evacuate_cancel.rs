//! `virtctl evacuate-cancel`

use anyhow::{Result, anyhow, bail};
use clap::Args;

use super::{DryRun, exactly};
use crate::request::{Kind, Request, Verb, options};
use crate::say::say;
use crate::session::Session;

/// Take back that a virtual machine is to leave its node.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl evacuate-cancel (vm <vm-name> | vmi <vmi-name>) [flags]",
    after_help = "Examples:\n  # For a virtual machine:\n  virtctl evacuate-cancel vm my-vm\n\n  # For a virtual machine instance:\n  virtctl evacuate-cancel vmi my-vmi"
)]
pub(crate) struct EvacuateCancel {
    #[arg(hide = true, value_name = "TYPE NAME")]
    arguments: Vec<String>,
    #[command(flatten)]
    dry_run: DryRun,
}

impl EvacuateCancel {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [word, name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let (kind, short) = match Kind::parse(word) {
            Some(kind @ Kind::Machine) => (kind, "VM"),
            Some(kind @ Kind::Instance) => (kind, "VMI"),
            _ => bail!("unsupported resource type {word:?}"),
        };
        let namespace = &api.namespace;
        let request = Request::subresource(Verb::Put, namespace, kind, name, "evacuate/cancel")?;
        let answer = api.call(&request.with_body(options(self.dry_run.announced()))).await;
        answer
            .map_err(|error| anyhow!("error canceling evacuation for {short} {namespace}/{name}: {error}"))?;
        say!("{short} {namespace}/{name} was canceled evacuation");
        Ok(())
    }
}
