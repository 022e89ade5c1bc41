//! Seeds for cloud-init: the documents that a guest reads at its first start, as NoCloud or ConfigDrive.

mod metadata;

use std::collections::{BTreeMap, BTreeSet};

use api::kubevirt::v1::{CloudInitConfigDriveSource, CloudInitNoCloudSource, VirtualMachineInstance, Volume};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::LocalObjectReference;

use metadata::{key_secrets, public_keys};

/// What a Secret or ConfigMap holds, by key.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// A seed, ready to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed {
    /// Label of its file system, by which cloud-init finds it.
    pub label: &'static str,
    /// Paths and contents, which may be secrets.
    pub files: Vec<(&'static str, Vec<u8>)>,
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.files.iter().map(|(name, _)| name).collect();
        formatter.debug_struct("Seed").field("label", &self.label).field("files", &names).finish()
    }
}

/// Which of cloud-init's sources of data a seed is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    NoCloud,
    ConfigDrive,
}

/// What a volume gives for a seed, whatever its kind.
struct Source<'a> {
    kind: Kind,
    user: Given<'a>,
    network: Given<'a>,
}

/// One document in one of its forms.
struct Given<'a> {
    secret: Option<&'a LocalObjectReference>,
    /// Keys of the Secret that may hold it.
    keys: [&'static str; 2],
    encoded: Option<&'a str>,
    field: &'static str,
    plain: Option<&'a str>,
}

impl<'a> Source<'a> {
    fn of(volume: &'a Volume) -> Option<Self> {
        if let Some(CloudInitNoCloudSource {
            network_data,
            network_data_base64,
            network_data_secret_ref,
            secret_ref,
            user_data,
            user_data_base64,
        }) = &volume.cloud_init_no_cloud
        {
            return Some(Self {
                kind: Kind::NoCloud,
                user: Given::user(secret_ref.as_ref(), user_data_base64.as_deref(), user_data.as_deref()),
                network: Given::network(
                    network_data_secret_ref.as_ref(),
                    network_data_base64.as_deref(),
                    network_data.as_deref(),
                ),
            });
        }
        let CloudInitConfigDriveSource {
            network_data,
            network_data_base64,
            network_data_secret_ref,
            secret_ref,
            user_data,
            user_data_base64,
        } = volume.cloud_init_config_drive.as_ref()?;
        Some(Self {
            kind: Kind::ConfigDrive,
            user: Given::user(secret_ref.as_ref(), user_data_base64.as_deref(), user_data.as_deref()),
            network: Given::network(
                network_data_secret_ref.as_ref(),
                network_data_base64.as_deref(),
                network_data.as_deref(),
            ),
        })
    }
}

impl<'a> Given<'a> {
    fn user(
        secret: Option<&'a LocalObjectReference>,
        encoded: Option<&'a str>,
        plain: Option<&'a str>,
    ) -> Self {
        Self { secret, keys: ["userdata", "userData"], encoded, field: "userDataBase64", plain }
    }

    fn network(
        secret: Option<&'a LocalObjectReference>,
        encoded: Option<&'a str>,
        plain: Option<&'a str>,
    ) -> Self {
        Self { secret, keys: ["networkdata", "networkData"], encoded, field: "networkDataBase64", plain }
    }

    fn read(
        &self,
        volume: &str,
        secrets: &BTreeMap<String, SecretData>,
    ) -> Result<Option<Vec<u8>>, CloudInitError> {
        match self.secret {
            Some(reference) => from_secret(&reference.name, &self.keys, volume, secrets).map(Some),
            None => inline(self.encoded, self.plain, self.field, volume),
        }
    }
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
    for source in vmi.spec.volumes.iter().filter_map(Source::of) {
        let references = [source.user.secret, source.network.secret];
        names.extend(references.into_iter().flatten().map(|reference| reference.name.clone()));
        names.extend(key_secrets(vmi, source.kind).map(str::to_owned));
    }
    names
}

