//! `virtctl credentials remove-ssh-key`

use anyhow::{Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{ArgAction, Args};
use serde_json::{Map, Value};

use super::key::{Key, is_key};
use super::secrets;
use crate::api::Api;
use crate::command::exactly;
use crate::request::{Kind, Request, Verb};
use crate::say;
use crate::session::Session;

/// How often a secret that others change at the same time is tried.
const TRIES: u32 = 5;

/// Let a key log in to a virtual machine no more.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl credentials remove-ssh-key (VM) [flags]",
    after_help = "Examples:\n  # A key in a file:\n  virtctl credentials remove-ssh-key --user me --file key.pub myvm\n\n  # Also from a secret that is not the machine's own:\n  virtctl credentials remove-ssh-key --user me --file key.pub --force myvm"
)]
pub(super) struct RemoveSshKey {
    #[arg(hide = true, value_name = "VM")]
    arguments: Vec<String>,
    #[command(flatten)]
    key: Key,
    /// Change a secret that is not the machine's own.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    force: bool,
}

impl RemoveSshKey {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no such machine or secret, or the server does not agree.
    pub(super) async fn run(&self, session: &Session) -> Result<()> {
        // More words are no mistake here, as in the reference.
        let [name] = exactly(&self.arguments[..self.arguments.len().min(1)])?;
        self.key.exclude()?;
        let api = session.api().await?;
        let key = self.key.read()?;
        let machine = secrets::machine(api, name).await?;
        let user = &self.key.user;
        let mut known = secrets::of_keys(&machine, user);
        if known.is_empty() {
            say::part(format_args!("No secrets associated with user {user}"));
            return Ok(());
        }
        let wanted = &self.key.secret;
        if !wanted.is_empty() {
            known.retain(|secret| secret == wanted);
            if known.is_empty() {
                bail!("secret {wanted} is not associated with user {user}");
            }
        }
        for secret in known {
            self.take_from(api, &machine, &secret, &key).await?;
        }
        Ok(())
    }

    /// Takes the key out of one secret. One that is gone has no keys.
    async fn take_from(&self, api: &Api, machine: &Value, name: &str, key: &str) -> Result<()> {
        for tried in 1.. {
            let mut secret = match secrets::read(api, name).await {
                Ok(secret) => secret,
                Err(error) if error.code() == Some(404) => return Ok(()),
                Err(error) => return Err(anyhow!(error)),
            };
            if !self.force {
                secrets::must_be_owned(&secret, machine)?;
            }
            let left = secrets::entries(&secret).into_iter().filter_map(|(entry, keys)| {
                let keys = without(&keys, key);
                (!keys.is_empty()).then(|| (entry, Value::from(STANDARD.encode(keys))))
            });
            let left: Map<_, _> = left.collect();
            secret["data"] = left.into();
            let request = Request::of_object(Verb::Put, &api.namespace, Kind::Secret, name)?;
            match api.call(&request.with_body(secret)).await {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == Some(404) => return Ok(()),
                Err(error) if error.code() == Some(409) && tried < TRIES => {}
                Err(error) => return Err(anyhow!(error)),
            }
        }
        Ok(())
    }
}

/// Returns the lines that are neither empty nor this key.
fn without(keys: &str, key: &str) -> String {
    let left = keys.split('\n').filter(|line| !is_key(line, key) && !line.trim().is_empty());
    left.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_whatever_its_comment() {
        let keys = "ssh-ed25519 AAAA me\n\n  ssh-ed25519 BBBB you\nssh-rsa CCCC\n";
        assert_eq!(without(keys, "ssh-ed25519 AAAA"), "  ssh-ed25519 BBBB you\nssh-rsa CCCC");
        assert_eq!(without("ssh-ed25519 AAAA me\n", "ssh-ed25519 AAAA me"), "");
    }
}
