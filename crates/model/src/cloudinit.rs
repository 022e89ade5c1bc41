//! The documents of a NoCloud seed: what a guest's cloud-init reads at its first start.

use std::collections::{BTreeMap, BTreeSet};

use api::kubevirt::v1::{AccessCredential, CloudInitNoCloudSource, VirtualMachineInstance, Volume};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::network;

/// What a Secret holds, by key.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// The files of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// `user-data`.
    pub user_data: Vec<u8>,
    /// `meta-data`.
    pub meta_data: Vec<u8>,
    /// `network-config`; absent when the guest shall configure its network by itself.
    pub network_config: Option<Vec<u8>>,
}

/// Why a seed could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudInitError {
    /// A Secret is not there.
    #[error("volume {volume}: the Secret {secret} does not exist; create it, or correct the name")]
    NoSecret {
        /// Volume.
        volume: String,
        /// Secret.
        secret: String,
    },
    /// A Secret lacks its key.
    #[error("volume {volume}: the Secret {secret} has none of the keys {keys}; add one")]
    NoKey {
        /// Volume.
        volume: String,
        /// Secret.
        secret: String,
        /// Keys that were looked for.
        keys: String,
    },
    /// Text is no base64.
    #[error("volume {volume}: {field} is no base64: {reason}")]
    Base64 {
        /// Volume.
        volume: String,
        /// Field.
        field: &'static str,
        /// What the decoder says.
        reason: String,
    },
}

/// Returns the names of the Secrets that the instance's seeds are made from.
pub fn secrets(vmi: &VirtualMachineInstance) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in vmi.spec.volumes.iter().filter_map(|volume| volume.cloud_init_no_cloud.as_ref()) {
        names.extend(source.secret_ref.as_ref().map(|reference| reference.name.clone()));
        names.extend(source.network_data_secret_ref.as_ref().map(|reference| reference.name.clone()));
        names.extend(key_secrets(vmi).map(str::to_owned));
    }
    names
}

/// Makes the documents of one volume.
///
/// `secrets` holds what [`secrets`] named, as far as it exists. Returns `None` when the volume is no NoCloud
/// source.
pub fn documents(
    vmi: &VirtualMachineInstance,
    volume: &Volume,
    secrets: &BTreeMap<String, SecretData>,
) -> Result<Option<Documents>, CloudInitError> {
    let Some(source) = &volume.cloud_init_no_cloud else {
        return Ok(None);
    };
    let user_data = user_data(source, &volume.name, secrets)?;
    let network_config = network_data(source, &volume.name, secrets)?;
    Ok(Some(Documents {
        user_data: user_data.unwrap_or_else(|| b"#cloud-config\n".to_vec()),
        meta_data: meta_data(vmi, &public_keys(vmi, &volume.name, secrets)?),
        network_config,
    }))
}

fn user_data(
    source: &CloudInitNoCloudSource,
    volume: &str,
    secrets: &BTreeMap<String, SecretData>,
) -> Result<Option<Vec<u8>>, CloudInitError> {
    if let Some(reference) = &source.secret_ref {
        return from_secret(&reference.name, &["userdata", "userData"], volume, secrets).map(Some);
    }
    inline(source.user_data_base64.as_deref(), source.user_data.as_deref(), "userDataBase64", volume)
}

fn network_data(
    source: &CloudInitNoCloudSource,
    volume: &str,
    secrets: &BTreeMap<String, SecretData>,
) -> Result<Option<Vec<u8>>, CloudInitError> {
    if let Some(reference) = &source.network_data_secret_ref {
        return from_secret(&reference.name, &["networkdata", "networkData"], volume, secrets).map(Some);
    }
    inline(source.network_data_base64.as_deref(), source.network_data.as_deref(), "networkDataBase64", volume)
}

fn inline(
    encoded: Option<&str>,
    plain: Option<&str>,
    field: &'static str,
    volume: &str,
) -> Result<Option<Vec<u8>>, CloudInitError> {
    if let Some(text) = encoded.filter(|text| !text.is_empty()) {
        return STANDARD.decode(text.trim()).map(Some).map_err(|error| CloudInitError::Base64 {
            volume: volume.to_owned(),
            field,
            reason: error.to_string(),
        });
    }
    Ok(plain.filter(|text| !text.is_empty()).map(|text| text.as_bytes().to_vec()))
}

