//! Ports of Services on the node, carried by sockets: for nodes without root.
//!
//! A listener for each TCP port accepts on every address of the host and carries each connection to one of the ready
//! Pods, in turn. Addresses of Services and policies need a packet filter; whoever makes such an object is told.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use effects::Clock;
use k8s_openapi::api::core::v1;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube_ext::{
    Api, ApiError, Cache, Change, Context, Key, Kind as _, ObjectRef, Queue, Recorder, Severity, Tasks,
    resources, work,
};
use parking_lot::Mutex;
use plan::traffic;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::view;

/// When a port that somebody else holds is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// Bytes that are carried at once, each way: a packet of SSH's.
const CARRIED: usize = 32 << 10;
/// Wait after a connection that could not be accepted.
const BREATH: Duration = Duration::from_millis(100);

/// A port of a Pod of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Identity of the Pod.
    pub pod: String,
    /// The port.
    pub port: u16,
}

/// Opens connections into Pods of the node.
#[async_trait::async_trait]
pub trait Dial: Send + Sync {
    /// Connects to a port of a Pod.
    async fn dial(&self, target: &Target) -> io::Result<std::net::TcpStream>;
}

/// Where connections to one port of the node go.
#[derive(Clone, Default)]
struct Route {
    targets: Arc<Mutex<Vec<Target>>>,
    next: Arc<AtomicUsize>,
}

impl Route {
    fn choose(&self) -> Option<Target> {
        let targets = self.targets.lock();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        targets.get(turn.checked_rem(targets.len())?).cloned()
    }
}

/// Open ports of one Service.
type Ports = BTreeMap<u16, (Route, Listener)>;

struct Carrier {
    node: String,
    dial: Arc<dyn Dial>,
    clock: Arc<dyn Clock>,
    recorder: Recorder,
    services: Cache<v1::Service>,
    slices: Cache<EndpointSlice>,
    /// Listeners by port; what accepts ends with the handle.
    open: Mutex<BTreeMap<Key, Ports>>,
}

/// A task that accepts connections; dropping it closes the port and ends them.
struct Listener(AbortHandle);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Adds the agent's work to `tasks`.
pub(crate) fn start(
    context: &Context,
    node: String,
    dial: Arc<dyn Dial>,
    recorder: Recorder,
    tasks: &mut Tasks,
) {
    let client = &context.client;
    let queue: Queue = Queue::new(context.clock.clone());
    let ready = queue.clone();
    let (telling, on) = (recorder.clone(), node.clone());
    let services = Cache::builder(Api::<v1::Service>::new(client), |service| Some(view::service(service)))
        .on_change(move |change| {
            if let Change::Applied { key, before, after } = change {
                warn_of_service(&telling, &on, key, before.as_deref(), after);
            }
            ready.add(change.key().clone());
        })
        .start(context, tasks);
    let ready = queue.clone();
    let slices = Cache::builder(Api::<EndpointSlice>::new(client), view::slice)
        .index(view::owner)
        .on_change(move |change| {
            let owner = change.sides().filter_map(view::owner).last().unwrap_or_default();
            if let Some((namespace, name)) = owner.split_once('/') {
                ready.add(Key::new(namespace, name));
            }
        })
        .start(context, tasks);
    warn_of_policies(context, &node, &recorder, tasks);
    let carrier = Arc::new(Carrier {
        node,
        dial,
        clock: Arc::clone(&context.clock),
        recorder,
        services,
        slices,
        open: Mutex::default(),
    });
    tasks.add(async move {
        carrier.services.synced().await;
        carrier.slices.synced().await;
        // Whatever accepts ends with this set, when the agent does.
        let accepting = Arc::new(tokio::sync::Mutex::new(JoinSet::new()));
        work(queue, 1, |key| {
            let (carrier, accepting) = (Arc::clone(&carrier), Arc::clone(&accepting));
            async move {
                let mut accepting = accepting.lock().await;
                while accepting.try_join_next().is_some() {}
                Ok::<_, ApiError>(carrier.bring(&key, &mut accepting).await)
            }
        })
        .await;
    });
}

/// Tells the author of a Service what nothing here does of it, when that changes.
fn warn_of_service(
    recorder: &Recorder,
    node: &str,
    key: &Key,
    before: Option<&v1::Service>,
    after: &v1::Service,
) {
    let fields = traffic::unserved(after);
    // The API's own Service is nobody's to change; docs/networking.md says where it leads.
    let own = (&*key.namespace, &*key.name) == ("default", "kubernetes");
    if own || fields.is_empty() || before.is_some_and(|before| traffic::unserved(before) == fields) {
        return;
    }
    let message = format!(
        "{node} runs without root and carries only TCP to ports of the node, so nothing there serves {}: use type \
         NodePort, or run `ironclad up` as root",
        fields.join("; ")
    );
    let object = ObjectRef::new(&resources::SERVICE, key.clone(), after.uid());
    recorder.record(&object, Severity::Warning, "NotServed", &message);
}