/// Makes the seed of one volume.
///
/// `secrets` holds what [`secrets`] named, as far as it exists. Returns `None` when the volume is no source for
/// cloud-init.
pub fn seed(
    vmi: &VirtualMachineInstance,
    volume: &Volume,
    secrets: &BTreeMap<String, SecretData>,
) -> Result<Option<Seed>, CloudInitError> {
    let Some(source) = Source::of(volume) else {
        return Ok(None);
    };
    let user = source.user.read(&volume.name, secrets)?;
    let network = source.network.read(&volume.name, secrets)?;
    let keys = public_keys(vmi, source.kind, &volume.name, secrets)?;
    let (label, [user_path, meta_path, network_path]) = match source.kind {
        Kind::NoCloud => ("cidata", ["user-data", "meta-data", "network-config"]),
        Kind::ConfigDrive => (
            "config-2",
            [
                "openstack/latest/user_data",
                "openstack/latest/meta_data.json",
                "openstack/latest/network_data.json",
            ],
        ),
    };
    let mut files = vec![
        (user_path, user.unwrap_or_else(|| b"#cloud-config\n".to_vec())),
        (meta_path, metadata::of(vmi, source.kind, &keys)),
    ];
    // Without it the guest configures its network by itself.
    files.extend(network.map(|content| (network_path, content)));
    Ok(Some(Seed { label, files }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn instance(source: serde_json::Value) -> VirtualMachineInstance {
        serde_json::from_value(json!({
            "metadata": {"name": "vm", "namespace": "ns"},
            "spec": {
                "domain": {"devices": {}, "firmware": {"uuid": "u-u-i-d"}},
                "volumes": [source],
                "accessCredentials": [{"sshPublicKey": {
                    "source": {"secret": {"secretName": "keys"}}, "propagationMethod": {"configDrive": {}},
                }}],
            },
        }))
        .unwrap()
    }

    fn secret(name: &str, key: &str, value: &str) -> (String, SecretData) {
        (name.to_owned(), BTreeMap::from([(key.to_owned(), value.as_bytes().to_vec())]))
    }

    fn made(
        source: serde_json::Value,
        secrets: &BTreeMap<String, SecretData>,
    ) -> Result<BTreeMap<&'static str, String>, CloudInitError> {
        let vmi = instance(source);
        let seed = seed(&vmi, &vmi.spec.volumes[0], secrets)?.unwrap();
        let text = |content: Vec<u8>| String::from_utf8(content).unwrap();
        let mut files: BTreeMap<_, _> =
            seed.files.into_iter().map(|(name, content)| (name, text(content))).collect();
        files.insert("label", seed.label.to_owned());
        Ok(files)
    }

    fn no_cloud(source: serde_json::Value) -> serde_json::Value {
        json!({"name": "seed", "cloudInitNoCloud": source})
    }

    #[test]
    fn inline_base64_and_secret_are_the_same_text() {
        let text = "#cloud-config\nx: 1\n";
        let secrets = BTreeMap::from([secret("s", "userdata", text), secret("keys", "k", "ssh-x\n")]);
        for source in [
            json!({"userData": text}),
            json!({"userDataBase64": STANDARD.encode(text)}),
            json!({"secretRef": {"name": "s"}}),
        ] {
            assert_eq!(made(no_cloud(source.clone()), &secrets).unwrap()["user-data"], text);
            let drive = made(json!({"name": "seed", "cloudInitConfigDrive": source}), &secrets).unwrap();
            assert_eq!(drive["openstack/latest/user_data"], text);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let secret_ref = || no_cloud(json!({"secretRef": {"name": "s"}}));
        let error = made(secret_ref(), &BTreeMap::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "volume seed: the Secret s does not exist; create it, or correct the name"
        );
        let error = made(secret_ref(), &BTreeMap::from([secret("s", "x", "")])).unwrap_err();
        assert!(error.to_string().contains("userdata"));
        assert!(made(no_cloud(json!({"userDataBase64": "%"})), &BTreeMap::new()).is_err());
    }

    #[test]
    fn meta_data_tells_the_guest_its_name() {
        let files = made(no_cloud(json!({"networkData": "version: 2\n"})), &BTreeMap::new()).unwrap();
        let meta: serde_json::Value = serde_json::from_str(&files["meta-data"]).unwrap();
        assert_eq!(meta, json!({"instance-id": "vm.ns", "local-hostname": "vm"}));
        assert_eq!((files["network-config"].as_str(), files["label"].as_str()), ("version: 2\n", "cidata"));
    }

    #[test]
    fn a_configuration_drive_has_its_own_names_and_keys() {
        let secrets = BTreeMap::from([secret("keys", "k", "ssh-ed25519 AAA bob\n")]);
        let source = json!({"name": "seed", "cloudInitConfigDrive": {"networkData": "{}"}});
        let vmi = instance(source.clone());
        assert_eq!(super::secrets(&vmi).into_iter().collect::<Vec<_>>(), ["keys"]);
        let files = made(source, &secrets).unwrap();
        let meta: serde_json::Value =
            serde_json::from_str(&files["openstack/latest/meta_data.json"]).unwrap();
        assert_eq!(
            meta,
            json!({
                "instance_id": "vm.ns", "hostname": "vm", "uuid": "u-u-i-d",
                "public_keys": {"0": "ssh-ed25519 AAA bob"},
            })
        );
        assert_eq!(
            (files["openstack/latest/network_data.json"].as_str(), files["label"].as_str()),
            ("{}", "config-2")
        );
    }
}
