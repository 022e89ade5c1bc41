//! `virtctl fslist`

use anyhow::{Result, anyhow};
use clap::Args;

use super::guestosinfo::show;
use super::{Output, exactly};
use crate::request::{Kind, Request, Verb};
use crate::session::Session;

/// List the filesystems that a guest has mounted.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl fslist (VMI) [flags]",
    after_help = "Examples:\n  # The filesystems of the guest of 'myvmi':\n  virtctl fslist myvmi"
)]
pub(crate) struct FilesystemList {
    #[arg(hide = true, value_name = "VMI")]
    arguments: Vec<String>,
    #[command(flatten)]
    output: Output,
}

impl FilesystemList {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let request =
            Request::subresource(Verb::Get, &api.namespace, Kind::Instance, name, "filesystemlist")?;
        let answer = api.call(&request).await;
        let answer = answer.map_err(|error| {
            anyhow!("Error listing filesystems of VirtualMachineInstance {name}, {error}")
        })?;
        show(&answer, &self.output)
    }
}
