//! The objects that a machine's volumes are made of, read when it starts. Secrets go into the machine's disks and
//! nowhere else.

use std::collections::BTreeMap;

use api::kubevirt::v1::{VirtualMachineInstance, Volume};
use api::names::label;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, ServiceAccount};
use kube_ext::{Api, ApiError, Client, Key, Kind, Select};
use model::claims::Claim;
use model::cloudinit::SecretData;
use model::config_volumes::{self, Objects};
use serde_json::json;

/// ConfigMap with the certificate authority that Pods trust.
const ROOT_CA: &str = "kube-root-ca.crt";
/// Seconds that a token in a disk is good for: the disk is not written again. It ends with the Pod in any case.
const TOKEN_SECONDS: u64 = 365 * 24 * 3600;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Secrets that seeds are made from.
    pub(crate) secrets: BTreeMap<String, SecretData>,
    /// Objects that other small disks are made from.
    pub(crate) objects: Objects,
    /// Claims by name.
    pub(crate) claims: BTreeMap<String, Claim>,
}

/// Reads what `instance` names; its launcher's Pod has the identity `pod`.
pub(crate) async fn gather(
    client: &Client,
    key: &Key,
    instance: &VirtualMachineInstance,
    pod: &str,
) -> Result<Gathered, ApiError> {
    let wanted = config_volumes::wanted(instance);
    let mut found = Gathered::default();
    for name in model::cloudinit::secrets(instance) {
        found.secrets.extend(secret(client, key, &name).await?);
    }
    for name in wanted.secrets {
        found.objects.secrets.extend(secret(client, key, &name).await?);
    }
    for name in wanted.config_maps {
        found.objects.config_maps.extend(config_map(client, key, &name).await?);
    }
    if wanted.pod || !wanted.service_accounts.is_empty() {
        found.objects.pod = launcher(client, key, instance.uid(), pod).await?.map(Box::new);
    }
    for name in wanted.service_accounts {
        if let Some(pod) = &found.objects.pod {
            let folder = account(client, key, &name, pod).await?;
            found.objects.service_accounts.extend(folder.map(|folder| (name, folder)));
        }
    }
    for name in model::claims::wanted(instance) {
        let claim = Api::<PersistentVolumeClaim>::new(client).find(&Key::new(&key.namespace, &name)).await?;
        found.claims.extend(claim.map(|claim| (name, Claim::of(&claim))));
    }
    Ok(found)
}

/// Returns the names of the other instances of the namespace that use what `volume` names and have not ended.
pub(crate) async fn users_of(client: &Client, key: &Key, volume: &Volume) -> Result<Vec<String>, ApiError> {
    let Some(wanted) = source(volume) else { return Ok(Vec::new()) };
    let all = Api::<VirtualMachineInstance>::new(client);
    let all = all.list(&Select::default().within(&key.namespace)).await?;
    let users = all.iter().filter(|other| {
        let phase = other.status.as_ref().and_then(|status| status.phase.as_deref());
        other.name() != key.name
            && !matches!(phase, Some("Succeeded" | "Failed"))
            && other.spec.volumes.iter().any(|volume| source(volume).as_ref() == Some(&wanted))
    });
    Ok(users.map(|other| other.name().to_owned()).collect())
}

/// What one machine at a time can have: a claim, also by the name of the DataVolume that filled it, or a file of the host.
#[derive(PartialEq)]
enum Source {
    Claim(String),
    File(String),
}

fn source(volume: &Volume) -> Option<Source> {
    let claim = volume.persistent_volume_claim.as_ref().map(|source| &source.claim_name);
    let claim = claim.or_else(|| volume.data_volume.as_ref().map(|source| &source.name));
    let file = volume.host_disk.as_ref().map(|source| Source::File(source.path.clone()));
    claim.map(|name| Source::Claim(name.clone())).or(file)
}

pub(crate) async fn secret(
    client: &Client,
    key: &Key,
    name: &str,
) -> Result<Option<(String, SecretData)>, ApiError> {
    let found = Api::<Secret>::new(client).find(&Key::new(&key.namespace, name)).await?;
    Ok(found.map(|secret| {
        let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
        (name.to_owned(), data.collect())
    }))
}

async fn config_map(
    client: &Client,
    key: &Key,
    name: &str,
) -> Result<Option<(String, SecretData)>, ApiError> {
    let found = Api::<ConfigMap>::new(client).find(&Key::new(&key.namespace, name)).await?;
    Ok(found.map(|map| {
        let text = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
        let binary = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
        (name.to_owned(), text.chain(binary).collect())
    }))
}

async fn launcher(client: &Client, key: &Key, instance: &str, pod: &str) -> Result<Option<Pod>, ApiError> {
    let select = Select::labels(format!("{}={instance}", label::CREATED_BY)).within(&key.namespace);
    let pods = Api::<Pod>::new(client).list(&select).await?;
    Ok(pods.into_iter().find(|found| found.uid() == pod))
}

/// Makes what a Pod of the account `name` would find in its folder of credentials.
async fn account(client: &Client, key: &Key, name: &str, pod: &Pod) -> Result<Option<SecretData>, ApiError> {
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "expirationSeconds": TOKEN_SECONDS,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name(), "uid": pod.uid()},
        },
    });
    let account = Key::new(&key.namespace, name);
    let token = match Api::<ServiceAccount>::new(client).ask_subresource(&account, "token", &request).await {
        Ok(answer) => answer["status"]["token"].as_str().unwrap_or_default().to_owned(),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut folder = SecretData::from([
        ("token".to_owned(), token.into_bytes()),
        ("namespace".to_owned(), key.namespace.clone().into_bytes()),
    ]);
    if let Some((_, mut authority)) = config_map(client, key, ROOT_CA).await? {
        folder.extend(authority.remove_entry("ca.crt"));
    }
    Ok(Some(folder))
}
