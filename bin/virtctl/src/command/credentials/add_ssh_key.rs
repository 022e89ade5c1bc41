//! `virtctl credentials add-ssh-key`

use anyhow::{Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{ArgAction, Args};
use serde_json::{Value, json};

use super::key::{Key, is_key};
use super::secrets;
use crate::api::Api;
use crate::command::exactly;
use crate::flags::{at_most_one, unique};
use crate::request::{Kind, Request, Verb};
use crate::say;
use crate::session::Session;

/// Let a key log in to a virtual machine.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl credentials add-ssh-key (VM) [flags]",
    after_help = "Examples:\n  # A key in a file:\n  virtctl credentials add-ssh-key --user me --file key.pub myvm\n\n  # A key in a secret of its own; a machine that runs takes it over when it is restarted:\n  virtctl credentials add-ssh-key --create-secret --force --user me --file key.pub myvm"
)]
pub(super) struct AddSshKey {
    #[arg(hide = true, value_name = "VM")]
    arguments: Vec<String>,
    #[command(flatten)]
    key: Key,
    /// Make a secret for the key. A machine that runs does not learn of it: --force is needed then.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "bool")]
    create_secret: Option<bool>,
    /// Put the key into a secret that is there. One that is not the machine's own needs --force.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "bool")]
    update_secret: Option<bool>,
    /// Change a secret that is not the machine's own, or a machine that runs.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    force: bool,
}

impl AddSshKey {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no such machine, no secret for the user, or the server does not agree.
    pub(super) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        at_most_one(&[
            ("create-secret", self.create_secret.is_some()),
            ("update-secret", self.update_secret.is_some()),
        ])?;
        self.key.exclude()?;
        let api = session.api().await?;
        let key = self.key.read()?;
        let machine = secrets::machine(api, name).await?;
        let known = secrets::of_keys(&machine, &self.key.user);
        let create =
            self.create_secret == Some(true) || (self.update_secret != Some(true) && known.is_empty());
        if create {
            self.create(api, name, &machine, &key).await
        } else {
            self.update(api, &machine, &known, &key).await
        }
    }

    /// Makes a secret that goes with the machine, and names it in the machine's specification.
    async fn create(&self, api: &Api, name: &str, machine: &Value, key: &str) -> Result<()> {
        if !self.force {
            match api.call(&Request::object(&api.namespace, Kind::Instance, name)?).await {
                Ok(_) => bail!(
                    "virtual machine {name} is running. Use --force flag to update a running VM, it will take effect after restart"
                ),
                Err(error) if error.code() == Some(404) => {}
                Err(error) => bail!("error when getting virtual machine instance: {error}"),
            }
        }
        let request = Request::create(&api.namespace, Kind::Secret, secret(name, machine, key))?;
        let created = api.call(&request).await.map_err(|error| anyhow!("error creating secret: {error}"))?;
        let created: Value = serde_json::from_slice(&created)?;
        let method = json!({"qemuGuestAgent": {"users": [self.key.user]}});
        let source = json!({"secret": {"secretName": created["metadata"]["name"]}});
        let credential = json!({"sshPublicKey": {"source": source, "propagationMethod": method}});
        const LIST: &str = "/spec/template/spec/accessCredentials";
        let add = json!({"op": "add", "path": format!("{LIST}/-"), "value": credential});
        let request = Request::of_object(Verb::Patch, &api.namespace, Kind::Machine, name)?;
        if api.call(&request.clone().with_body(json!([add]))).await.is_ok() {
            return Ok(());
        }
        // It may have no credentials at all yet.
        let test = json!({"op": "test", "path": LIST, "value": null});
        let begin = json!({"op": "add", "path": LIST, "value": []});
        let patched = api.call(&request.with_body(json!([test, begin, add]))).await;
        patched.map_err(|error| anyhow!("error patching virtual machine: {error}"))?;
        Ok(())
    }

    async fn update(&self, api: &Api, machine: &Value, known: &[String], key: &str) -> Result<()> {
        if known.is_empty() {
            bail!("no secrets specified for user: {}", self.key.user);
        }
        let name = secrets::choose(&self.key.secret, known)?;
        let secret = secrets::read(api, name).await;
        let secret = secret.map_err(|error| anyhow!("error getting secret \"{name}\": {error}"))?;
        if secrets::entries(&secret).iter().any(|(_, keys)| keys.lines().any(|line| is_key(line, key))) {
            say::part(format_args!("Secret \"{name}\" already contains this SSH key."));
            return Ok(());
        }
        if !self.force {
            secrets::must_be_owned(&secret, machine)?;
        }
        secrets::put(api, name, &unique("ssh-key-", 6), key).await?;
        say::part(format_args!("Successfully added the key to secret \"{name}\""));
        Ok(())
    }
}

fn secret(name: &str, machine: &Value, key: &str) -> Value {
    let owner = json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "name": name,
        "uid": machine["metadata"]["uid"],
        "controller": true,
    });
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"generateName": format!("{name}-ssh-key-"), "ownerReferences": [owner]},
        "data": {unique("ssh-key-", 6): STANDARD.encode(key)},
    })
}