/// Tells the authors of policies that nothing here enforces them.
fn warn_of_policies(context: &Context, node: &str, recorder: &Recorder, tasks: &mut Tasks) {
    let (recorder, node) = (recorder.clone(), node.to_owned());
    Cache::builder(Api::<NetworkPolicy>::new(&context.client), |policy| Some(policy.uid().to_owned()))
        .on_change(move |change| {
            if let Change::Applied { key, before: None, after } = change {
                let object = ObjectRef::new(&resources::NETWORK_POLICY, key.clone(), after.as_str());
                let message = format!(
                    "{node} runs without root, so nothing enforces this policy there: each Pod is alone behind its \
                     own uplink, and what it sends leaves; run `ironclad up` as root to have policies enforced"
                );
                recorder.record(&object, Severity::Warning, "NotEnforced", &message);
            }
        })
        .start(context, tasks);
}

impl Carrier {
    /// Opens and closes ports until they are what the Service asks for.
    async fn bring(&self, key: &Key, accepting: &mut JoinSet<()>) -> Option<Duration> {
        let wanted = self.services.get(key).map(|service| self.routes(key, &service)).unwrap_or_default();
        let mut again = None;
        let mut known = self.open.lock().remove(key).unwrap_or_default();
        let mut open = BTreeMap::new();
        for (port, targets) in wanted {
            if let Some((route, listener)) = known.remove(&port) {
                *route.targets.lock() = targets;
                open.insert(port, (route, listener));
                continue;
            }
            match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await {
                Ok(listener) => {
                    let route = Route::default();
                    *route.targets.lock() = targets;
                    let handle = accepting.spawn(accept(
                        listener,
                        route.clone(),
                        Arc::clone(&self.dial),
                        Arc::clone(&self.clock),
                    ));
                    open.insert(port, (route, Listener(handle)));
                }
                Err(error) => {
                    self.tell(key, "PortUnavailable", &format!(
                        "port {port} of {} cannot be opened: {error}; choose another nodePort, or free it",
                        self.node
                    ));
                    again = Some(AGAIN);
                }
            }
        }
        if !open.is_empty() {
            self.open.lock().insert(key.clone(), open);
        }
        again
    }

    /// Returns the TCP ports of the node that a Service asks for, with the ready Pods behind each.
    fn routes(&self, key: &Key, service: &v1::Service) -> BTreeMap<u16, Vec<Target>> {
        let slices = self.slices.by_index(&key.to_string());
        let mut routes = BTreeMap::new();
        for port in service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()) {
            let Some(number) = port.node_port.and_then(|number| u16::try_from(number).ok()) else { continue };
            if port.protocol.as_deref().is_some_and(|protocol| protocol != "TCP") {
                self.tell(key, "PortNotCarried", &format!(
                    "{} runs without root and carries TCP only: port {number} stays closed; run `ironclad up` as root",
                    self.node
                ));
                continue;
            }
            let name = port.name.as_deref().unwrap_or_default();
            let targets = slices.iter().flat_map(|(_, slice)| targets(slice, name, &self.node)).collect();
            routes.insert(number, targets);
        }
        routes
    }

    fn tell(&self, key: &Key, reason: &str, message: &str) {
        let uid = self.services.get(key).and_then(|service| service.metadata.uid.clone()).unwrap_or_default();
        let object = ObjectRef::new(&resources::SERVICE, key.clone(), uid);
        self.recorder.record(&object, Severity::Warning, reason, message);
    }
}

/// Lists the ready Pods of this node that a slice names for the port `name`.
fn targets(slice: &EndpointSlice, name: &str, node: &str) -> Vec<Target> {
    let ports = slice.ports.iter().flatten();
    let mut ports = ports.filter(|port| port.name.as_deref().unwrap_or_default() == name);
    let Some(port) = ports.find_map(|port| u16::try_from(port.port?).ok()) else { return Vec::new() };
    let ready = slice.endpoints.iter().filter(|endpoint| {
        endpoint.node_name.as_deref() == Some(node)
            && endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false))
    });
    let pods = ready.filter_map(|endpoint| endpoint.target_ref.as_ref()?.uid.clone());
    pods.map(|pod| Target { pod, port }).collect()
}

/// Accepts connections for ever and carries each to a Pod. They end with this task.
async fn accept(listener: TcpListener, route: Route, dial: Arc<dyn Dial>, clock: Arc<dyn Clock>) {
    let mut carried = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = carried.join_next() => continue,
        };
        let Ok((client, _)) = accepted else {
            // Out of descriptors, most likely.
            clock.sleep(BREATH).await;
            continue;
        };
        // Without a Pod the connection ends here, as it would be refused.
        let Some(target) = route.choose() else { continue };
        let dial = Arc::clone(&dial);
        carried.spawn(async move {
            if let Err(error) = carry(client, &target, &*dial).await {
                tracing::debug!(?target, %error, "a connection to a Service ended");
            }
        });
    }
}

async fn carry(mut client: TcpStream, target: &Target, dial: &dyn Dial) -> io::Result<()> {
    let server = dial.dial(target).await?;
    server.set_nonblocking(true)?;
    let mut server = TcpStream::from_std(server)?;
    // What one side has sent goes on at once: waiting for more is for its sender to decide.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, CARRIED, CARRIED).await.map(drop)
}
