//! `virtctl userlist`

use anyhow::{Result, anyhow};
use clap::Args;

use super::guestosinfo::show;
use super::{Output, exactly};
use crate::request::{Kind, Request, Verb};
use crate::session::Session;

/// List the users who are logged in to a guest.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl userlist (VMI) [flags]",
    after_help = "Examples:\n  # Who is logged in to the guest of 'myvmi':\n  virtctl userlist myvmi"
)]
pub(crate) struct UserList {
    #[arg(hide = true, value_name = "VMI")]
    arguments: Vec<String>,
    #[command(flatten)]
    output: Output,
}

impl UserList {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let request = Request::subresource(Verb::Get, &api.namespace, Kind::Instance, name, "userlist")?;
        let answer = api.call(&request).await;
        let answer = answer
            .map_err(|error| anyhow!("Error listing users of VirtualMachineInstance {name}, {error}"))?;
        show(&answer, &self.output)
    }
}
