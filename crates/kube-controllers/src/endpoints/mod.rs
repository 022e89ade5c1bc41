//! Keeps EndpointSlices and Endpoints in step with Services and their Pods. Judgement: [`plan::endpoints`].
//!
//! Objects that others made (of Services without a selector) are left alone.

mod picture;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube_ext::{Api, ApiError, Cache, Change, Context, Delete, Key, Queue, Select, Tasks, work};
use plan::endpoints::{self, Pod, PodObject, Service};

use self::picture::{Legacy, Slice};

/// How many Services are worked on at the same time.
const PARALLEL: usize = 2;

struct Controller {
    services: Cache<Service>,
    pods: Cache<Pod>,
    slices: Cache<Slice>,
    legacy: Cache<Legacy>,
    slice_api: Api<EndpointSlice>,
    legacy_api: Api<v1::Endpoints>,
}

/// Adds the controller to `tasks`. Returns the Pods that it knows, of whose changes `changed` is told as well.
pub(crate) fn start(
    context: &Context,
    changed: impl Fn(&Change<Pod>) + Send + Sync + 'static,
    tasks: &mut Tasks,
) -> Cache<Pod> {
    let client = &context.client;
    let queue: Queue = Queue::new(context.clock.clone());
    let ready = queue.clone();
    let services = Cache::builder(Api::<v1::Service>::new(client), |service| Service::of(&service))
        .on_change(move |change| ready.add(change.key().clone()))
        .start(context, tasks);
    let (ready, known) = (queue.clone(), services.clone());
    let pods = Cache::builder(Api::<PodObject>::new(client), |pod| Some(Pod::from(pod)))
        .on_change(move |change| {
            for (key, service) in known.in_namespace(&change.key().namespace) {
                if change.sides().any(|pod| service.selects(&pod.labels)) {
                    ready.add(key);
                }
            }
        })
        .on_change(changed)
        .start(context, tasks);
    let (ready, all) = (queue.clone(), pods.clone());
    let slices = Cache::builder(Api::<EndpointSlice>::new(client), Slice::of)
        .select(Select::labels(format!(
            "endpointslice.kubernetes.io/managed-by={}",
            endpoints::SLICES_MANAGED_BY
        )))
        .index(|slice: &Slice| Some(slice.of.clone()))
        .on_change(move |change| {
            for slice in change.sides() {
                ready.add(Key::new(&change.key().namespace, &slice.service));
            }
        })
        .start(context, tasks);
    let ready = queue.clone();
    let legacy = Cache::builder(Api::<v1::Endpoints>::new(client), |object| Some(Legacy::of(object)))
        .on_change(move |change| ready.add(change.key().clone()))
        .start(context, tasks);
    let controller = Arc::new(Controller {
        services,
        pods,
        slices,
        legacy,
        slice_api: Api::new(client),
        legacy_api: Api::new(client),
    });
    tasks.add(async move {
        controller.services.synced().await;
        controller.pods.synced().await;
        controller.slices.synced().await;
        controller.legacy.synced().await;
        work(queue, PARALLEL, |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&key).await }
        })
        .await;
    });
    all
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, ApiError> {
        let service = self.services.get(key);
        let pods: Vec<Pod> = if service.is_some() {
            self.pods.in_namespace(&key.namespace).into_iter().map(|(_, pod)| (*pod).clone()).collect()
        } else {
            Vec::new()
        };
        let slices = service.as_ref().map(|service| endpoints::slices(service, &pods)).unwrap_or_default();
        self.slices(key, slices).await?;
        let wanted = service.as_ref().and_then(|service| endpoints::endpoints(service, &pods));
        self.legacy(key, wanted).await?;
        Ok(None)
    }

    /// Makes, changes and removes slices until they are `wanted`.
    async fn slices(&self, key: &Key, wanted: Vec<EndpointSlice>) -> Result<(), ApiError> {
        let mut known: BTreeMap<Key, Arc<Slice>> =
            self.slices.by_index(&key.to_string()).into_iter().collect();
        for slice in wanted {
            let name = Key::new(&key.namespace, slice.metadata.name.clone().unwrap_or_default());
            let Some(shape) = Slice::of(slice.clone()) else { continue };
            let written = match known.remove(&name) {
                Some(before) if *before == shape => continue,
                Some(_) => self.slice_api.replace(&name, &slice).await,
                None => self.slice_api.create(&key.namespace, &slice).await,
            };
            match written {
                Ok(written) => {
                    let revision = written.metadata.resource_version.clone().unwrap_or_default();
                    self.slices.observe(name, &revision, Slice::of(written));
                }
                // The Service's namespace goes, or a slice of this name shows soon.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        for name in known.into_keys() {
            gone(self.slice_api.delete(&name, &Delete::default()).await)?;
        }
        Ok(())
    }

    async fn legacy(&self, key: &Key, wanted: Option<v1::Endpoints>) -> Result<(), ApiError> {
        let known = self.legacy.get(key);
        let ours = known.as_ref().is_some_and(|known| known.ours);
        let Some(object) = wanted else {
            return if ours { gone(self.legacy_api.delete(key, &Delete::default()).await) } else { Ok(()) };
        };
        let written = match known {
            Some(known) if *known == Legacy::of(object.clone()) => return Ok(()),
            Some(_) => self.legacy_api.replace(key, &object).await,
            None => self.legacy_api.create(&key.namespace, &object).await,
        };
        match written {
            Ok(written) => {
                let revision = written.metadata.resource_version.clone().unwrap_or_default();
                self.legacy.observe(key.clone(), &revision, Some(Legacy::of(written)));
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What is gone already need not be removed.
fn gone(result: Result<(), ApiError>) -> Result<(), ApiError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}
