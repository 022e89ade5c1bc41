//! The name server's own Service `kube-dns` in `kube-system`, as clusters have it, and the slice that leads to it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_ext::{Api, ApiError, Cache, Client, Context, Key, Kind as _, Queue, Select, Tasks, work};
use parking_lot::Mutex;
use plan::endpoints::SERVICE_NAME;
use plan::names::{NAMESPACE, SERVICE};
use serde_json::{Value, json};

/// Who looks after the slice.
const MANAGER: &str = "kube-dns.ironclad.local";
/// When an announcement that failed is made again.
const AGAIN: Duration = Duration::from_secs(5);

/// Why a cluster has no address for its name server.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// The Service cannot be made or read.
    #[error("cannot make the Service {NAMESPACE}/{SERVICE}")]
    Api(#[from] ApiError),
    /// Somebody made a Service of this name that Pods cannot ask.
    #[error(
        "the Service {NAMESPACE}/{SERVICE} has no IPv4 address (clusterIP {0:?}), so Pods are given the host's \
         resolvers; delete it to have the cluster's own"
    )]
    NoAddress(String),
}

/// Makes sure that there is a Service for the name server, at `wanted` if nobody has that address. Returns its address,
/// which Pods may be told before anybody answers there.
pub async fn announce(client: &Client, wanted: Ipv4Addr) -> Result<Ipv4Addr, AnnounceError> {
    let api = Api::<Service>::new(client);
    let key = Key::new(NAMESPACE, SERVICE);
    let there = match api.find(&key).await? {
        Some(there) => there,
        None => match api.create(NAMESPACE, &service(Some(wanted))).await {
            Ok(made) => made,
            // Somebody's own Service has the address.
            Err(error) if error.is_refused() => api.create(NAMESPACE, &service(None)).await?,
            Err(error) => return Err(error.into()),
        },
    };
    let address = there.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
    address.parse().map_err(|_| AnnounceError::NoAddress(address))
}

fn service(address: Option<Ipv4Addr>) -> Value {
    let mut service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": SERVICE,
            "namespace": NAMESPACE,
            "labels": {"k8s-app": SERVICE, "kubernetes.io/cluster-service": "true"},
        },
        "spec": {"type": "ClusterIP", "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
        ]},
    });
    if let Some(address) = address {
        service["spec"]["clusterIP"] = address.to_string().into();
    }
    service
}

/// Keeps Service and slice as they should be.
pub(crate) struct Announcement {
    queue: Queue<()>,
    at: Arc<Mutex<Option<Ipv4Addr>>>,
}

impl Announcement {
    /// Begins to look after the Service at `address` and, once it is known where the name server listens, after its
    /// slice.
    pub(crate) fn start(
        context: &Context,
        client: Client,
        node: String,
        address: Ipv4Addr,
        tasks: &mut Tasks,
    ) -> Self {
        let queue: Queue<()> = Queue::new(context.clock.clone());
        let at: Arc<Mutex<Option<Ipv4Addr>>> = Arc::default();
        let own = || Select::fields(format!("metadata.name={SERVICE}")).within(NAMESPACE);
        let ready = queue.clone();
        let services =
            Cache::builder(Api::<Service>::new(&context.client), |service| Some(service.uid().to_owned()))
                .select(own())
                .on_change(move |_| ready.add(()))
                .start(context, tasks);
        let ready = queue.clone();
        let slices = Cache::builder(Api::<EndpointSlice>::new(&context.client), |slice| Some(shape(slice)))
            .select(own())
            .on_change(move |_| ready.add(()))
            .start(context, tasks);
        let (pending, known) = (queue.clone(), Arc::clone(&at));
        tasks.add(async move {
            services.synced().await;
            slices.synced().await;
            let key = Key::new(NAMESPACE, SERVICE);
            work(pending, 1, |()| {
                let (service, slice) = (services.get(&key), slices.get(&key));
                let (client, node, at) = (client.clone(), node.clone(), *known.lock());
                async move {
                    let Some(owner) = service else {
                        let made = Api::<Service>::new(&client)
                            .create(NAMESPACE, &self::service(Some(address)))
                            .await;
                        return made.map(|_| None).or_else(quietly);
                    };
                    let Some(at) = at else { return Ok(None) };
                    let wanted = self::slice(at, &node, &owner);
                    bring(&Api::new(&client), slice.as_deref(), &wanted).await
                }
            })
            .await;
        });
        Self { queue, at }
    }

    /// Says where the name server listens.
    pub(crate) fn at(&self, address: Ipv4Addr) {
        *self.at.lock() = Some(address);
        self.queue.add(());
    }
}

/// Keeps what of a slice is compared.
fn shape(slice: EndpointSlice) -> EndpointSlice {
    let meta = slice.metadata;
    let metadata =
        ObjectMeta { labels: meta.labels, owner_references: meta.owner_references, ..ObjectMeta::default() };
    EndpointSlice { metadata, ..slice }
}

/// Makes or changes the slice until it is `wanted`.
async fn bring(
    api: &Api<EndpointSlice>,
    there: Option<&EndpointSlice>,
    wanted: &Value,
) -> Result<Option<Duration>, ApiError> {
    let Some(there) = there else {
        return api.create(NAMESPACE, wanted).await.map(|_| None).or_else(quietly);
    };
    if serde_json::from_value(wanted.clone()).is_ok_and(|wanted| shape(wanted) == *there) {
        return Ok(None);
    }
    api.replace(&Key::new(NAMESPACE, SERVICE), wanted).await.map(|_| None).or_else(quietly)
}

/// An object that is there already shows soon; one whose namespace ends comes later.
fn quietly(error: ApiError) -> Result<Option<Duration>, ApiError> {
    if error.is_already_exists() || error.is_not_found() { Ok(Some(AGAIN)) } else { Err(error) }
}

fn slice(at: Ipv4Addr, node: &str, owner: &str) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": SERVICE,
            "namespace": NAMESPACE,
            "labels": {
                SERVICE_NAME: SERVICE,
                "k8s-app": SERVICE,
                "endpointslice.kubernetes.io/managed-by": MANAGER,
            },
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": SERVICE, "uid": owner}],
        },
        "addressType": "IPv4",
        "endpoints": [{
            "addresses": [at.to_string()],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": node,
        }],
        "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        ],
    })
}
