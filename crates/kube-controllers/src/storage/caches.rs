//! The pictures of claims, volumes and classes that the scheduler and the binder share.

use std::collections::BTreeMap;
use std::sync::Arc;

use effects::Clock;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_ext::{Api, Cache, Change, Context, Key, Queue, Tasks};
use machinery::quantity::Quantity;
use machinery::selector::LabelSelector;
use plan::storage::{Claim, ClaimRef, Class, Volume, annotation};

use crate::scheduler::convert;

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// A claim.
    Claim(Key),
    /// A volume.
    Volume(Key),
    /// Every claim without a volume: something came that may fill one.
    Waiting,
}

/// Makes the queue that changes go into.
pub(crate) fn queue(clock: &Arc<dyn Clock>) -> Queue<Work> {
    Queue::new(Arc::clone(clock))
}

/// What is known.
#[derive(Clone)]
pub(crate) struct Caches {
    pub(crate) claims: Cache<Claim>,
    /// Indexed by the claim that they name, as `NAMESPACE/NAME`.
    pub(crate) volumes: Cache<Volume>,
    pub(crate) classes: Cache<Class>,
}

impl Caches {
    /// Begins to follow; changes go into `queue`, and `wake` is told of each.
    pub(crate) fn start(
        context: &Context,
        queue: &Queue<Work>,
        wake: impl Fn() + Clone + Send + Sync + 'static,
        tasks: &mut Tasks,
    ) -> Self {
        let client = &context.client;
        let (work, told) = (queue.clone(), wake.clone());
        let volumes = Cache::builder(Api::<PersistentVolume>::new(client), |object| Some(volume(object)))
            .index(|volume: &Volume| volume.claim.as_ref().map(owner))
            .on_change(move |change: &Change<Volume>| {
                work.add(Work::Volume(change.key().clone()));
                let owners = change.sides().filter_map(|volume| volume.claim.as_ref());
                for owner in owners {
                    work.add(Work::Claim(Key::new(&owner.namespace, &owner.name)));
                }
                work.add(Work::Waiting);
                told();
            })
            .start(context, tasks);
        let (work, told, named) = (queue.clone(), wake.clone(), volumes.clone());
        let claims = Cache::builder(Api::<PersistentVolumeClaim>::new(client), |object| Some(claim(object)))
            .on_change(move |change: &Change<Claim>| {
                work.add(Work::Claim(change.key().clone()));
                let by_claim = named.by_index(&path(change.key())).into_iter().map(|(key, _)| key);
                let by_name = change.sides().filter(|claim| !claim.volume.is_empty());
                let by_name = by_name.map(|claim| Key::cluster(&claim.volume));
                by_claim.chain(by_name).for_each(|key| work.add(Work::Volume(key)));
                told();
            })
            .start(context, tasks);
        let work = queue.clone();
        let classes = Cache::builder(Api::<StorageClass>::new(client), |object| Some(class(object)))
            .on_change(move |_| {
                work.add(Work::Waiting);
                wake();
            })
            .start(context, tasks);
        Self { claims, volumes, classes }
    }

    /// Ends when everything is known.
    pub(crate) async fn synced(&self) {
        self.claims.synced().await;
        self.volumes.synced().await;
        self.classes.synced().await;
    }
}

/// A claim's key as text.
pub(super) fn path(key: &Key) -> String {
    format!("{}/{}", key.namespace, key.name)
}

fn owner(claim: &ClaimRef) -> String {
    format!("{}/{}", claim.namespace, claim.name)
}

/// Takes the amount of storage out of a list, as text and in bytes.
fn storage(list: Option<&BTreeMap<String, ApiQuantity>>) -> (String, u64) {
    let text = list.and_then(|list| list.get("storage")).map(|amount| amount.0.clone()).unwrap_or_default();
    let bytes = Quantity::parse(&text).map(|quantity| quantity.bytes()).unwrap_or_default();
    (text, bytes)
}

fn note(metadata: &ObjectMeta, name: &str) -> Option<String> {
    metadata.annotations.as_ref()?.get(name).filter(|text| !text.is_empty()).cloned()
}

fn claim(object: PersistentVolumeClaim) -> Claim {
    let metadata = object.metadata;
    let spec = object.spec.unwrap_or_default();
    let status = object.status.unwrap_or_default();
    let (request_text, request) =
        storage(spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()));
    let selector = spec.selector.as_ref().map(|selector| {
        let object = serde_json::to_value(selector).unwrap_or_default();
        LabelSelector::from_object(&object).unwrap_or_else(|_| LabelSelector::nothing())
    });
    Claim {
        selected_node: note(&metadata, annotation::SELECTED_NODE),
        provisioner: note(&metadata, annotation::PROVISIONER),
        bind_completed: note(&metadata, annotation::BIND_COMPLETED).is_some(),
        namespace: metadata.namespace.unwrap_or_default(),
        name: metadata.name.unwrap_or_default(),
        uid: metadata.uid.unwrap_or_default(),
        deleting: metadata.deletion_timestamp.is_some(),
        finalizers: metadata.finalizers.unwrap_or_default(),
        class: spec.storage_class_name,
        volume: spec.volume_name.unwrap_or_default(),
        modes: spec.access_modes.unwrap_or_default(),
        block: spec.volume_mode.as_deref() == Some("Block"),
        request,
        request_text,
        selector,
        has_source: spec.data_source.is_some() || spec.data_source_ref.is_some(),
        phase: status.phase.unwrap_or_default(),
        capacity_text: storage(status.capacity.as_ref()).0,
    }
}

fn volume(object: PersistentVolume) -> Volume {
    let metadata = object.metadata;
    let spec = object.spec.unwrap_or_default();
    let (capacity_text, capacity) = storage(spec.capacity.as_ref());
    let terms = spec.node_affinity.and_then(|affinity| affinity.required);
    Volume {
        provisioned_by: note(&metadata, annotation::PROVISIONED_BY),
        name: metadata.name.unwrap_or_default(),
        uid: metadata.uid.unwrap_or_default(),
        deleting: metadata.deletion_timestamp.is_some(),
        finalizers: metadata.finalizers.unwrap_or_default(),
        labels: metadata.labels.unwrap_or_default(),
        class: spec.storage_class_name.unwrap_or_default(),
        modes: spec.access_modes.unwrap_or_default(),
        block: spec.volume_mode.as_deref() == Some("Block"),
        capacity,
        capacity_text,
        claim: spec.claim_ref.map(|owner| ClaimRef {
            namespace: owner.namespace.unwrap_or_default(),
            name: owner.name.unwrap_or_default(),
            uid: owner.uid.unwrap_or_default(),
        }),
        reclaim: spec.persistent_volume_reclaim_policy.unwrap_or_default(),
        nodes: terms
            .map(|terms| terms.node_selector_terms)
            .unwrap_or_default()
            .into_iter()
            .map(convert::term)
            .collect(),
        phase: object.status.and_then(|status| status.phase).unwrap_or_default(),
    }
}

fn class(object: StorageClass) -> Class {
    let metadata = object.metadata;
    Class {
        expandable: object.allow_volume_expansion == Some(true),
        is_default: note(&metadata, annotation::IS_DEFAULT_CLASS).as_deref() == Some("true"),
        created: metadata.creation_timestamp.map(|time| time.0),
        name: metadata.name.unwrap_or_default(),
        provisioner: object.provisioner,
        delayed: object.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
        reclaim: object.reclaim_policy.unwrap_or_else(|| "Delete".to_owned()),
    }
}
