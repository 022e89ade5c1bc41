//! Volumes that are made of other objects: each becomes a small optical disk with their entries as files.

use std::collections::{BTreeMap, BTreeSet};

use api::kubevirt::v1::{VirtualMachineInstance, Volume};
use k8s_openapi::api::core::v1::Pod;

use crate::cloudinit::SecretData;
use crate::downward::{self, DownwardError};

/// Label where the volume names none.
const LABEL: &str = "cfgdata";
/// Label of answers for an unattended installation.
const SYSPREP_LABEL: &str = "unattendCD";
/// Files of which an unattended installation needs one, in any case.
const ANSWERS: [&str; 2] = ["autounattend.xml", "unattend.xml"];

/// The objects that an instance's volumes are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// Secrets.
    pub secrets: BTreeSet<String>,
    /// Service accounts whose tokens are shown.
    pub service_accounts: BTreeSet<String>,
    /// Whether the launcher's Pod is.
    pub pod: bool,
}

/// Those objects, as far as they exist.
#[derive(Clone, Default)]
pub struct Objects {
    /// ConfigMaps.
    pub config_maps: BTreeMap<String, SecretData>,
    /// Secrets.
    pub secrets: BTreeMap<String, SecretData>,
    /// What a service account's folder holds: token, certificate authority, namespace.
    pub service_accounts: BTreeMap<String, SecretData>,
    /// The launcher's Pod.
    pub pod: Option<Box<Pod>>,
}

/// A disk to make.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigDisk {
    /// Label of its file system.
    pub label: String,
    /// Paths and contents, which may be secrets.
    pub files: Vec<(String, Vec<u8>)>,
}

// Contents may be secrets: only names are shown.
impl std::fmt::Debug for Objects {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Objects")
            .field("config_maps", &self.config_maps.keys())
            .field("secrets", &self.secrets.keys())
            .field("service_accounts", &self.service_accounts.keys())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ConfigDisk {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths: Vec<_> = self.files.iter().map(|(path, _)| path).collect();
        formatter.debug_struct("ConfigDisk").field("label", &self.label).field("files", &paths).finish()
    }
}

/// Why a disk cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigDiskError {
    /// The object is not there.
    #[error("volume {volume}: the {kind} {name} does not exist; create it, or correct the name")]
    Missing {
        /// Volume.
        volume: String,
        /// Kind of object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// An unattended installation would find no answers.
    #[error("volume {volume}: the {kind} {name} has neither autounattend.xml nor unattend.xml; add one")]
    NoAnswers {
        /// Volume.
        volume: String,
        /// Kind of object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A field of the Pod cannot be shown.
    #[error("volume {volume}: {reason}")]
    Downward {
        /// Volume.
        volume: String,
        /// Why.
        reason: DownwardError,
    },
    /// A path leads out of the disk.
    #[error("volume {volume}: {path:?} must be relative and without ..")]
    Path {
        /// Volume.
        volume: String,
        /// The path.
        path: String,
    },
}

/// Returns what the instance's volumes are made of.
pub fn wanted(vmi: &VirtualMachineInstance) -> Wanted {
    let mut wanted = Wanted::default();
    for volume in &vmi.spec.volumes {
        wanted.config_maps.extend(volume.config_map.as_ref().and_then(|source| source.name.clone()));
        wanted.secrets.extend(volume.secret.as_ref().and_then(|source| source.secret_name.clone()));
        let account = volume.service_account.as_ref();
        wanted.service_accounts.extend(account.and_then(|source| source.service_account_name.clone()));
        if let Some(sysprep) = &volume.sysprep {
            wanted.config_maps.extend(sysprep.config_map.as_ref().map(|source| source.name.clone()));
            wanted.secrets.extend(sysprep.secret.as_ref().map(|source| source.name.clone()));
        }
        wanted.pod |= volume.downward_api.is_some();
    }
    wanted
}

/// Makes the disk of one volume. Returns `None` when the volume is of another kind.
pub fn disk(volume: &Volume, objects: &Objects) -> Result<Option<ConfigDisk>, ConfigDiskError> {
    let label = |own: &Option<String>| {
        own.clone().filter(|label| !label.is_empty()).unwrap_or_else(|| LABEL.to_owned())
    };
    let (label, files) = if let Some(source) = &volume.config_map {
        let name = source.name.clone().unwrap_or_default();
        let data = entries(volume, "ConfigMap", &name, &objects.config_maps, source.optional)?;
        (label(&source.volume_label), files(data))
    } else if let Some(source) = &volume.secret {
        let name = source.secret_name.clone().unwrap_or_default();
        let data = entries(volume, "Secret", &name, &objects.secrets, source.optional)?;
        (label(&source.volume_label), files(data))
    } else if let Some(source) = &volume.service_account {
        let name = source.service_account_name.clone().unwrap_or_default();
        let data = entries(volume, "ServiceAccount", &name, &objects.service_accounts, None)?;
        (LABEL.to_owned(), files(data))
    } else if let Some(source) = &volume.sysprep {
        (SYSPREP_LABEL.to_owned(), answers(volume, source, objects)?)
    } else if let Some(source) = &volume.downward_api {
        let missing = || ConfigDiskError::Missing {
            volume: volume.name.clone(),
            kind: "Pod",
            name: "of the launcher".to_owned(),
        };
        let pod = objects.pod.as_deref().ok_or_else(missing)?;
        let shown = source.fields.iter().map(|file| {
            let content = downward::content(pod, file)
                .map_err(|reason| ConfigDiskError::Downward { volume: volume.name.clone(), reason })?;
            Ok((file.path.clone(), content.into_bytes()))
        });
        (label(&source.volume_label), shown.collect::<Result<Vec<_>, _>>()?)
    } else {
        return Ok(None);
    };
    for (path, _) in &files {
        let clean = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if !clean {
            return Err(ConfigDiskError::Path { volume: volume.name.clone(), path: path.clone() });
        }
    }
    Ok(Some(ConfigDisk { label, files }))
}

/// Finds an object's entries. A missing one is an error unless it is optional; the disk is empty then.
fn entries<'a>(
    volume: &Volume,
    kind: &'static str,
    name: &str,
    objects: &'a BTreeMap<String, SecretData>,
    optional: Option<bool>,
) -> Result<Option<&'a SecretData>, ConfigDiskError> {
    match objects.get(name) {
        None if optional != Some(true) => {
            Err(ConfigDiskError::Missing { volume: volume.name.clone(), kind, name: name.to_owned() })
        }
        found => Ok(found),
    }
}

