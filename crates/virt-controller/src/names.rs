//! What machines name: instance types and preferences are read, kept as ControllerRevisions, and put into instances.
//! Judgement: [`plan::vm::named`].

use api::kubevirt::v1::VirtualMachine;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube_ext::{Api, ApiError, Client, Delete, Document, Key, Problem, Resource, resources};
use plan::vm::named::{self, Matcher, Scope, Specs};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::installation::Installation;

/// Reads and keeps what machines name.
pub(crate) struct Names {
    client: Client,
    revisions: Api<ControllerRevision>,
}

impl Names {
    pub(crate) fn new(client: &Client) -> Self {
        Self { client: client.clone(), revisions: Api::new(client) }
    }

    /// Keeps what a machine names, as it is now, unless that is kept already; returns what the status says of it.
    pub(crate) async fn hold(&self, key: &Key, machine: &VirtualMachine) -> Result<Value, ApiError> {
        let mut status = Map::new();
        for matcher in named::matchers(machine).map_err(|error| refused(key, error.to_string()))? {
            let name = match &matcher.revision {
                Some(revision) => {
                    self.kept(key, revision).await?;
                    revision.clone()
                }
                None => self.keep(key, machine, &matcher).await?,
            };
            let (field, reference) = named::reference(machine, &matcher, &name);
            status.insert(field.to_owned(), reference);
        }
        Ok(status.into())
    }

    /// Returns the machine with what it names, as its status holds on to it.
    pub(crate) async fn expand(
        &self,
        key: &Key,
        machine: &VirtualMachine,
        installation: &Installation,
    ) -> Result<VirtualMachine, ApiError> {
        let mut specs = Specs::default();
        for matcher in named::matchers(machine).map_err(|error| refused(key, error.to_string()))? {
            let Some(object) = self.held(key, machine, &matcher).await? else {
                return Err(refused(key, format!("{} is not held yet", described(&matcher))));
            };
            put(&mut specs, key, &matcher, &object)?;
        }
        if specs.is_empty() {
            return Ok(machine.clone());
        }
        named::expand(machine, &specs, &installation.configuration()).map_err(|why| refused(key, why))
    }

    /// Returns the machine with what it names, as its status holds on to it or else as it is now, in place of the names.
    pub(crate) async fn replace(
        &self,
        key: &Key,
        machine: &VirtualMachine,
        installation: &Installation,
    ) -> Result<VirtualMachine, ApiError> {
        let mut specs = Specs::default();
        for matcher in named::matchers(machine).map_err(|error| refused(key, error.to_string()))? {
            let object = match self.held(key, machine, &matcher).await? {
                Some(object) => object,
                None => self.live(key, &matcher).await?.0.fields.into(),
            };
            put(&mut specs, key, &matcher, &object)?;
        }
        named::replace(machine, &specs, &installation.configuration()).map_err(|why| refused(key, why))
    }

