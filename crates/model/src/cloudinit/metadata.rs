//! Who the guest is: the document beside the user's own.

use std::collections::BTreeMap;

use api::kubevirt::v1::VirtualMachineInstance;
use serde_json::json;

use super::{CloudInitError, Kind, SecretData};
use crate::network;
use crate::record::machine_uuid;

/// Writes the document. JSON is YAML too, and leaves no question of quoting.
pub(super) fn of(vmi: &VirtualMachineInstance, kind: Kind, keys: &[String]) -> Vec<u8> {
    let name = vmi.metadata.name.as_deref().unwrap_or_default();
    let namespace = vmi.metadata.namespace.as_deref().unwrap_or_default();
    let identity = format!("{name}.{namespace}");
    let (mut data, key_field) = match kind {
        Kind::NoCloud => {
            (json!({"instance-id": identity, "local-hostname": network::hostname(vmi)}), "public-keys")
        }
        Kind::ConfigDrive => (
            json!({
                "instance_id": identity, "hostname": network::hostname(vmi), "uuid": machine_uuid(vmi),
            }),
            "public_keys",
        ),
    };
    if !keys.is_empty() {
        let keys: serde_json::Map<String, serde_json::Value> =
            keys.iter().enumerate().map(|(index, key)| (index.to_string(), key.as_str().into())).collect();
        data[key_field] = keys.into();
    }
    data.to_string().into_bytes()
}

/// Names of Secrets whose every value is a public key for a seed of this kind.
pub(super) fn key_secrets(vmi: &VirtualMachineInstance, kind: Kind) -> impl Iterator<Item = &str> {
    vmi.spec.access_credentials.iter().filter_map(move |credential| {
        let keys = credential.ssh_public_key.as_ref()?;
        let method = &keys.propagation_method;
        match kind {
            Kind::NoCloud => method.no_cloud.as_ref().map(drop)?,
            Kind::ConfigDrive => method.config_drive.as_ref().map(drop)?,
        }
        keys.source.secret.as_ref().map(|secret| secret.secret_name.as_str())
    })
}

/// Reads the public keys of a seed.
pub(super) fn public_keys(
    vmi: &VirtualMachineInstance,
    kind: Kind,
    volume: &str,
    secrets: &BTreeMap<String, SecretData>,
) -> Result<Vec<String>, CloudInitError> {
    let mut keys = Vec::new();
    for name in key_secrets(vmi, kind) {
        let data = secrets
            .get(name)
            .ok_or_else(|| CloudInitError::NoSecret { volume: volume.to_owned(), secret: name.to_owned() })?;
        keys.extend(crate::credentials::keys(data));
    }
    Ok(keys)
}