fn files(data: Option<&SecretData>) -> Vec<(String, Vec<u8>)> {
    data.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Reads the answers of an unattended installation.
fn answers(
    volume: &Volume,
    source: &api::kubevirt::v1::SysprepSource,
    objects: &Objects,
) -> Result<Vec<(String, Vec<u8>)>, ConfigDiskError> {
    let (kind, name, known) = match (&source.config_map, &source.secret) {
        (Some(map), _) => ("ConfigMap", map.name.clone(), &objects.config_maps),
        (None, Some(secret)) => ("Secret", secret.name.clone(), &objects.secrets),
        // An empty source is an empty drive.
        (None, None) => return Ok(Vec::new()),
    };
    let data = entries(volume, kind, &name, known, None)?;
    let has = data.into_iter().flatten().any(|(key, _)| ANSWERS.contains(&key.to_lowercase().as_str()));
    if !has {
        return Err(ConfigDiskError::NoAnswers { volume: volume.name.clone(), kind, name });
    }
    Ok(files(data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn data(pairs: &[(&str, &str)]) -> SecretData {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    fn objects() -> Objects {
        Objects {
            config_maps: BTreeMap::from([
                ("map".to_owned(), data(&[("a.conf", "1"), ("b.conf", "2")])),
                ("answers".to_owned(), data(&[("AutoUnattend.xml", "<x/>")])),
            ]),
            secrets: BTreeMap::from([("secret".to_owned(), data(&[("key", "s")]))]),
            service_accounts: BTreeMap::from([("robot".to_owned(), data(&[("token", "t")]))]),
            pod: serde_json::from_value(json!({"metadata": {"labels": {"a": "b"}}})).ok(),
        }
    }

    fn made(source: serde_json::Value) -> Result<Option<(String, Vec<String>)>, String> {
        let mut volume = json!({"name": "v"});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        let volume: Volume = serde_json::from_value(volume).map_err(|error| error.to_string())?;
        let shown = |disk: ConfigDisk| {
            let text =
                |(path, content): (String, Vec<u8>)| format!("{path}={}", String::from_utf8_lossy(&content));
            (disk.label, disk.files.into_iter().map(text).collect())
        };
        disk(&volume, &objects()).map(|disk| disk.map(shown)).map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_becomes_files_under_its_label() {
        let field = json!({"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}});
        for (source, label, files) in [
            (json!({"configMap": {"name": "map"}}), "cfgdata", vec!["a.conf=1", "b.conf=2"]),
            (json!({"configMap": {"name": "no", "optional": true}}), "cfgdata", vec![]),
            (json!({"secret": {"secretName": "secret", "volumeLabel": "mine"}}), "mine", vec!["key=s"]),
            (json!({"serviceAccount": {"serviceAccountName": "robot"}}), "cfgdata", vec!["token=t"]),
            (json!({"downwardAPI": {"fields": [field]}}), "cfgdata", vec!["labels=a=\"b\""]),
            (
                json!({"sysprep": {"configMap": {"name": "answers"}}}),
                "unattendCD",
                vec!["AutoUnattend.xml=<x/>"],
            ),
        ] {
            let expected = (label.to_owned(), files.into_iter().map(str::to_owned).collect());
            assert_eq!(made(source.clone()), Ok(Some(expected)), "{source}");
        }
        assert_eq!(made(json!({"emptyDisk": {"capacity": "1Gi"}})), Ok(None));
    }

    #[test]
    fn what_is_missing_is_named_and_no_path_leads_out() {
        for (source, sentence) in [
            (json!({"configMap": {"name": "no"}}), "the ConfigMap no does not exist"),
            (json!({"secret": {"secretName": "no"}}), "the Secret no does not exist"),
            (json!({"serviceAccount": {"serviceAccountName": "no"}}), "the ServiceAccount no does not exist"),
            (json!({"sysprep": {"configMap": {"name": "map"}}}), "neither autounattend.xml"),
            (
                json!({"downwardAPI": {"fields": [{"path": "../x", "fieldRef": {"fieldPath": "metadata.name"}}]}}),
                "without ..",
            ),
            (
                json!({"downwardAPI": {"fields": [{"path": "x", "fieldRef": {"fieldPath": "spec"}}]}}),
                "fieldPath",
            ),
        ] {
            let error = made(source).unwrap_err();
            assert!(error.contains(sentence) && error.starts_with("volume v: "), "{error}");
        }
    }
}
