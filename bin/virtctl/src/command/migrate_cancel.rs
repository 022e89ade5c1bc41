//! `virtctl migrate-cancel`

use anyhow::{Result, anyhow, bail};
use clap::Args;
use serde_json::Value;

use super::{DryRun, exactly};
use crate::request::{Kind, Request, Verb, options};
use crate::say::say;
use crate::session::Session;

/// Cancel the migration of a virtual machine.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl migrate-cancel (VM) [flags]",
    after_help = "Examples:\n  # Cancel the migration of a virtual machine called 'myvm':\n  virtctl migrate-cancel myvm"
)]
pub(crate) struct MigrateCancel {
    #[arg(hide = true, value_name = "VM")]
    arguments: Vec<String>,
    #[command(flatten)]
    dry_run: DryRun,
}

impl MigrateCancel {
    /// Runs the command.
    ///
    /// # Errors
    /// When nothing migrates, or the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let listed = api.call(&Request::migrations_of(&api.namespace, name)?).await;
        let listed = listed
            .map_err(|error| anyhow!("Error fetching virtual machine instance migration list  {error}"))?;
        let listed: Value = serde_json::from_slice(&listed)?;
        let Some(migration) = under_way(&listed) else { bail!("Found no migration to cancel for {name}") };
        let request = Request::of_object(Verb::Delete, &api.namespace, Kind::Migration, migration)?;
        let canceled = api.call(&request.with_body(options(self.dry_run.announced()))).await;
        canceled.map_err(|error| {
            anyhow!("Error canceling migration {migration} of a VirtualMachine {name}: {error}")
        })?;
        say!("VM {name} was scheduled to migrate-cancel");
        Ok(())
    }
}

/// Returns the name of the migration that has not ended yet; there is one at most.
fn under_way(list: &Value) -> Option<&str> {
    let mut all = list["items"].as_array()?.iter();
    let active = all.find(|one| !matches!(one["status"]["phase"].as_str(), Some("Succeeded" | "Failed")));
    active?["metadata"]["name"].as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn migrations_that_have_ended_are_left_alone() {
        let one = |name: &str, phase: &str| json!({"metadata": {"name": name}, "status": {"phase": phase}});
        let ended = [one("a", "Failed"), one("b", "Succeeded")];
        assert_eq!(under_way(&json!({"items": ended})), None);
        assert_eq!(under_way(&json!({"items": [ended[0], one("c", "Running")]})), Some("c"));
        assert_eq!(under_way(&json!({"items": [{"metadata": {"name": "d"}}]})), Some("d"));
    }
}
