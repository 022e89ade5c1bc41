//! What an installation brings besides what every cluster has: a class of storage, the object that configures it, and
//! where the API's Service leads. All are made again when they are deleted while it runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use api::kubevirt::v1::KubeVirt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::storage::v1::StorageClass;
use kube_ext::{
    Api, ApiError, Cache, Change, Client, Context, Delete, Key, Kind as _, ObjectRef, Queue, Recorder,
    Select, Severity, Tasks, resources, work,
};
use serde_json::{Value, json};

use super::{installation, profiles};

/// After what time something that was deleted is made again. Who replaces an object by deleting and creating it is
/// quicker.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often the way out of a server that listens at every address is looked for.
const WAY_OUT: Duration = Duration::from_secs(30);

/// The API's Service, and the slice that leads to it.
const OWN_SERVICE: (&str, &str) = ("default", "kubernetes");

/// Returns where the machines of a server that listens at `listen` reach it; nowhere when that is the loopback, which
/// it leaves only when it is asked to.
fn advertised(listen: SocketAddr) -> Option<SocketAddrV4> {
    let address = match listen.ip() {
        ip if ip.is_loopback() => None,
        ip if ip.is_unspecified() => way_out(),
        IpAddr::V4(ip) => Some(ip),
        // Services have IPv4 addresses.
        IpAddr::V6(_) => None,
    };
    // Nobody beyond the link reaches a link-local one, and no Service may lead there.
    let address = address.filter(|address| !address.is_link_local());
    address.map(|address| SocketAddrV4::new(address, listen.port()))
}

/// The machine's own address on its way out; none without one. Nothing is sent.
fn way_out() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(own) => Some(own),
        IpAddr::V6(_) => None,
    }
}

/// Leads the API's Service to where machines reach a server that listens at `listen`. Returns when to look again: who
/// listens at every address is found at another one when the network has come up, or changed.
pub(super) async fn endpoints(client: &Client, listen: SocketAddr) -> Result<Option<Duration>, ApiError> {
    let is_everywhere = listen.ip().is_unspecified();
    match advertised(listen) {
        // The way that it had may be there again soon.
        None if is_everywhere => {}
        at => lead(client, at).await?,
    }
    Ok(is_everywhere.then_some(WAY_OUT))
}

/// Leads the API's Service to `at`, or nowhere.
async fn lead(client: &Client, at: Option<SocketAddrV4>) -> Result<(), ApiError> {
    let api = Api::<EndpointSlice>::new(client);
    let key = Key::new(OWN_SERVICE.0, OWN_SERVICE.1);
    let there = api.find(&key).await?;
    match (at.map(slice), there) {
        (None, None) => Ok(()),
        (None, Some(_)) => match api.delete(&key, &Delete::default()).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        },
        (Some(wanted), None) => match api.create(&key.namespace, &wanted).await {
            Err(error) if !error.is_already_exists() => Err(error),
            _ => Ok(()),
        },
        (Some(wanted), Some(there)) => {
            let is = serde_json::to_value(&there).unwrap_or_default();
            if ["endpoints", "ports", "addressType"].iter().all(|field| is[field] == wanted[field]) {
                return Ok(());
            }
            api.replace(&key, &wanted).await.map(drop)
        }
    }
}

fn slice(at: SocketAddrV4) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": OWN_SERVICE.1,
            "namespace": OWN_SERVICE.0,
            "labels": {plan::endpoints::SERVICE_NAME: OWN_SERVICE.1},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [at.ip().to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": at.port(), "protocol": "TCP"}],
    })
}

/// Makes the class of storage. Whoever has chosen storage of his own keeps it.
pub(super) async fn storage(client: &Client) -> Result<(), ApiError> {
    let classes = Api::<StorageClass>::new(client);
    if classes.list(&Select::default()).await?.is_empty() {
        classes.create("", &installation::storage_class()).await?;
    }
    Ok(())
}

