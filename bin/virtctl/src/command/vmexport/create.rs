//! Exports as objects.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Draft;
use super::download::Output;
use crate::api::{Api, CallError};
use crate::request::{Kind, Request, Verb};

/// Letters of a token.
const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
/// Length of a token.
const LENGTH: usize = 20;

/// An export of that name is there already.
#[derive(Debug, thiserror::Error)]
#[error("VirtualMachineExport '{namespace}/{name}' already exists")]
pub(super) struct Exists {
    namespace: String,
    name: String,
}

/// Reads an export; `None` when there is none.
pub(super) async fn read(api: &Api, name: &str) -> Result<Option<Value>, CallError> {
    match api.read(&Request::object(&api.namespace, Kind::Export, name)?).await {
        Ok(export) => Ok(Some(export)),
        Err(error) if error.code() == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes an export, and the secret with its token.
///
/// # Errors
/// When there is one already ([`Exists`]), or the server does not agree.
pub(super) async fn create(api: &Api, draft: &Draft, output: &Output) -> Result<Value> {
    let (namespace, name) = (&api.namespace, &draft.name);
    if read(api, name).await?.is_some() {
        return Err(Exists { namespace: namespace.clone(), name: name.clone() }.into());
    }
    let export = api.read(&Request::create(namespace, Kind::Export, object(draft))?).await?;
    let secret = secret(name, &export, &token()?);
    match api.call(&Request::create(namespace, Kind::Secret, secret)?).await {
        Err(error) if error.code() != Some(409) => return Err(error.into()),
        _ => {}
    }
    output.tell(format_args!("VirtualMachineExport '{namespace}/{name}' created succesfully"));
    Ok(export)
}

/// Deletes an export. That there is none is no failure.
pub(super) async fn delete(api: &Api, name: &str, output: &Output) -> Result<()> {
    let namespace = &api.namespace;
    match api.call(&Request::of_object(Verb::Delete, namespace, Kind::Export, name)?).await {
        Ok(_) => output.tell(format_args!("VirtualMachineExport '{namespace}/{name}' deleted succesfully")),
        Err(error) if error.code() == Some(404) => {
            output.tell(format_args!("VirtualMachineExport '{namespace}/{name}' does not exist"));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn object(draft: &Draft) -> Value {
    let mut export = json!({
        "apiVersion": "export.kubevirt.io/v1beta1",
        "kind": "VirtualMachineExport",
        "metadata": {"name": draft.name},
        "spec": {"tokenSecretRef": format!("secret-{}", draft.name), "source": draft.source},
    });
    for (field, given) in [("labels", &draft.labels), ("annotations", &draft.annotations)] {
        if !given.is_empty() {
            export["metadata"][field] = json!(given);
        }
    }
    if let Some(ttl) = draft.ttl {
        export["spec"]["ttlDuration"] = written(ttl).into();
    }
    export
}

/// Writes a duration as Go does.
fn written(duration: Duration) -> String {
    let (hours, minutes) = (duration.as_secs() / 3600, duration.as_secs() / 60 % 60);
    let seconds = (duration.as_secs() % 60) as f64 + f64::from(duration.subsec_nanos()) / 1e9;
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn secret(name: &str, export: &Value, token: &str) -> Value {
    let owner = json!({
        "apiVersion": "export.kubevirt.io/v1beta1",
        "kind": "VirtualMachineExport",
        "name": name,
        "uid": export["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": false,
    });
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": format!("secret-{name}"), "ownerReferences": [owner]},
        "type": "Opaque",
        "data": {"token": STANDARD.encode(token)},
    })
}

/// Makes a token that nobody guesses.
fn token() -> Result<String> {
    let mut random = [0; LENGTH];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random));
    read.context("reading random bytes for the export's token from /dev/urandom")?;
    Ok(random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 64)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_says_what_it_exports_and_how_long() {
        let draft = Draft {
            name: "e".to_owned(),
            source: json!({"kind": "VirtualMachine"}),
            ttl: Some(Duration::from_secs(5400)),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            ..Draft::default()
        };
        assert_eq!(
            object(&draft),
            json!({
                "apiVersion": "export.kubevirt.io/v1beta1", "kind": "VirtualMachineExport",
                "metadata": {"name": "e", "labels": {"a": "b"}},
                "spec": {"tokenSecretRef": "secret-e", "source": {"kind": "VirtualMachine"}, "ttlDuration": "1h30m0s"},
            })
        );
        for (seconds, words) in [(90.0, "1m30s"), (1.5, "1.5s"), (3600.0, "1h0m0s")] {
            assert_eq!(written(Duration::from_secs_f64(seconds)), words);
        }
    }

    #[test]
    fn a_token_is_long_and_never_the_same() {
        let (one, other) = (token().unwrap(), token().unwrap());
        assert!(one.len() == LENGTH && one != other, "{one} {other}");
        let secret = secret("e", &json!({"metadata": {"uid": "u"}}), "t");
        assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(secret["data"]["token"], "dA==");
    }
}
