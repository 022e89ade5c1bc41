//! `virtctl soft-reboot`

use anyhow::{Result, anyhow};
use clap::Args;

use super::exactly;
use crate::request::{Kind, Request, Verb};
use crate::say::say;
use crate::session::Session;

/// Ask the guest of a virtual machine instance to reboot.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl soft-reboot (VMI) [flags]",
    after_help = "Examples:\n  # Reboot the guest of a virtual machine instance called 'myvmi':\n  virtctl soft-reboot myvmi"
)]
pub(crate) struct SoftReboot {
    #[arg(hide = true, value_name = "VMI")]
    arguments: Vec<String>,
}

impl SoftReboot {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let request = Request::subresource(Verb::Put, &api.namespace, Kind::Instance, name, "softreboot")?;
        let answer = api.call(&request).await;
        answer.map_err(|error| anyhow!("Error soft rebooting VirtualMachineInstance {name}: {error}"))?;
        say!("VMI {name} was scheduled to soft-reboot");
        Ok(())
    }
}
