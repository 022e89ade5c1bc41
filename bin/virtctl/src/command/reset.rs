//! `virtctl reset`

use anyhow::{Result, anyhow};
use clap::Args;

use super::exactly;
use crate::request::{Kind, Request, Verb};
use crate::say::say;
use crate::session::Session;

/// Reset a virtual machine instance, as its reset button would.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl reset (VMI) [flags]",
    after_help = "Examples:\n  # Reset a virtual machine instance called 'myvmi':\n  virtctl reset myvmi"
)]
pub(crate) struct Reset {
    #[arg(hide = true, value_name = "VMI")]
    arguments: Vec<String>,
}

impl Reset {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let request = Request::subresource(Verb::Put, &api.namespace, Kind::Instance, name, "reset")?;
        let answer = api.call(&request).await;
        // The reference's spelling, which scripts may look for.
        answer.map_err(|error| anyhow!("Error reseting VirtualMachineInstance {name}: {error}"))?;
        say!("VMI {name} was scheduled to reset");
        Ok(())
    }
}