/// Makes the object that configures the installation, unless there is one; returns the one made.
pub(super) async fn installation(client: &Client, wanted: &KubeVirt) -> Result<Option<KubeVirt>, ApiError> {
    let api = Api::<KubeVirt>::new(client);
    if !api.list(&Select::default()).await?.is_empty() {
        return Ok(None);
    }
    api.create(api::names::NAMESPACE, wanted).await.map(Some)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Storage,
    Profiles,
    Installation,
    Endpoints,
}

/// Makes again what is deleted, until `stopped` ends.
pub(super) async fn keep(
    context: Context,
    kubevirt: KubeVirt,
    listen: SocketAddr,
    stopped: impl Future<Output = ()> + Send,
) {
    let mut tasks = Tasks::new();
    let recorder = Recorder::start(&context, "ironclad", &mut tasks);
    let queue: Queue<Piece> = Queue::new(context.clock.clone());
    let gone = queue.clone();
    Cache::builder(Api::<StorageClass>::new(&context.client), |_| Some(()))
        .on_change(move |change| match change {
            Change::Removed { .. } => gone.add_after(Piece::Storage, PATIENCE),
            Change::Applied { .. } => gone.add(Piece::Profiles),
        })
        .start(&context, &mut tasks);
    let gone = queue.clone();
    Cache::builder(Api::<KubeVirt>::new(&context.client), |_| Some(()))
        .on_change(move |change| {
            if matches!(change, Change::Removed { .. }) {
                gone.add_after(Piece::Installation, PATIENCE);
            }
        })
        .start(&context, &mut tasks);
    let gone = queue.clone();
    Cache::builder(Api::<EndpointSlice>::new(&context.client), |_| Some(()))
        .select(Select::fields(format!("metadata.name={}", OWN_SERVICE.1)).within(OWN_SERVICE.0))
        .on_change(move |change| {
            if matches!(change, Change::Removed { .. }) {
                gone.add_after(Piece::Endpoints, PATIENCE);
            }
        })
        .start(&context, &mut tasks);
    // What went between the start and the first look at what is there.
    queue.add_after(Piece::Storage, PATIENCE);
    queue.add_after(Piece::Installation, PATIENCE);
    queue.add_after(Piece::Endpoints, PATIENCE);
    tasks.add(async move {
        work(queue, 1, |piece| {
            let (context, kubevirt, recorder) = (&context, &kubevirt, &recorder);
            async move {
                match piece {
                    Piece::Storage => storage(&context.client).await?,
                    Piece::Profiles => return profiles::keep(&context.client).await,
                    Piece::Endpoints => return endpoints(&context.client, listen).await,
                    Piece::Installation => match installation(&context.client, kubevirt).await {
                        Ok(None) => {}
                        Ok(Some(made)) => tell(recorder, &made),
                        // Its namespace went with it, and is made again by the server.
                        Err(error) if error.is_not_found() || error.is_refused() => {
                            return Ok(Some(PATIENCE));
                        }
                        Err(error) => return Err(error),
                    },
                }
                Ok(None)
            }
        })
        .await;
    });
    tasks.run(stopped).await;
}

/// Says what is lost.
fn tell(recorder: &Recorder, made: &KubeVirt) {
    let message = "the object was deleted while the installation runs; it is made again with the settings that an installation \
                   begins with: apply your own";
    tracing::warn!("KubeVirt: {message}");
    let object = ObjectRef::new(&resources::KUBEVIRT, made.key(), made.uid());
    recorder.record(&object, Severity::Warning, "SettingsReset", message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_led_to_a_server_that_listens_beyond_the_loopback() {
        let of = |listen: &str| advertised(listen.parse().unwrap()).map(|at| at.to_string());
        assert_eq!(of("127.0.0.1:6443"), None);
        assert_eq!(of("[::1]:6443"), None);
        assert_eq!(of("192.0.2.7:6443").as_deref(), Some("192.0.2.7:6443"));
        assert_eq!(of("[2001:db8::1]:6443"), None);
        assert!(of("0.0.0.0:7").is_none_or(|at| at.ends_with(":7") && !at.starts_with("0.")));
    }
}
