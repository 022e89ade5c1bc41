//! Credentials that the server puts into the guest.

use serde_json::{Value, json};

use super::parameters::{FlagError, Parameters, prefixed};
use super::push;
use super::vm::{Draft, Vm};

const FLAG: &str = "access-cred";

/// What credentials need cloud-init to do, unless flags say otherwise.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Let the guest agent write keys.
    pub(super) agent: bool,
    /// Have cloud-init's data of this kind.
    pub(super) data_source: Option<&'static str>,
}

/// Adds credentials, and says what they need.
pub(super) fn add(flags: &Vm, draft: &mut Draft) -> Result<Wanted, FlagError> {
    let mut wanted = Wanted::default();
    for text in &flags.access_cred {
        let mut found = Parameters::read(FLAG, text)?;
        let (kind, source) = (found.text("type"), found.text("src"));
        let (method, user) = (found.text("method"), found.text("user"));
        found.finish()?;
        if source.is_empty() {
            return Err(found.wrong("src must be specified"));
        }
        match prefixed(&source) {
            Ok(("", _)) => {}
            Ok((_, name)) => {
                let reason = format!("not allowed to specify namespace of secret \"{name}\"");
                return Err(found.wrong(reason));
            }
            Err(reason) => return Err(found.wrong(format!("src invalid: {reason}"))),
        }
        let source = json!({"secret": {"secretName": source}});
        let method = method.to_lowercase();
        let credential = match kind.to_lowercase().as_str() {
            "" | "ssh" => {
                let method = keys(flags, &found, &method, &user, &mut wanted)?;
                json!({"sshPublicKey": {"source": source, "propagationMethod": method}})
            }
            "password" => {
                password(&found, &method, &user)?;
                json!({"userPassword": {"source": source, "propagationMethod": {"qemuGuestAgent": {}}}})
            }
            _ => {
                let reason =
                    format!("invalid access credential type \"{kind}\", supported values are: ssh, password");
                return Err(found.wrong(reason));
            }
        };
        push(draft.instance(), "accessCredentials", credential);
    }
    Ok(wanted)
}

const NO_USER: &str = "user cannot be specified with selected access credential type and method";

fn keys(
    flags: &Vm,
    found: &Parameters,
    method: &str,
    user: &str,
    wanted: &mut Wanted,
) -> Result<Value, FlagError> {
    let (expected, field) = match method {
        "" | "ga" => {
            let user = Some(user).filter(|user| !user.is_empty()).or(flags.user.as_deref());
            let Some(user) = user.filter(|user| !user.is_empty()) else {
                return Err(found.wrong(
                    "user must be specified with access credential ssh method ga (\"--user\" flag or param \"user\")",
                ));
            };
            wanted.agent = true;
            return Ok(json!({"qemuGuestAgent": {"users": [user]}}));
        }
        "nocloud" => ("nocloud", "noCloud"),
        "configdrive" => ("configdrive", "configDrive"),
        _ => {
            let reason = format!(
                "invalid access credentials ssh method \"{method}\", supported values are: ga, nocloud, configdrive"
            );
            return Err(found.wrong(reason));
        }
    };
    if !user.is_empty() {
        return Err(found.wrong(NO_USER));
    }
    let chosen = flags.cloud_init.as_deref().or(wanted.data_source).unwrap_or(expected);
    if !chosen.eq_ignore_ascii_case(expected) {
        return Err(found.wrong(format!(
            "method param and value passed to --cloud-init have to match: {expected} vs {chosen}"
        )));
    }
    wanted.data_source = Some(expected);
    Ok(json!({field: {}}))
}

fn password(found: &Parameters, method: &str, user: &str) -> Result<(), FlagError> {
    if !matches!(method, "" | "ga") {
        let reason =
            format!("invalid access credentials password method \"{method}\", supported values are: ga");
        return Err(found.wrong(reason));
    }
    if user.is_empty() { Ok(()) } else { Err(found.wrong(NO_USER)) }
}
