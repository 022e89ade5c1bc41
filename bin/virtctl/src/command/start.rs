//! `virtctl start`

use anyhow::{Result, anyhow};
use clap::{ArgAction, Args};

use super::{DryRun, exactly, put};
use crate::request::{Kind, NameError, Request, Verb, options};
use crate::say::say;
use crate::session::Session;

/// Start a virtual machine.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl start (VM) [flags]",
    after_help = "Examples:\n  # Start a virtual machine called 'myvm':\n  virtctl start myvm"
)]
pub(crate) struct Start {
    #[arg(hide = true, value_name = "VM")]
    arguments: Vec<String>,
    /// Start the machine, but let its processors wait for `unpause`.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    paused: bool,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Start {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let request = request(&api.namespace, name, self.paused, self.dry_run.announced())?;
        api.call(&request).await.map_err(|error| anyhow!("Error starting VirtualMachine {error}"))?;
        say!("VM {name} was scheduled to start");
        Ok(())
    }
}

fn request(namespace: &str, name: &str, paused: bool, dry_run: bool) -> Result<Request, NameError> {
    let mut body = options(dry_run);
    if paused {
        put(&mut body, "paused", true);
    }
    Ok(Request::subresource(Verb::Put, namespace, Kind::Machine, name, "start")?.with_body(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_body_has_what_is_asked_for_and_no_more() {
        for (paused, dry_run, body) in [
            (false, false, json!({})),
            (true, false, json!({"paused": true})),
            (true, true, json!({"dryRun": ["All"], "paused": true})),
        ] {
            let request = request("ns", "vm1", paused, dry_run).unwrap();
            assert_eq!(request.body, Some(body));
            assert_eq!(
                request.path,
                "/apis/subresources.kubevirt.io/v1/namespaces/ns/virtualmachines/vm1/start"
            );
        }
    }
}
