//! `virtctl explain-status`

use anyhow::Result;
use clap::Args;

use super::{Format, exactly};
use crate::age;
use crate::explain::{explain, gather};
use crate::say;
use crate::session::Session;

/// Say why a virtual machine does not run, and what to do.
///
/// One sentence, the words of the object that it comes from, the next step, and what happened before. It reads the machine,
/// its instance, Pod, claims, DataVolumes, node and Events, and changes nothing.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl explain-status (VM) [flags]",
    after_help = "Examples:\n  # Why 'myvm' does not run:\n  virtctl explain-status myvm\n\n  # The next step alone, in a script:\n  virtctl explain-status myvm --output json | jq -r .nextStep"
)]
pub(crate) struct ExplainStatus {
    #[arg(hide = true, value_name = "VM")]
    arguments: Vec<String>,
    /// Format: json or yaml [default: text].
    #[arg(long, short, value_name = "string")]
    output: Option<String>,
}

impl ExplainStatus {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no such machine, or it may not be read.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let format = Format::chosen(self.output.as_deref())?;
        let facts = gather::facts(session.api().await?, name, age::now()).await?;
        let explanation = explain(&facts);
        let text = match format {
            None => explanation.text(),
            Some(format) => format.document(&explanation.document()),
        };
        say::document(text.as_bytes())
    }
}
