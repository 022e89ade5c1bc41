//! The revisions of pools' templates, as ControllerRevisions. Only pools' controller writes them, so that what was read once is
//! known.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::pool::v1beta1::VirtualMachinePool;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube_ext::{Api, ApiError, Client, Delete, Key, Kind as _, PartialObject, Problem, Select, resources};
use parking_lot::Mutex;
use plan::pool::{self, Pool, Revisions};
use serde_json::{Value, json};

/// What is known of all pools' revisions.
pub(super) struct Library {
    names: Api<PartialObject>,
    revisions: Api<ControllerRevision>,
    known: Mutex<BTreeMap<Key, Known>>,
}

/// What is known of a pool's revisions.
struct Known {
    uid: String,
    /// Generation of the pool that they were read for.
    generation: i64,
    revisions: Arc<Revisions>,
}

impl Library {
    pub(super) fn new(client: &Client) -> Self {
        Self {
            names: Api::of(client, resources::CONTROLLER_REVISION),
            revisions: Api::new(client),
            known: Mutex::default(),
        }
    }

    /// Returns a pool's revisions, reading what is not known yet.
    pub(super) async fn read(
        &self,
        key: &Key,
        pool: &Pool,
        whole: &Api<VirtualMachinePool>,
    ) -> Result<Arc<Revisions>, ApiError> {
        let known = match self.known.lock().get(key).filter(|known| known.uid == pool.uid) {
            Some(known) if known.generation == pool.generation => return Ok(Arc::clone(&known.revisions)),
            known => known.map(|known| known.revisions.kept.clone()),
        };
        // Neither is asked for often, and both are large.
        Box::pin(async {
            let kept = match known {
                Some(kept) => kept,
                None => self.list(key, &pool.uid).await?,
            };
            let whole = whole.find(key).await?.filter(|whole| is_same(whole, pool));
            let Some(whole) = whole else { return Err(changed(key)) };
            let revisions = Arc::new(Revisions { current: pool::template(&content(&whole)), kept });
            let known = Known {
                uid: pool.uid.clone(),
                generation: pool.generation,
                revisions: Arc::clone(&revisions),
            };
            self.known.lock().insert(key.clone(), known);
            Ok(revisions)
        })
        .await
    }

    async fn list(&self, key: &Key, uid: &str) -> Result<BTreeMap<String, Value>, ApiError> {
        let all = self.names.list(&Select::default().within(&key.namespace)).await?;
        let own = |one: &PartialObject| one.metadata.controller().is_some_and(|owner| owner.uid == uid);
        let mut kept = BTreeMap::new();
        for name in all.into_iter().filter(own).map(|one| one.metadata.name) {
            let found = self.revisions.find(&Key::new(key.namespace.clone(), &name)).await?;
            kept.extend(found.and_then(|found| Some((name, pool::template(&found.data?.0)))));
        }
        Ok(kept)
    }

    /// Keeps a pool as it is as the revision `name`.
    pub(super) async fn keep(
        &self,
        key: &Key,
        name: &str,
        whole: &VirtualMachinePool,
    ) -> Result<(), ApiError> {
        let at = Key::new(key.namespace.clone(), name);
        let uid = whole.metadata.uid.clone().unwrap_or_default();
        let found = match self.revisions.create(&key.namespace, &revision(name, whole)).await {
            Ok(_) => None,
            Err(error) if error.is_already_exists() => Some(self.revisions.get(&at).await?),
            Err(error) => return Err(error),
        };
        let template = match found {
            None => pool::template(&content(whole)),
            // Ours, from an attempt whose answer got lost.
            Some(found) if owner(&found) == Some(&uid) => {
                pool::template(&found.data.map(|data| data.0).unwrap_or_default())
            }
            Some(found) => return Err(self.clear(&at, &found).await?),
        };
        self.change(key, &uid, |kept| {
            kept.insert(name.to_owned(), template);
        });
        Ok(())
    }

    /// Makes room for a revision where an earlier pool of the same name left one. Returns what to say meanwhile.
    async fn clear(&self, at: &Key, found: &ControllerRevision) -> Result<ApiError, ApiError> {
        let operation = format!("create controllerrevisions {at}");
        let is_template = |data: &RawExtension| data.0.get("virtualMachineTemplate").is_some();
        let problem = if owner(found).is_some() {
            Problem::Conflict("it is still there of a pool that is gone".to_owned())
        } else if found.data.as_ref().is_some_and(is_template) {
            self.revisions.delete(at, &Delete::only(found.uid())).await?;
            Problem::Conflict("an earlier pool's was in the way".to_owned())
        } else {
            Problem::Invalid(
                "somebody else's revision has the name; delete it, or rename the pool".to_owned(),
            )
        };
        Ok(ApiError { operation, problem })
    }

    /// Removes a revision of a pool.
    pub(super) async fn remove(&self, key: &Key, name: &str) -> Result<(), ApiError> {
        match self.revisions.delete(&Key::new(key.namespace.clone(), name), &Delete::default()).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        let uid = self.known.lock().get(key).map(|known| known.uid.clone()).unwrap_or_default();
        self.change(key, &uid, |kept| {
            kept.remove(name);
        });
        Ok(())
    }

    /// Forgets a pool.
    pub(super) fn forget(&self, key: &Key) {
        self.known.lock().remove(key);
    }

    fn change(&self, key: &Key, uid: &str, change: impl FnOnce(&mut BTreeMap<String, Value>)) {
        if let Some(known) = self.known.lock().get_mut(key).filter(|known| known.uid == uid) {
            change(&mut Arc::make_mut(&mut known.revisions).kept);
        }
    }
}

/// Tells whether a whole pool is the one that was observed.
pub(super) fn is_same(whole: &VirtualMachinePool, pool: &Pool) -> bool {
    whole.uid() == pool.uid && whole.metadata.generation.unwrap_or(1) == pool.generation
}

/// Says that a pool is no longer the one that was observed; the next look knows better.
pub(super) fn changed(key: &Key) -> ApiError {
    ApiError {
        operation: format!("read virtualmachinepools {key}"),
        problem: Problem::Conflict("it changed while it was acted on".to_owned()),
    }
}

fn content(pool: &VirtualMachinePool) -> Value {
    json!(pool.spec)
}

fn owner(revision: &ControllerRevision) -> Option<&String> {
    let owners = revision.metadata.owner_references.iter().flatten();
    owners.filter(|owner| owner.controller == Some(true)).map(|owner| &owner.uid).next()
}

fn revision(name: &str, whole: &VirtualMachinePool) -> ControllerRevision {
    let meta = &whole.metadata;
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: meta.namespace.clone(),
            owner_references: Some(vec![pool::owner(whole)]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(content(whole))),
        revision: meta.generation.unwrap_or(1),
    }
}
