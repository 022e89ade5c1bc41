//! The picture of the cluster that questions are answered from, made anew after each change.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use k8s_openapi::api::core::v1;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_ext::{Api, ApiError, Cache, Change, Context, Key, Kind as _, Queue, Tasks, work};
use parking_lot::RwLock;
use plan::endpoints::SERVICE_NAME;
use plan::names::{DOMAIN, Zone};
use tokio::sync::watch;

/// The names as they are now. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Names {
    zone: Arc<RwLock<Arc<Zone>>>,
    synced: watch::Receiver<bool>,
}

impl Names {
    /// Begins to watch Services, slices and namespaces.
    pub(crate) fn start(context: &Context, server: Ipv4Addr, tasks: &mut Tasks) -> Self {
        let client = &context.client;
        let queue: Queue<()> = Queue::new(context.clock.clone());
        let services = Cache::builder(Api::<v1::Service>::new(client), |service| Some(service_of(service)))
            .on_change(wake(&queue))
            .start(context, tasks);
        let slices = Cache::builder(Api::<EndpointSlice>::new(client), slice_of)
            .index(owner)
            .on_change(wake(&queue))
            .start(context, tasks);
        let namespaces =
            Cache::builder(Api::<v1::Namespace>::new(client), |namespace| Some(namespace.uid().to_owned()))
                .on_change(wake(&queue))
                .start(context, tasks);
        let zone: Arc<RwLock<Arc<Zone>>> = Arc::default();
        let (sender, synced) = watch::channel(false);
        let names = Self { zone: Arc::clone(&zone), synced };
        tasks.add(async move {
            services.synced().await;
            slices.synced().await;
            namespaces.synced().await;
            queue.add(());
            work(queue, 1, |()| {
                *zone.write() = Arc::new(picture(server, &services, &slices, &namespaces));
                sender.send_replace(true);
                std::future::ready(Ok::<_, ApiError>(None))
            })
            .await;
        });
        names
    }

    /// Waits for the first whole picture: before it, a name that is missing means nothing.
    pub(crate) async fn synced(&self) {
        // The sender goes with the component's other tasks, and with them this one.
        let _ = self.synced.clone().wait_for(|synced| *synced).await;
    }

    /// Returns the names.
    pub(crate) fn zone(&self) -> Arc<Zone> {
        Arc::clone(&self.zone.read())
    }
}

fn wake<P>(queue: &Queue<()>) -> impl Fn(&Change<P>) + Send + Sync + 'static {
    let queue = queue.clone();
    move |_| queue.add(())
}

fn picture(
    server: Ipv4Addr,
    services: &Cache<v1::Service>,
    slices: &Cache<EndpointSlice>,
    namespaces: &Cache<String>,
) -> Zone {
    let mut zone = Zone::new(DOMAIN, vec![IpAddr::V4(server)]);
    for (key, _) in namespaces.all() {
        zone.add_namespace(&key.name);
    }
    for (key, service) in services.all() {
        let slices = slices.by_index(&key.to_string());
        let slices: Vec<&EndpointSlice> = slices.iter().map(|(_, slice)| &**slice).collect();
        zone.add(&service, &slices);
    }
    zone
}

/// Keeps what names depend on.
fn service_of(service: v1::Service) -> v1::Service {
    v1::Service { metadata: identity(service.metadata), status: None, ..service }
}

/// Keeps what names depend on; `None` for a slice of no Service.
fn slice_of(slice: EndpointSlice) -> Option<EndpointSlice> {
    owner(&slice)?;
    Some(EndpointSlice { metadata: identity(slice.metadata), ..slice })
}

fn identity(meta: ObjectMeta) -> ObjectMeta {
    let labels =
        meta.labels.map(|labels| labels.into_iter().filter(|(key, _)| key == SERVICE_NAME).collect());
    ObjectMeta { name: meta.name, namespace: meta.namespace, labels, ..ObjectMeta::default() }
}

/// Returns namespace and name of the Service that a slice belongs to, as one text.
fn owner(slice: &EndpointSlice) -> Option<String> {
    let service = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(Key::new(slice.metadata.namespace.as_deref().unwrap_or_default(), service).to_string())
}
