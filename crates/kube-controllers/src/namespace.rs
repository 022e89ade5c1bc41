//! Namespaces: gives each a default service account and the certificate authority, and empties those that end.
//! Judgement: [`plan::namespace`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube_ext::{
    Api, ApiError, Cache, Context, Delete, Key, Kind, Meta, PartialObject, Patch, Queue, Resource, Select,
    Tasks, discover, resources, work,
};
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
        let Some(facts) = self.namespaces.get(key) else { return Ok(None) };
        let held = facts.finalizers.iter().any(|finalizer| finalizer == FINALIZER);
        let kinds = if facts.deleting && held { self.kinds().await? } else { Vec::new() };
        let observed = Observed {
            deleting: facts.deleting,
            held,
            has_account: self.accounts.get(&Key::new(name, DEFAULT_ACCOUNT)).is_some(),
            root_ca: self.root_cas.get(&Key::new(name, ROOT_CA)).map(|certificate| (*certificate).clone()),
            wanted_ca: self.config.root_ca.clone(),
            contents: self.contents(name, &kinds).await?,
            conditions: facts.conditions.clone(),
        };
        let plan = namespace::step(&observed, self.context.now());
        for action in &plan.actions {
            self.perform(name, action, &kinds).await?;
        }
        Ok(plan.again.map(|again| again.after))
    }

    async fn kinds(&self) -> Result<Vec<Resource>, ApiError> {
        let mut kinds = discover(&self.context.client, &["list", "delete"]).await?;
        kinds.retain(|kind| kind.namespaced);
        Ok(kinds)
    }

    async fn contents(&self, namespace: &str, kinds: &[Resource]) -> Result<Vec<Remainder>, ApiError> {
        let mut contents = Vec::new();
        for kind in kinds {
            let api = Api::<PartialObject>::of(&self.context.client, kind.clone());
            let objects = match api.list(&Select::default().within(namespace)).await {
                Ok(objects) => objects,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            let untouched = objects.iter().filter(|object| !object.metadata.is_deleting()).count();
            let mut finalizers = BTreeMap::new();
            for finalizer in objects.iter().flat_map(|object| &object.metadata.finalizers) {
                *finalizers.entry(finalizer.clone()).or_default() += 1;
            }
            contents.push(Remainder { resource: full_name(kind), untouched, all: objects.len(), finalizers });
        }
        Ok(contents)
    }

    async fn perform(&self, namespace: &str, action: &Action, kinds: &[Resource]) -> Result<(), ApiError> {
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
                let patch = Patch::Merge(json!({"status": {"conditions": conditions}}));
                match Api::<NamespaceView>::new(client).patch_status(&Key::cluster(namespace), &patch).await {
                    Err(error) if !error.is_not_found() => Err(error),
                    _ => Ok(()),
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

fn full_name(kind: &Resource) -> String {
    if kind.group.is_empty() { kind.plural.to_string() } else { format!("{}.{}", kind.plural, kind.group) }
}

/// That somebody else was quicker is fine, and so is that the namespace is going.
fn there_is<T>(result: Result<T, ApiError>) -> Result<(), ApiError> {
    match result {
        Err(error) if error.is_already_exists() || error.is_not_found() || error.is_refused() => Ok(()),
        other => other.map(drop),
    }
}
