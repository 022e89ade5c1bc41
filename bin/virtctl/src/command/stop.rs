//! `virtctl stop`

use anyhow::{Result, anyhow};
use clap::Args;

use super::{DryRun, Force, ending, exactly};
use crate::say::say;
use crate::session::Session;

/// Stop a virtual machine.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl stop (VM) [flags]",
    after_help = "Examples:\n  # Stop a virtual machine called 'myvm':\n  virtctl stop myvm\n\n  # Take the power from it:\n  virtctl stop myvm --force --grace-period=0"
)]
pub(crate) struct Stop {
    #[arg(hide = true, value_name = "VM")]
    arguments: Vec<String>,
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Stop {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let dry_run = self.dry_run.announced();
        let grace_period = self.force.grace_period()?;
        let request = ending(&api.namespace, name, "stop", (GRACE_PERIOD, grace_period), dry_run)?;
        api.call(&request).await.map_err(|error| match grace_period {
            None => anyhow!("error stopping VirtualMachine {error}"),
            Some(_) => anyhow!("error force stopping VirtualMachine: {error}"),
        })?;
        say!("VM {name} was scheduled to stop");
        Ok(())
    }
}

/// Name of the grace period in the body.
const GRACE_PERIOD: &str = "gracePeriod";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_grace_period_is_told_when_it_is_forced() {
        let body = |grace_period, dry_run| {
            ending("ns", "vm1", "stop", (GRACE_PERIOD, grace_period), dry_run).unwrap().body.unwrap()
        };
        assert_eq!(body(None, false), json!({}));
        assert_eq!(body(Some(0), false), json!({"gracePeriod": 0}));
        assert_eq!(body(Some(7), true), json!({"dryRun": ["All"], "gracePeriod": 7}));
    }
}
