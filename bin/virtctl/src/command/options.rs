//! `virtctl options`

use anyhow::Result;
use clap::Args;

use crate::cli;

/// Print the flags that every command has.
#[derive(Args, Debug)]
pub(crate) struct Options {}

impl Options {
    /// Runs the command.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(crate) fn run(&self) -> Result<()> {
        println!("The following options can be passed to any command:\n\n{}", cli::global_flags());
        Ok(())
    }
}
