//! `virtctl removevolume`, and how requests for volumes are repeated.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{ArgAction, Args};
use serde_json::Value;

use super::{DryRun, exactly, put};
use crate::api::{Api, CallError};
use crate::request::{Kind, Request, Verb, options};
use crate::say::say;
use crate::session::Session;

/// Tries until the machine has stood still for one of them.
const TRIES: u32 = 15;

/// Wait after the first try; the waits after the others are as many times longer.
const PAUSE: Duration = Duration::from_millis(3);

/// What a server says when the machine changed between its look and its write.
const CHANGED: &str = "the server rejected our request due to an error in our request";

/// Remove a volume from a running virtual machine.
///
/// Only a volume that was added while a machine ran can be removed. It goes from the machine's definition, too.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl removevolume (VM) --volume-name=NAME [flags]",
    after_help = "Examples:\n  # Remove the volume 'data' from 'myvm':\n  virtctl removevolume myvm --volume-name=data"
)]
pub(crate) struct RemoveVolume {
    #[arg(hide = true, value_name = "VM")]
    arguments: Vec<String>,
    /// Name of the volume in the machine.
    #[arg(long, required = true, value_name = "string")]
    volume_name: String,
    /// Deprecated: volumes go from the machine's definition without it.
    #[arg(long, hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    persist: bool,
    #[command(flatten)]
    dry_run: DryRun,
}

impl RemoveVolume {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let mut body = options(self.dry_run.announced());
        put(&mut body, "name", self.volume_name.as_str());
        persuade(api, name, "removevolume", "removing", &body).await?;
        say!("Successfully submitted remove volume request to VM {name} for volume {}", self.volume_name);
        Ok(())
    }
}

/// Asks for a change of volumes: of the machine, or of the instance where no machine has the name; again while the machine
/// changes under the server's hands.
pub(super) async fn persuade(api: &Api, name: &str, part: &str, doing: &str, body: &Value) -> Result<()> {
    for attempt in 1..=TRIES {
        let mut outcome = ask(api, Kind::Machine, name, part, body).await;
        if outcome.as_ref().is_err_and(|error| error.code() == Some(404)) {
            outcome = ask(api, Kind::Instance, name, part, body).await;
        }
        match outcome {
            Ok(()) => return Ok(()),
            Err(error) if !has_changed(&error) => return Err(anyhow!("error {doing} volume, {error}")),
            Err(_) if attempt < TRIES => tokio::time::sleep(PAUSE * attempt).await,
            Err(_) => {}
        }
    }
    bail!("error {doing} volume after {TRIES} retries")
}

async fn ask(api: &Api, kind: Kind, name: &str, part: &str, body: &Value) -> Result<(), CallError> {
    let request = Request::subresource(Verb::Put, &api.namespace, kind, name, part)?;
    api.call(&request.with_body(body.clone())).await.map(drop)
}

fn has_changed(error: &CallError) -> bool {
    matches!(error, CallError::Refused { code: 422, message } if message.starts_with(CHANGED))
}
