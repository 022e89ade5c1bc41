//! `virtctl credentials set-password`

use anyhow::{Result, anyhow, bail};
use clap::{ArgAction, Args};

use super::secrets;
use crate::command::exactly;
use crate::say;
use crate::session::Session;

/// Set the password of a user of a virtual machine.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl credentials set-password (VM) [flags]",
    after_help = "Examples:\n  # In the machine's secret:\n  virtctl credentials set-password --user me --password secret myvm\n\n  # In a secret that is not the machine's own:\n  virtctl credentials set-password --user me --password secret --force myvm"
)]
pub(super) struct SetPassword {
    #[arg(hide = true, value_name = "VM")]
    arguments: Vec<String>,
    /// User in the guest.
    #[arg(long, short, required = true, value_name = "string")]
    user: String,
    /// Secret that holds the passwords.
    #[arg(long, default_value = "", value_name = "string")]
    secret: String,
    /// The password. Other users of this computer may see it while the command runs.
    #[arg(long, short, required = true, value_name = "string")]
    password: String,
    /// Change a secret that is not the machine's own.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    force: bool,
}

impl SetPassword {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no such machine, no secret for passwords, or the server does not agree.
    pub(super) async fn run(&self, session: &Session) -> Result<()> {
        let [name] = exactly(&self.arguments)?;
        let api = session.api().await?;
        let machine = secrets::machine(api, name).await?;
        let known = secrets::of_passwords(&machine);
        if known.is_empty() {
            bail!("no secrets assigned to UserPassword AccessCredentials");
        }
        let name = secrets::choose(&self.secret, &known)?;
        if !self.force {
            let secret = secrets::read(api, name).await;
            let secret = secret.map_err(|error| anyhow!("error getting secret \"{name}\": {error}"))?;
            secrets::must_be_owned(&secret, &machine)?;
        }
        secrets::put(api, name, &self.user, &self.password).await?;
        say::part(format_args!("Successfully set password in secret \"{name}\""));
        Ok(())
    }
}
