//! `virtctl guestosinfo`

use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::Value;

use super::exactly;
use crate::request::{Kind, Request, Verb};
use crate::say::say;
use crate::session::Session;

/// Show what the guest agent says of its operating system.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl guestosinfo (VMI) [flags]",
    after_help = "Examples:\n  # The operating system of the guest of 'myvmi':\n  virtctl guestosinfo myvmi"
)]
pub(crate) struct GuestOsInfo {
    #[arg(hide = true, value_name = "VMI")]
    arguments: Vec<String>,
}

impl GuestOsInfo {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let request = Request::subresource(Verb::Get, &api.namespace, Kind::Instance, name, "guestosinfo")?;
        let answer = api.call(&request).await;
        show(&answer.map_err(|error| {
            anyhow!("Error getting guestosinfo of VirtualMachineInstance {name}, {error}")
        })?)
    }
}

/// Prints an answer as people read it. Fields stay in the order that the server has them in.
///
/// # Errors
/// When the answer is not JSON.
pub(crate) fn show(answer: &[u8]) -> Result<()> {
    let value: Value = serde_json::from_slice(answer)?;
    say!("{value:#}");
    Ok(())
}
