//! Keeps the instance types and preferences that come with an installation. Judgement: [`plan::bundle`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::names::annotation;
use kube_ext::{
    Api, ApiError, Cache, Context, Delete, Document, Key, Patch, Queue, Resource, Select, Tasks, resources,
    work,
};
use plan::bundle::{self, Action, LABEL, MANAGED};
use serde_json::{Value, json};

use crate::installation::Installation;

/// A name that somebody has may be free after so long; nothing says when.
const TAKEN: Duration = Duration::from_secs(600);

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
        // Of others nothing is known: what has one of the names stays as it is, and so does a copy under another name.
        let (label, word) = MANAGED;
        let cache = Cache::builder(api(), |object: Document| {
            let meta = &object.metadata;
            if meta.annotations.get(annotation::BUNDLED) != Some(&meta.name) {
                return None;
            }
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
                let wanted = installation.has_bundle();
                let mut taken = false;
                let mut failed = None;
                for part in &*parts {
                    match part.reconcile(wanted).await {
                        Ok(some) => taken |= some,
                        Err(error) => failed = failed.or(Some(error)),
                    }
                }
                failed.map_or(Ok(taken.then_some(TAKEN)), Err)
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
    /// Does what is to be done, as far as it can be, and tells whether somebody has one of the names.
    async fn reconcile(&self, is_wanted: bool) -> Result<bool, ApiError> {
        let there: BTreeMap<String, u64> =
            self.cache.all().into_iter().map(|(key, facts)| (key.name, facts.0)).collect();
        let wanted = if is_wanted { (self.wanted)() } else { Vec::new() };
        let (mut taken, mut failed) = (false, None);
        for action in bundle::step(wanted, &there).actions {
            let done = match &action {
                Action::Create(object) => self.api.create("", object).await.map(|_| ()),
                Action::Restore(object) => self.restore(object).await,
                Action::Delete(name) => self.delete(&Key::cluster(name)).await,
            };
            match done {
                Err(error) if error.is_already_exists() => taken = true,
                // The watch says so, or will.
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                // The others can do without this one.
                Err(error) => failed = failed.or(Some(error)),
                Ok(()) => {}
            }
        }
        failed.map_or(Ok(taken), Err)
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
