//! `virtctl ssh`

use anyhow::Result;
use clap::Args;

use super::exactly;
use crate::local_client::{LocalClient, LocalOptions, username};
use crate::session::Session;
use crate::target::Login;

/// Open an SSH session in a virtual machine.
///
/// The local ssh does the work; its connection is forwarded to the machine as by port-forward.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl ssh [user@]type/name[/namespace] [flags]",
    after_help = "Examples:\n  # Log in to 'myvm' as jdoe:\n  virtctl ssh jdoe@vm/myvm\n\n  # Log in to a machine of another namespace with a key:\n  virtctl ssh --identity-file=key jdoe@vm/myvm/mynamespace\n\n  # Run one command:\n  virtctl ssh jdoe@vmi/myvmi --command='uname -a'"
)]
pub(crate) struct Ssh {
    #[arg(hide = true, value_name = "TARGET")]
    arguments: Vec<String>,
    #[command(flatten)]
    options: LocalOptions,
    /// Command to run in the machine instead of a shell.
    #[arg(long, short, allow_hyphen_values = true, value_name = "command")]
    command: Option<String>,
}

impl Ssh {
    /// Runs the command.
    ///
    /// # Errors
    /// When ssh cannot be started, or fails.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [login] = exactly(&self.arguments)?;
        let login = Login::parse(login)?;
        let namespace = session.api().await?.namespace.clone();
        let client = LocalClient::new(session, &login.target, &namespace, &self.options)?;
        let user = username(&login, &self.options);
        let command = self.command.iter().filter(|command| !command.is_empty()).cloned();
        let mut arguments = vec![client.host(user.as_deref())];
        arguments.extend(command);
        client.run("ssh", &self.options, arguments).await
    }
}