    /// Deletes what was kept for a machine that no longer names it. What others keep stays.
    pub(crate) async fn forget(&self, key: &Key, machine: &VirtualMachine) -> Result<(), ApiError> {
        let stale = named::stale(machine).into_iter();
        for name in stale.filter_map(|(_, held)| held.controller_revision_ref.as_ref()?.name.clone()) {
            let key = Key::new(key.namespace.clone(), name);
            let Some(kept) = self.revisions.find(&key).await? else { continue };
            let mut owners = kept.metadata.owner_references.iter().flatten();
            let uid = kept.metadata.uid.as_deref().unwrap_or_default();
            if owners.any(|owner| Some(&owner.uid) == machine.metadata.uid.as_ref()) {
                match self.revisions.delete(&key, &Delete::only(uid)).await {
                    Err(error) if !error.is_not_found() => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// What a revision holds on to: the one that the machine names, or the one of its status.
    async fn held(
        &self,
        key: &Key,
        machine: &VirtualMachine,
        matcher: &Matcher,
    ) -> Result<Option<Value>, ApiError> {
        match matcher.revision.clone().or_else(|| named::held(machine, matcher)) {
            Some(revision) => self.kept(key, &revision).await.map(Some),
            None => Ok(None),
        }
    }

    /// What is named, as it is now.
    async fn live(&self, key: &Key, matcher: &Matcher) -> Result<(Document, Resource), ApiError> {
        let unknown =
            || refused(key, format!("{} does not exist: create it, or name another", described(matcher)));
        let known = resources::NAMED.into_iter().find(|resource| resource.kind == matcher.kind);
        let resource = known.ok_or_else(unknown)?;
        let api = Api::<Document>::of(&self.client, resource.clone());
        let found = match matcher.scope {
            Scope::Cluster => api.find(&Key::cluster(&matcher.name)).await?,
            Scope::Namespace => api.find(&Key::new(key.namespace.clone(), &matcher.name)).await?,
        };
        Ok((found.ok_or_else(unknown)?, resource))
    }

    async fn kept(&self, key: &Key, name: &str) -> Result<Value, ApiError> {
        let found = self.revisions.find(&Key::new(key.namespace.clone(), name)).await?;
        let missing = || refused(key, format!("the ControllerRevision {name:?} does not exist"));
        found.and_then(|revision| revision.data).map(|data| data.0).ok_or_else(missing)
    }

    async fn keep(&self, key: &Key, machine: &VirtualMachine, matcher: &Matcher) -> Result<String, ApiError> {
        let (object, resource) = self.live(key, matcher).await?;
        let meta = &object.metadata;
        let (owner, generation) = (&machine.metadata, meta.generation.unwrap_or(1));
        let machine_name = owner.name.clone().unwrap_or_default();
        let name =
            named::revision_name(&machine_name, &matcher.name, &resource.version, &meta.uid, generation);
        let mut data = json!({
            "apiVersion": format!("{}/{}", resource.group, resource.version),
            "kind": resource.kind,
            "metadata": {"name": meta.name, "uid": meta.uid, "generation": generation},
        });
        data["spec"] = object.fields.get("spec").cloned().unwrap_or_default();
        let label = |field: &str| format!("instancetype.kubevirt.io/object-{field}");
        let revision = ControllerRevision {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: owner.namespace.clone(),
                labels: Some(
                    [
                        (label("generation"), generation.to_string()),
                        (label("kind"), resource.kind.to_string()),
                        (label("uid"), meta.uid.clone()),
                        (label("version"), resource.version.to_string()),
                    ]
                    .into(),
                ),
                owner_references: Some(vec![OwnerReference {
                    api_version: "kubevirt.io/v1".to_owned(),
                    block_owner_deletion: Some(true),
                    controller: Some(true),
                    kind: "VirtualMachine".to_owned(),
                    name: machine_name,
                    uid: owner.uid.clone().unwrap_or_default(),
                }]),
                ..ObjectMeta::default()
            },
            data: Some(RawExtension(data)),
            revision: 0,
        };
        match self.revisions.create(&key.namespace, &revision).await {
            Err(error) if !error.is_already_exists() => Err(error),
            _ => Ok(name),
        }
    }
}

/// Puts what an object, or a revision of it, says to what else is named.
fn put(specs: &mut Specs, key: &Key, matcher: &Matcher, object: &Value) -> Result<(), ApiError> {
    if matcher.field == "instancetype" {
        specs.instancetype = Some(spec(key, matcher, object)?);
    } else {
        specs.preference = Some(spec(key, matcher, object)?);
    }
    Ok(())
}

fn spec<T: DeserializeOwned>(key: &Key, matcher: &Matcher, object: &Value) -> Result<T, ApiError> {
    serde_json::from_value(object.get("spec").cloned().unwrap_or_default())
        .map_err(|error| refused(key, format!("{} cannot be read: {error}", described(matcher))))
}

fn described(matcher: &Matcher) -> String {
    format!("the {} {:?}, which spec.{} names,", matcher.kind, matcher.name, matcher.field)
}

fn refused(key: &Key, why: String) -> ApiError {
    ApiError { operation: format!("start the machine {key}"), problem: Problem::Invalid(why) }
}
