//! `virtctl guestosinfo`

use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::Value;

use super::{Output, exactly};
use crate::request::{Kind, Request, Verb};
use crate::say;
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
    #[command(flatten)]
    output: Output,
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
        let answer = answer.map_err(|error| {
            anyhow!("Error getting guestosinfo of VirtualMachineInstance {name}, {error}")
        })?;
        show(&answer, &self.output)
    }
}

/// Prints an answer as people read it. In JSON, fields stay in the order that the server has them in.
///
/// # Errors
/// When the answer is not JSON, or the format is another.
pub(crate) fn show(answer: &[u8], output: &Output) -> Result<()> {
    let value: Value = serde_json::from_slice(answer)?;
    say::document(output.format()?.document(&value).as_bytes())
}
