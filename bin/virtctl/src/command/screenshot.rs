//! `virtctl vnc screenshot`

use std::io::Write as _;

use anyhow::{Result, anyhow};
use clap::{ArgAction, Args};

use super::exactly;
use crate::request::{Kind, NameError, Request, Verb};
use crate::session::Session;

/// Take a picture of a virtual machine instance's screen, in PNG.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl vnc screenshot (VMI) [flags]",
    after_help = "Examples:\n  # Take a picture of the screen of 'myvmi':\n  virtctl vnc screenshot myvmi -f screenshot.png\n\n  # Hand it to another program:\n  virtctl vnc screenshot myvmi -f - | display"
)]
pub(crate) struct Screenshot {
    #[arg(hide = true, value_name = "VMI")]
    arguments: Vec<String>,
    /// File to write; '-' is standard output.
    #[arg(long, short, value_name = "file")]
    file: String,
    /// Move the pointer first, to wake a screen saver.
    #[arg(long, short, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    move_cursor: bool,
}

impl Screenshot {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree, or the file cannot be written.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let request = request(&api.namespace, name, self.move_cursor)?;
        let picture =
            api.call(&request).await.map_err(|error| anyhow!("Can't access VMI {name}: {error}"))?;
        if self.file == "-" {
            let written = std::io::stdout().write_all(&picture);
            written.map_err(|error| anyhow!("failed to write image to stdout: {error}"))
        } else {
            let written = std::fs::write(&self.file, picture);
            written.map_err(|error| anyhow!("Can't write image to a file: {}: {error}", self.file))
        }
    }
}

fn request(namespace: &str, name: &str, move_cursor: bool) -> Result<Request, NameError> {
    let request = Request::subresource(Verb::Get, namespace, Kind::Instance, name, "vnc/screenshot")?;
    Ok(request.with_parameter("moveCursor", move_cursor))
}
