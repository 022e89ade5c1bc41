//! `virtctl credentials`: keys and passwords that a machine's guest agent puts in.

mod add_ssh_key;
mod key;
mod remove_ssh_key;
mod secrets;
mod set_password;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::cli;
use crate::say::say;
use crate::session::Session;

/// Change the credentials of a virtual machine.
#[derive(Args, Debug)]
#[command(override_usage = "virtctl credentials [command]")]
pub(crate) struct Credentials {
    #[command(subcommand)]
    command: Option<What>,
    /// What is no command is answered with help, as no word at all is.
    #[arg(hide = true)]
    arguments: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum What {
    AddSshKey(add_ssh_key::AddSshKey),
    RemoveSshKey(remove_ssh_key::RemoveSshKey),
    SetPassword(set_password::SetPassword),
}

impl Credentials {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no such machine, nothing to change, or the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        match &self.command {
            Some(What::AddSshKey(command)) => command.run(session).await,
            Some(What::RemoveSshKey(command)) => command.run(session).await,
            Some(What::SetPassword(command)) => command.run(session).await,
            None => {
                say!("{}", cli::help_of("credentials"));
                Ok(())
            }
        }
    }
}
