//! `virtctl migrate`

use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::Value;

use super::{DryRun, exactly, put};
use crate::flags::{Pairs, pairs};
use crate::request::{Kind, NameError, Request, Verb, options};
use crate::say::say;
use crate::session::Session;

/// Migrate a virtual machine to another node.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl migrate (VM) [flags]",
    after_help = "Examples:\n  # Migrate a virtual machine called 'myvm':\n  virtctl migrate myvm"
)]
pub(crate) struct Migrate {
    #[arg(hide = true, value_name = "VM")]
    arguments: Vec<String>,
    /// Labels that the new node must have, besides what the machine asks for; only for this migration.
    #[arg(long = "addedNodeSelector", value_name = "key=value,...", value_parser = pairs)]
    added_node_selector: Vec<Pairs>,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Migrate {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let request = request(&api.namespace, name, &self.added_node_selector, self.dry_run.announced())?;
        api.call(&request).await.map_err(|error| anyhow!("Error migrating VirtualMachine {error}"))?;
        say!("VM {name} was scheduled to migrate");
        Ok(())
    }
}

fn request(namespace: &str, name: &str, selectors: &[Pairs], dry_run: bool) -> Result<Request, NameError> {
    let mut body = options(dry_run);
    let labels = selectors.iter().flat_map(|Pairs(pairs)| pairs.iter().cloned());
    let labels: serde_json::Map<_, _> = labels.map(|(key, value)| (key, Value::from(value))).collect();
    if !labels.is_empty() {
        put(&mut body, "addedNodeSelector", labels);
    }
    Ok(Request::subresource(Verb::Put, namespace, Kind::Machine, name, "migrate")?.with_body(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_of_all_uses_are_sent() {
        let selectors = [pairs("a=1,b=2").unwrap(), pairs("c=3").unwrap()];
        let request = request("ns", "vm1", &selectors, true).unwrap();
        let labels = json!({"a": "1", "b": "2", "c": "3"});
        assert_eq!(request.body, Some(json!({"dryRun": ["All"], "addedNodeSelector": labels})));
    }
}
