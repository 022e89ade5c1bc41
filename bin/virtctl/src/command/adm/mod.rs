//! `virtctl adm`: the installation's own settings.

mod log_verbosity;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::cli;
use crate::say::say;
use crate::session::Session;

/// Change settings of the installation.
#[derive(Args, Debug)]
#[command(override_usage = "virtctl adm [command]")]
pub(crate) struct Adm {
    #[command(subcommand)]
    command: Option<What>,
    /// What is no command is answered with help, as no word at all is.
    #[arg(hide = true)]
    arguments: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum What {
    #[command(aliases = ["logverbosity", "logVerbosity"])]
    LogVerbosity(log_verbosity::LogVerbosity),
}

impl Adm {
    /// Runs the command.
    ///
    /// # Errors
    /// When flags contradict each other, or the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        match &self.command {
            Some(What::LogVerbosity(command)) => command.run(session).await,
            None => {
                say!("{}", cli::help_of("adm"));
                Ok(())
            }
        }
    }
}
