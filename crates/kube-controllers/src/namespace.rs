//! Namespaces: gives each a default service account and the certificate authority, and empties those that end.
//! Judgement: [`plan::namespace`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube_ext::{
    Api, ApiError, Cache, Context, Delete, Key, Kind, Meta, PartialObject, Patch, Queue, Resource, Select,
    Tasks, discover, resources, work,
};
use parking_lot::Mutex;
use plan::condition::Condition;
use plan::namespace::{self, Action, DEFAULT_ACCOUNT, FINALIZER, Observed, ROOT_CA, Remainder};
use serde::Deserialize;
use serde_json::json;

use crate::Config;

/// What objects of the control plane say of themselves.
const DESCRIPTION: &str = "kubernetes.io/description";
const ROOT_CA_DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints \
    such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
    distributions of Kubernetes clusters.";

#[derive(Clone, Debug, Deserialize)]
struct NamespaceView {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    finalizers: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

kube_ext::view!(NamespaceView => resources::NAMESPACE);

#[derive(Clone, Debug, Deserialize)]
struct RootCaView {
    metadata: Meta,
    #[serde(default)]
    data: RootCaData,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RootCaData {
    #[serde(rename = "ca.crt")]
    certificate: String,
}

kube_ext::view!(RootCaView => resources::CONFIG_MAP);

#[derive(Clone, Debug, Deserialize)]
struct AccountView {
    metadata: Meta,
}

kube_ext::view!(AccountView => resources::SERVICE_ACCOUNT);

#[derive(Clone, Debug, PartialEq)]
struct NamespaceFacts {
    deleting: bool,
    finalizers: Vec<String>,
    conditions: Vec<Condition>,
}

struct Controller {
    context: Context,
    config: Config,
    namespaces: Cache<NamespaceFacts>,
    accounts: Cache<()>,
    root_cas: Cache<String>,
    /// When namespaces that end were made to say what they wait for.
    told: Mutex<BTreeMap<String, Timestamp>>,
}

/// Adds the controller to `tasks`.
pub(crate) fn start(context: &Context, config: &Config, tasks: &mut Tasks) {
    let client = &context.client;
    let queue: Queue = Queue::new(context.clock.clone());
    let named = |name: &str| Select::fields(format!("metadata.name={name}"));

    let ready = queue.clone();
    let namespaces = Cache::builder(Api::<NamespaceView>::new(client), |view| {
        Some(NamespaceFacts {
            deleting: view.metadata.is_deleting(),
            finalizers: view.spec.finalizers,
            conditions: view.status.conditions,
        })
    })
    .on_change(move |change| ready.add(change.key().clone()))
    .start(context, tasks);
    let ready = queue.clone();
    let accounts = Cache::builder(Api::<AccountView>::new(client), |_| Some(()))
        .select(named(DEFAULT_ACCOUNT))
        .on_change(move |change| ready.add(Key::cluster(change.key().namespace.clone())))
        .start(context, tasks);
    let ready = queue.clone();
    let root_cas = Cache::builder(Api::<RootCaView>::new(client), |view| Some(view.data.certificate))
        .select(named(ROOT_CA))
        .on_change(move |change| ready.add(Key::cluster(change.key().namespace.clone())))
        .start(context, tasks);

    let controller = Arc::new(Controller {
        context: context.clone(),
        config: config.clone(),
        namespaces,
        accounts,
        root_cas,
        told: Mutex::default(),
    });
    tasks.add(async move {
        controller.namespaces.synced().await;
        controller.accounts.synced().await;
        controller.root_cas.synced().await;
        work(queue, 2, |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&key).await }
        })
        .await;
    });
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let name = key.name.as_str();
        let Some((facts, version)) = self.namespaces.read(key) else {
            self.told.lock().remove(name);
            return Ok(None);
        };
        let held = facts.finalizers.iter().any(|finalizer| finalizer == FINALIZER);
        let (mut kinds, mut undiscovered) = (Vec::new(), Vec::new());
        if facts.deleting && held {
            let discovered = discover(&self.context.client, &["list", "delete"]).await?;
            kinds = discovered.resources;
            kinds.retain(|kind| kind.namespaced);
            undiscovered =
                discovered.unknown.into_iter().map(|(group, error)| format!("{group}: {error}")).collect();
        }
        let (contents, failures) = self.contents(name, &kinds).await;
        let observed = Observed {
            deleting: facts.deleting,
            held,
            has_account: self.accounts.get(&Key::new(name, DEFAULT_ACCOUNT)).is_some(),
            root_ca: self.root_cas.get(&Key::new(name, ROOT_CA)).map(|certificate| (*certificate).clone()),
            wanted_ca: self.config.root_ca.clone(),
            contents,
            undiscovered,
            failures,
            conditions: facts.conditions.clone(),
            told: self.told.lock().get(name).copied(),
        };
        let plan = namespace::step(&observed, self.context.now());
        // What cannot be done for one resource keeps nobody from the others.
        let mut outcome = Ok(());
        for action in &plan.actions {
            outcome = outcome.and(self.perform(name, action, &version, &kinds).await);
        }
        outcome.map(|()| plan.again.map(|again| again.after))
    }

    /// Counts what is left of each kind, and says where that cannot be done.
    async fn contents(&self, namespace: &str, kinds: &[Resource]) -> (Vec<Remainder>, Vec<String>) {
        let (mut contents, mut failures) = (Vec::new(), Vec::new());
        for kind in kinds {
            let api = Api::<PartialObject>::of(&self.context.client, kind.clone());
            let objects = match api.list(&Select::default().within(namespace)).await {
                Ok(objects) => objects,
                Err(error) if error.is_not_found() => continue,
                Err(error) => {
                    failures.push(error.to_string());
                    continue;
                }
            };
            let untouched = objects.iter().filter(|object| !object.metadata.is_deleting()).count();
            let mut finalizers = BTreeMap::new();
            for finalizer in objects.iter().flat_map(|object| &object.metadata.finalizers) {
                *finalizers.entry(finalizer.clone()).or_default() += 1;
            }
            contents.push(Remainder { resource: full_name(kind), untouched, all: objects.len(), finalizers });
        }
        (contents, failures)
    }

    async fn perform(
        &self,
        namespace: &str,
        action: &Action,
        version: &str,
        kinds: &[Resource],
    ) -> Result<(), ApiError> {
        let client = &self.context.client;
        match action {
            Action::CreateAccount => {
                let account = json!({
                    "apiVersion": "v1",
                    "kind": "ServiceAccount",
                    "metadata": {"name": DEFAULT_ACCOUNT, "namespace": namespace},
                });
                there_is(Api::<AccountView>::new(client).create(namespace, &account).await)
            }
            Action::PublishRootCa => self.publish(namespace).await,
            Action::Empty { resource } => {
                let Some(kind) = kinds.iter().find(|kind| full_name(kind) == *resource) else {
                    return Ok(());
                };
                let api = Api::<PartialObject>::of(client, kind.clone());
                for object in api.list(&Select::default().within(namespace)).await? {
                    if object.metadata.is_deleting() {
                        continue;
                    }
                    match api.delete(&object.key(), &Delete::only(object.uid())).await {
                        Err(error) if !error.is_not_found() && !error.is_conflict() => return Err(error),
                        _ => {}
                    }
                }
                Ok(())
            }
            Action::Report { conditions } => {
                // A merge replaces the list: what somebody else has added meanwhile must not go with it.
                let patch = Patch::Merge(json!({
                    "metadata": {"resourceVersion": version},
                    "status": {"conditions": conditions},
                }));
                match Api::<NamespaceView>::new(client).patch_status(&Key::cluster(namespace), &patch).await {
                    Err(error) if !error.is_not_found() => Err(error),
                    _ => {
                        self.told.lock().insert(namespace.to_owned(), self.context.now());
                        Ok(())
                    }
                }
            }
            Action::Finalize => self.finalize(namespace).await,
        }
    }

    async fn publish(&self, namespace: &str) -> Result<(), ApiError> {
        let api = Api::<RootCaView>::new(&self.context.client);
        let key = Key::new(namespace, ROOT_CA);
        let data = json!({"ca.crt": self.config.root_ca});
        if self.root_cas.get(&key).is_some() {
            return api.patch(&key, &Patch::Merge(json!({"data": data}))).await.map(drop);
        }
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": ROOT_CA, "namespace": namespace, "annotations": {DESCRIPTION: ROOT_CA_DESCRIPTION}},
            "data": data,
        });
        there_is(api.create(namespace, &map).await)
    }

    async fn finalize(&self, name: &str) -> Result<(), ApiError> {
        let api = Api::<NamespaceView>::new(&self.context.client);
        let key = Key::cluster(name);
        let Some(view) = api.find(&key).await? else { return Ok(()) };
        let mut left = view.spec.finalizers;
        left.retain(|finalizer| finalizer != FINALIZER);
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "resourceVersion": view.metadata.resource_version},
            "spec": {"finalizers": left},
        });
        match api.replace_subresource(&key, "finalize", &namespace).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

pub(crate) fn full_name(kind: &Resource) -> String {
    if kind.group.is_empty() { kind.plural.to_string() } else { format!("{}.{}", kind.plural, kind.group) }
}

/// That somebody else was quicker is fine, and so is that the namespace is going.
fn there_is<T>(result: Result<T, ApiError>) -> Result<(), ApiError> {
    match result {
        Err(error) if error.is_already_exists() || error.is_not_found() || error.is_refused() => Ok(()),
        other => other.map(drop),
    }
}
