//! The objects that a Pod refers to, and its environment out of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use model::downward;

use super::{PlanError, unsupported};

/// Names an object in the Pod's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// A ConfigMap.
    ConfigMap(String),
    /// A Secret.
    Secret(String),
    /// A claim.
    Claim(String),
}

/// What fills a claim on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The directory.
    pub path: PathBuf,
    /// Whether it is made when it is missing: it is one of this node's own.
    pub make: bool,
}

/// Content of the objects that a Pod refers to, as far as they exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// ConfigMaps by name.
    pub config_maps: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Claims by name: the directory, or why there is none.
    pub claims: BTreeMap<String, Result<Claimed, String>>,
}

impl Sources {
    /// Takes in a ConfigMap.
    pub fn add_config_map(&mut self, name: String, object: ConfigMap) {
        let text = object.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
        let binary = object.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
        self.config_maps.insert(name, text.chain(binary).collect());
    }

    /// Takes in a Secret.
    pub fn add_secret(&mut self, name: String, object: Secret) {
        let data = object.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
        self.secrets.insert(name, data.collect());
    }

    /// Finds the directory that fills a claim.
    pub(super) fn claim(&self, name: &str) -> Result<&Claimed, PlanError> {
        match self.claims.get(name) {
            Some(Ok(claimed)) => Ok(claimed),
            Some(Err(why)) => Err(PlanError::Missing(why.clone())),
            None => {
                Err(PlanError::Missing(format!("PersistentVolumeClaim {name} does not exist; create it")))
            }
        }
    }

    /// Finds an object; a missing one is an error unless it is optional.
    pub(super) fn find(
        &self,
        reference: &Reference,
        optional: bool,
    ) -> Result<Option<&BTreeMap<String, Vec<u8>>>, PlanError> {
        let (kind, name, found) = match reference {
            Reference::ConfigMap(name) => ("ConfigMap", name, self.config_maps.get(name)),
            Reference::Secret(name) => ("Secret", name, self.secrets.get(name)),
            // Claims are no data; they are asked for by `claim`.
            Reference::Claim(name) => ("PersistentVolumeClaim", name, None),
        };
        if found.is_none() && !optional {
            return Err(PlanError::Missing(format!("{kind} {name} does not exist; create it")));
        }
        Ok(found)
    }

    fn value(&self, reference: &Reference, key: &str, optional: bool) -> Result<Option<String>, PlanError> {
        let Some(object) = self.find(reference, optional)? else { return Ok(None) };
        match object.get(key) {
            Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
            None if optional => Ok(None),
            None => Err(PlanError::Missing(format!("{reference:?} has no key {key:?}; add it"))),
        }
    }
}

/// Lists the objects that `pod` refers to.
pub fn references(pod: &Pod) -> BTreeSet<Reference> {
    let mut found = BTreeSet::new();
    let Some(spec) = &pod.spec else { return found };
    for volume in spec.volumes.iter().flatten() {
        if let Some(source) = &volume.config_map {
            found.insert(Reference::ConfigMap(source.name.clone()));
        }
        if let Some(name) = volume.secret.as_ref().and_then(|source| source.secret_name.clone()) {
            found.insert(Reference::Secret(name));
        }
        let claim = volume.persistent_volume_claim.as_ref();
        found.extend(claim.map(|claim| Reference::Claim(claim.claim_name.clone())));
        let projected = volume.projected.iter().flat_map(|source| source.sources.iter().flatten());
        for source in projected {
            found.extend(source.config_map.as_ref().map(|source| Reference::ConfigMap(source.name.clone())));
            found.extend(source.secret.as_ref().map(|source| Reference::Secret(source.name.clone())));
        }
    }
    for container in &spec.containers {
        for variable in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            let map = variable.config_map_key_ref.as_ref();
            found.extend(map.map(|source| Reference::ConfigMap(source.name.clone())));
            let secret = variable.secret_key_ref.as_ref();
            found.extend(secret.map(|source| Reference::Secret(source.name.clone())));
        }
        for source in container.env_from.iter().flatten() {
            found.extend(
                source.config_map_ref.as_ref().map(|source| Reference::ConfigMap(source.name.clone())),
            );
            found.extend(source.secret_ref.as_ref().map(|source| Reference::Secret(source.name.clone())));
        }
    }
    found
}

/// Resolves a container's environment.
pub(super) fn environment(
    container: &Container,
    pod: &Pod,
    sources: &Sources,
) -> Result<Vec<(String, String)>, PlanError> {
    let mut environment: Vec<(String, String)> = Vec::new();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.clone().unwrap_or_default();
        let map = source.config_map_ref.iter();
        let map = map.map(|map| (Reference::ConfigMap(map.name.clone()), map.optional == Some(true)));
        let secret = source.secret_ref.iter();
        let secret =
            secret.map(|secret| (Reference::Secret(secret.name.clone()), secret.optional == Some(true)));
        for (reference, optional) in map.chain(secret) {
            for (key, value) in sources.find(&reference, optional)?.into_iter().flatten() {
                environment.push((format!("{prefix}{key}"), String::from_utf8_lossy(value).into_owned()));
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => Some(variable.value.clone().unwrap_or_default()),
            Some(from) => {
                if let Some(field) = &from.field_ref {
                    Some(field_value(pod, &field.field_path)?)
                } else if let Some(map) = &from.config_map_key_ref {
                    sources.value(
                        &Reference::ConfigMap(map.name.clone()),
                        &map.key,
                        map.optional == Some(true),
                    )?
                } else if let Some(secret) = &from.secret_key_ref {
                    let reference = Reference::Secret(secret.name.clone());
                    sources.value(&reference, &secret.key, secret.optional == Some(true))?
                } else {
                    return Err(unsupported(format!(
                        "the source of the variable {} is not available on embedded nodes",
                        variable.name
                    )));
                }
            }
        };
        environment.extend(value.map(|value| (variable.name.clone(), value)));
    }
    Ok(environment)
}

/// Reads a field of the Pod by the path that the downward API uses; not of its status, which is not there before the
/// container runs.
pub(super) fn field_value(pod: &Pod, path: &str) -> Result<String, PlanError> {
    let value = if path.starts_with("status.") { None } else { downward::value(pod, path).ok() };
    value.ok_or_else(|| unsupported(format!("fieldPath {path:?} is not available on embedded nodes")))
}
