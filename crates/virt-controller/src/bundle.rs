//! Keeps the instance types and preferences that come with an installation. Judgement: [`plan::bundle`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube_ext::{
    Api, ApiError, Cache, Context, Delete, Document, Key, Patch, Queue, Resource, Select, Tasks, resources,
    work,
};
use plan::bundle::{self, Action, LABEL, MANAGED};
use serde_json::{Value, json};

use crate::installation::Installation;

/// What is known of one object: a number for what it says, and its identity.
type Facts = (u64, String);

/// The objects of one kind.
struct Part {
    api: Api<Document>,
    cache: Cache<Facts>,
    wanted: fn() -> Vec<Value>,
}

/// Adds the controller to `tasks`; `queue` asks for a look at everything.
pub(crate) fn start(context: &Context, installation: Installation, queue: Queue, tasks: &mut Tasks) {
    let mut part = |resource: Resource, wanted: fn() -> Vec<Value>| {
        let changes = queue.clone();
        let api = || Api::<Document>::of(&context.client, resource.clone());
        // Of others nothing is known: what has one of the names stays as it is.
        let (label, word) = MANAGED;
        let cache = Cache::builder(api(), |object: Document| {
            let release = object.metadata.labels.get(LABEL).map_or(Value::Null, |release| json!(release));
            let spec = object.fields.get("spec").unwrap_or(&Value::Null);
            Some((bundle::content(&release, spec), object.metadata.uid))
        })
        .select(Select::labels(format!("{label}={word},{LABEL}")))
        .on_change(move |_| changes.add(everything()))
        .start(context, tasks);
        Part { api: api(), cache, wanted }
    };
    let parts = Arc::new([
        part(resources::CLUSTER_INSTANCETYPE, bundle::instancetypes),
        part(resources::CLUSTER_PREFERENCE, bundle::preferences),
    ]);
    tasks.add(async move {
        installation.synced().await;
        for part in &*parts {
            part.cache.synced().await;
        }
        queue.add(everything());
        work(queue, 1, |_| {
            let (installation, parts) = (installation.clone(), Arc::clone(&parts));
            async move {
                for part in &*parts {
                    part.reconcile(installation.has_bundle()).await?;
                }
                Ok(None::<Duration>)
            }
        })
        .await;
    });
}

/// All of it is looked at together.
pub(crate) fn everything() -> Key {
    Key::cluster("common-instancetypes")
}

impl Part {
    async fn reconcile(&self, is_wanted: Option<bool>) -> Result<(), ApiError> {
        // Without an installation there is nobody to say so.
        let Some(is_wanted) = is_wanted else { return Ok(()) };
        let there: BTreeMap<String, u64> =
            self.cache.all().into_iter().map(|(key, facts)| (key.name, facts.0)).collect();
        let wanted = if is_wanted { (self.wanted)() } else { Vec::new() };
        for action in bundle::step(wanted, &there).actions {
            let done = match &action {
                Action::Create(object) => self.api.create("", object).await.map(|_| ()),
                Action::Restore(object) => self.restore(object).await,
                Action::Delete(name) => self.delete(&Key::cluster(name)).await,
            };
            match done {
                // Somebody has made one of this name, which is that somebody's.
                Err(error) if error.is_already_exists() => {
                    tracing::debug!(%action, "the name is taken");
                }
                // The watch says so, or will.
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                done => done?,
            }
        }
        Ok(())
    }

    async fn restore(&self, object: &Value) -> Result<(), ApiError> {
        let key = Key::cluster(object["metadata"]["name"].as_str().unwrap_or_default());
        let found = self.api.get(&key).await?;
        let spec = found.fields.get("spec").cloned().unwrap_or_default();
        let mut patch = json!({"metadata": {
            "resourceVersion": found.metadata.resource_version,
            "labels": object["metadata"]["labels"],
            "annotations": object["metadata"]["annotations"],
        }});
        if let Some(change) = plan::patch::difference(&spec, &object["spec"]) {
            patch["spec"] = change;
        }
        self.api.patch(&key, &Patch::Merge(patch)).await.map(|_| ())
    }

    async fn delete(&self, key: &Key) -> Result<(), ApiError> {
        let Some(facts) = self.cache.get(key) else { return Ok(()) };
        self.api.delete(key, &Delete::only(&facts.1)).await
    }
}