fn from_secret(
    name: &str,
    keys: &[&str],
    volume: &str,
    secrets: &BTreeMap<String, SecretData>,
) -> Result<Vec<u8>, CloudInitError> {
    let data = secrets
        .get(name)
        .ok_or_else(|| CloudInitError::NoSecret { volume: volume.to_owned(), secret: name.to_owned() })?;
    keys.iter().find_map(|key| data.get(*key)).cloned().ok_or_else(|| CloudInitError::NoKey {
        volume: volume.to_owned(),
        secret: name.to_owned(),
        keys: keys.join(", "),
    })
}

/// JSON is YAML too, and leaves no question of quoting.
fn meta_data(vmi: &VirtualMachineInstance, keys: &[String]) -> Vec<u8> {
    let name = vmi.metadata.name.as_deref().unwrap_or_default();
    let namespace = vmi.metadata.namespace.as_deref().unwrap_or_default();
    let mut data = json!({
        "instance-id": format!("{name}.{namespace}"),
        "local-hostname": network::hostname(vmi),
    });
    if !keys.is_empty() {
        let keys: serde_json::Map<String, serde_json::Value> =
            keys.iter().enumerate().map(|(index, key)| (index.to_string(), key.as_str().into())).collect();
        data["public-keys"] = keys.into();
    }
    data.to_string().into_bytes()
}

/// Names of Secrets whose every value is a public key for the seed.
fn key_secrets(vmi: &VirtualMachineInstance) -> impl Iterator<Item = &str> {
    vmi.spec.access_credentials.iter().filter_map(|credential: &AccessCredential| {
        let keys = credential.ssh_public_key.as_ref()?;
        keys.propagation_method.no_cloud.as_ref()?;
        keys.source.secret.as_ref().map(|secret| secret.secret_name.as_str())
    })
}

fn public_keys(
    vmi: &VirtualMachineInstance,
    volume: &str,
    secrets: &BTreeMap<String, SecretData>,
) -> Result<Vec<String>, CloudInitError> {
    let mut keys = Vec::new();
    for name in key_secrets(vmi) {
        let data = secrets
            .get(name)
            .ok_or_else(|| CloudInitError::NoSecret { volume: volume.to_owned(), secret: name.to_owned() })?;
        for value in data.values() {
            let text = String::from_utf8_lossy(value);
            keys.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(source: serde_json::Value) -> VirtualMachineInstance {
        serde_json::from_value(json!({
            "metadata": {"name": "vm", "namespace": "ns"},
            "spec": {"domain": {"devices": {}}, "volumes": [{"name": "seed", "cloudInitNoCloud": source}]},
        }))
        .unwrap()
    }

    fn made(
        source: serde_json::Value,
        secrets: &BTreeMap<String, SecretData>,
    ) -> Result<Documents, CloudInitError> {
        let vmi = instance(source);
        documents(&vmi, &vmi.spec.volumes[0], secrets).map(Option::unwrap)
    }

    #[test]
    fn inline_base64_and_secret_are_the_same_text() {
        let secrets = BTreeMap::from([(
            "s".to_owned(),
            BTreeMap::from([("userdata".to_owned(), b"#cloud-config\nx: 1\n".to_vec())]),
        )]);
        for source in [
            json!({"userData": "#cloud-config\nx: 1\n"}),
            json!({"userDataBase64": STANDARD.encode("#cloud-config\nx: 1\n")}),
            json!({"secretRef": {"name": "s"}}),
        ] {
            assert_eq!(made(source, &secrets).unwrap().user_data, b"#cloud-config\nx: 1\n");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = made(json!({"secretRef": {"name": "s"}}), &BTreeMap::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "volume seed: the Secret s does not exist; create it, or correct the name"
        );
        let secrets = BTreeMap::from([("s".to_owned(), BTreeMap::new())]);
        let error = made(json!({"secretRef": {"name": "s"}}), &secrets).unwrap_err();
        assert!(error.to_string().contains("userdata"));
        assert!(made(json!({"userDataBase64": "%"}), &BTreeMap::new()).is_err());
    }

    #[test]
    fn meta_data_tells_the_guest_its_name() {
        let documents = made(json!({"networkData": "version: 2\n"}), &BTreeMap::new()).unwrap();
        let meta: serde_json::Value = serde_json::from_slice(&documents.meta_data).unwrap();
        assert_eq!(meta, json!({"instance-id": "vm.ns", "local-hostname": "vm"}));
        assert_eq!(documents.network_config.as_deref(), Some(b"version: 2\n".as_slice()));
    }
}
