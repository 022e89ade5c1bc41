//! The secrets that a machine's credentials stand in.

use anyhow::{Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::api::{Api, CallError};
use crate::request::{Kind, Request, Verb};

/// Reads a machine.
pub(super) async fn machine(api: &Api, name: &str) -> Result<Value> {
    let read = api.call(&Request::object(&api.namespace, Kind::Machine, name)?).await;
    let read = read.map_err(|error| anyhow!("error getting virtual machine: {error}"))?;
    Ok(serde_json::from_slice(&read)?)
}

fn credentials(machine: &Value) -> impl Iterator<Item = &Value> {
    machine["spec"]["template"]["spec"]["accessCredentials"].as_array().into_iter().flatten()
}

fn secret_of(credential: &Value) -> Option<String> {
    let name = credential["source"]["secret"]["secretName"].as_str()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Returns the secrets with keys that the guest agent gives to `user`.
pub(super) fn of_keys(machine: &Value, user: &str) -> Vec<String> {
    let keys = credentials(machine).map(|credential| &credential["sshPublicKey"]);
    let of_user = keys.filter(|key| {
        let users = key["propagationMethod"]["qemuGuestAgent"]["users"].as_array();
        users.is_some_and(|users| users.iter().any(|known| known == user))
    });
    of_user.filter_map(secret_of).collect()
}

/// Returns the secrets with passwords that the guest agent sets.
pub(super) fn of_passwords(machine: &Value) -> Vec<String> {
    let passwords = credentials(machine).map(|credential| &credential["userPassword"]);
    let set = passwords.filter(|password| password["propagationMethod"]["qemuGuestAgent"].is_object());
    set.filter_map(secret_of).collect()
}

/// Returns the secret that is asked for, or the only one.
pub(super) fn choose<'a>(wanted: &str, secrets: &'a [String]) -> Result<&'a str> {
    match (wanted, secrets) {
        ("", [only]) => Ok(only),
        ("", _) => bail!("multiple secrets specified, use option --secret to specify which secret to modify"),
        (wanted, _) => {
            let found = secrets.iter().find(|secret| *secret == wanted);
            found.map(String::as_str).ok_or_else(|| anyhow!("secret {wanted} was not assigned"))
        }
    }
}

/// Reads a secret.
pub(super) async fn read(api: &Api, name: &str) -> Result<Value, CallError> {
    let read = api.call(&Request::of_object(Verb::Get, &api.namespace, Kind::Secret, name)?).await?;
    serde_json::from_slice(&read).map_err(CallError::Unreadable)
}

/// Refuses a secret that others may use, too.
pub(super) fn must_be_owned(secret: &Value, machine: &Value) -> Result<()> {
    let (name, uid) = (&machine["metadata"]["name"], &machine["metadata"]["uid"]);
    let mut owners = secret["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let own =
        |owner: &Value| owner["kind"] == "VirtualMachine" && &owner["name"] == name && &owner["uid"] == uid;
    if owners.any(own) {
        return Ok(());
    }
    let text = |name: &Value| name.as_str().unwrap_or_default().to_owned();
    bail!(
        "secret {} does not have an owner reference pointing to VM {}",
        text(&secret["metadata"]["name"]),
        text(name)
    )
}

/// Puts one entry into a secret.
pub(super) async fn put(api: &Api, name: &str, entry: &str, content: &str) -> Result<()> {
    let content = STANDARD.encode(content);
    let path = format!("/data/{}", entry.replace('~', "~0").replace('/', "~1"));
    let add = json!({"op": "add", "path": path, "value": content});
    let request = Request::of_object(Verb::Patch, &api.namespace, Kind::Secret, name)?;
    if api.call(&request.clone().with_body(json!([add]))).await.is_ok() {
        return Ok(());
    }
    // It may have no data at all yet.
    let test = json!({"op": "test", "path": "/data", "value": null});
    let begin = json!({"op": "add", "path": "/data", "value": {}});
    let patched = api.call(&request.with_body(json!([test, begin, add]))).await;
    patched.map_err(|error| anyhow!("error patching secret \"{name}\": {error}"))?;
    Ok(())
}

/// Returns the entries of a secret.
pub(super) fn entries(secret: &Value) -> Vec<(String, String)> {
    let data = secret["data"].as_object().into_iter().flatten();
    let decoded = data.map(|(name, content)| {
        let content = STANDARD.decode(content.as_str().unwrap_or_default()).unwrap_or_default();
        (name.clone(), String::from_utf8_lossy(&content).into_owned())
    });
    decoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_by_user_and_kind() {
        let source = |name: &str| json!({"secret": {"secretName": name}});
        let agent = |users: &[&str]| json!({"qemuGuestAgent": {"users": users}});
        let machine = json!({"spec": {"template": {"spec": {"accessCredentials": [
            {"sshPublicKey": {"source": source("a"), "propagationMethod": agent(&["me", "you"])}},
            {"sshPublicKey": {"source": source("b"), "propagationMethod": {"noCloud": {}}}},
            {"sshPublicKey": {"source": source("c"), "propagationMethod": agent(&["you"])}},
            {"userPassword": {"source": source("d"), "propagationMethod": {"qemuGuestAgent": {}}}},
        ]}}}});
        assert_eq!(of_keys(&machine, "me"), ["a"]);
        let of_you = of_keys(&machine, "you");
        assert_eq!(of_you, ["a", "c"]);
        assert_eq!(of_passwords(&machine), ["d"]);
        assert_eq!(choose("", &of_you[..1]).unwrap(), "a");
        assert_eq!(choose("c", &of_you).unwrap(), "c");
        assert!(choose("", &of_you).unwrap_err().to_string().starts_with("multiple secrets"));
        assert_eq!(choose("d", &of_you).unwrap_err().to_string(), "secret d was not assigned");
    }
}
