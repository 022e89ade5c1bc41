//! `virtctl restart`

use anyhow::{Result, anyhow};
use clap::Args;

use super::{DryRun, Force, ending, exactly};
use crate::say::say;
use crate::session::Session;

/// Restart a virtual machine.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl restart (VM) [flags]",
    after_help = "Examples:\n  # Restart a virtual machine called 'myvm':\n  virtctl restart myvm\n\n  # Restart it without waiting for its guest:\n  virtctl restart myvm --force --grace-period=0"
)]
pub(crate) struct Restart {
    #[arg(hide = true, value_name = "VM")]
    arguments: Vec<String>,
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Restart {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let dry_run = self.dry_run.announced();
        let grace_period = self.force.grace_period()?;
        let request = ending(&api.namespace, name, "restart", (GRACE_PERIOD, grace_period), dry_run)?;
        api.call(&request).await.map_err(|error| match grace_period {
            None => anyhow!("error restarting VirtualMachine: {error}"),
            Some(_) => anyhow!("error force restarting VirtualMachine: {error}"),
        })?;
        say!("VM {name} was scheduled to restart");
        Ok(())
    }
}

/// Name of the grace period in the body.
const GRACE_PERIOD: &str = "gracePeriodSeconds";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_grace_period_has_another_name_than_in_stop() {
        let request = ending("ns", "vm1", "restart", (GRACE_PERIOD, Some(0)), false).unwrap();
        assert_eq!(request.body, Some(json!({"gracePeriodSeconds": 0})));
        assert!(request.path.ends_with("/virtualmachines/vm1/restart"));
    }
}
