//! What cloud-init finds in the guest.

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use super::access::Wanted;
use super::parameters::FlagError;
use super::push;
use super::vm::{Draft, Vm};
use super::volumes::{exists, there_already};

const DISK: &str = "cloudinitdisk";
const HEADER: &str = "#cloud-config";

/// Adds cloud-init's data, when flags or credentials ask for any.
pub(super) fn add(flags: &Vm, wanted: Wanted, draft: &mut Draft) -> Result<()> {
    let agent = if wanted.agent { flags.ga_manage_ssh.or(Some(true)) } else { flags.ga_manage_ssh };
    let chosen = flags.cloud_init.as_deref().or(wanted.data_source);
    let other = flags.password_file.is_some()
        || !flags.ssh_key.is_empty()
        || agent.is_some()
        || flags.cloud_init_user_data.is_some()
        || flags.cloud_init_network_data.is_some();
    if !other && flags.user.is_none() && chosen.is_none() {
        return Ok(());
    }
    if flags.password_file.is_some() {
        eprintln!("WARNING: --password-file: The password is stored in cleartext in the VM definition!");
    }
    if exists(draft, DISK).is_some() {
        bail!(there_already(DISK));
    }
    let word = chosen.unwrap_or("nocloud");
    let field = match word.to_lowercase().as_str() {
        "nocloud" => "cloudInitNoCloud",
        "configdrive" => "cloudInitConfigDrive",
        "none" => {
            if other {
                eprint!(
                    "WARNING: --cloud-init: was set to none, not creating a data source although other cloud-init options were set"
                );
            }
            return Ok(());
        }
        _ => {
            let reason = format!(
                "invalid cloud-init data source type \"{word}\", supported values are: nocloud, configdrive, none"
            );
            return Err(FlagError::new("cloud-init", reason).into());
        }
    };
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut data = Map::new();
    if let Some(network) = given(&flags.cloud_init_network_data) {
        data.insert("networkDataBase64".to_owned(), network.into());
    }
    match given(&flags.cloud_init_user_data) {
        Some(user) => data.insert("userDataBase64".to_owned(), user.into()),
        None => data.insert("userData".to_owned(), user_data(flags, agent == Some(true))?.into()),
    };
    let says_nothing = data.len() == 1 && data.get("userData") == Some(&Value::from(HEADER));
    if chosen.is_some() || !says_nothing {
        push(draft.instance(), "volumes", json!({"name": DISK, field: data}));
    }
    Ok(())
}

fn user_data(flags: &Vm, agent: bool) -> Result<String, FlagError> {
    let mut text = HEADER.to_owned();
    if let Some(user) = flags.user.as_ref().filter(|user| !user.is_empty()) {
        text.push_str(&format!("\nuser: {user}"));
    }
    if let Some(file) = flags.password_file.as_ref().filter(|file| !file.is_empty()) {
        let password = std::fs::read_to_string(file).map_err(|error| {
            let why = match error.kind() {
                std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                _ => error.to_string(),
            };
            FlagError::new("password-file", format!("open {file}: {why}"))
        })?;
        let password = password.trim();
        if !password.is_empty() {
            text.push_str(&format!("\npassword: {password}\nchpasswd: {{ expire: False }}"));
        }
    }
    if !flags.ssh_key.is_empty() {
        text.push_str("\nssh_authorized_keys:");
        for key in &flags.ssh_key {
            text.push_str(&format!("\n  - {key}"));
        }
    }
    if agent {
        text.push_str("\nruncmd:\n  - [ setsebool, -P, 'virt_qemu_ga_manage_ssh', 'on' ]");
    }
    Ok(text)
}
