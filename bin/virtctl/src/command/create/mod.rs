//! `virtctl create`: manifests from flags. Nothing is sent anywhere.

mod access;
mod clone;
mod cloud_init;
mod imports;
mod instancetype;
mod parameters;
mod preference;
mod vm;
mod volumes;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli;
use crate::say::{self, say};
use crate::session::Session;
use crate::yaml;

/// Length of the random end of a name.
const SUFFIX: usize = 5;

/// Create a manifest.
#[derive(Args, Debug)]
#[command(override_usage = "virtctl create [command]")]
pub(crate) struct Create {
    #[command(subcommand)]
    command: Option<What>,
    /// What is no command is answered with help, as no word at all is.
    #[arg(hide = true)]
    arguments: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum What {
    Vm(Box<vm::Vm>),
    Preference(preference::Preference),
    Instancetype(instancetype::Instancetype),
    Clone(clone::Clone),
}

impl Create {
    /// Runs the command.
    ///
    /// # Errors
    /// When flags contradict each other or are wrong.
    pub(crate) fn run(&self, session: &Session) -> Result<()> {
        // Only a namespace that is asked for gets into a manifest.
        let namespace = session.connection.namespace.as_deref().filter(|namespace| !namespace.is_empty());
        let manifest = match &self.command {
            Some(What::Vm(vm)) => vm.manifest(namespace)?,
            Some(What::Preference(preference)) => preference.manifest(namespace)?,
            Some(What::Instancetype(instancetype)) => instancetype.manifest(namespace)?,
            Some(What::Clone(clone)) => clone.manifest(namespace)?,
            None => {
                say!("{}", cli::help_of("create"));
                return Ok(());
            }
        };
        say::document(yaml::document(&manifest).as_bytes())
    }
}

/// Begins a manifest.
fn object(api_version: &str, kind: &str, name: &str, namespace: Option<&str>) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

/// Adds `item` to the list `name` of `parent`, which need not be there yet.
fn push(parent: &mut Value, name: &str, item: Value) {
    match &mut parent[name] {
        Value::Array(items) => items.push(item),
        missing => *missing = Value::Array(vec![item]),
    }
}
