//! Ports of Services on the node, carried by sockets: for nodes without root.
//!
//! A listener for each TCP port accepts on every address of the host and carries each connection to one of the ready
//! Pods, in turn; while none is ready, the port is closed. Addresses of Services and policies need a packet filter;
//! whoever makes such an object is told.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
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
use tokio::sync::watch;
use tokio::task::JoinSet;

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

/// Open ports of one Service, each with the Pods behind it. A port ends with its sender, and its connections with it.
type Ports = BTreeMap<u16, watch::Sender<Vec<Target>>>;

struct Carrier {
    node: String,
    dial: Arc<dyn Dial>,
    clock: Arc<dyn Clock>,
    recorder: Recorder,
    services: Cache<v1::Service>,
    slices: Cache<EndpointSlice>,
    open: Mutex<BTreeMap<Key, Ports>>,
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
                carrier.bring(&key, &mut accepting);
                Ok::<_, ApiError>(None)
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
    /// Begins and ends ports until they are what the Service asks for, and tells them of their Pods.
    fn bring(self: &Arc<Self>, key: &Key, accepting: &mut JoinSet<()>) {
        let wanted = self.services.get(key).map(|service| self.routes(key, &service)).unwrap_or_default();
        let mut known = self.open.lock().remove(key).unwrap_or_default();
        let mut open = Ports::new();
        for (port, targets) in wanted {
            let pods = known.remove(&port).unwrap_or_else(|| {
                let (pods, told) = watch::channel(Vec::new());
                let (carrier, key) = (Arc::clone(self), key.clone());
                let unavailable = move |error: &io::Error| {
                    carrier.tell(&key, "PortUnavailable", &format!(
                        "port {port} of {} cannot be opened: {error}; choose another nodePort, or free it",
                        carrier.node
                    ));
                };
                let (dial, clock) = (Arc::clone(&self.dial), Arc::clone(&self.clock));
                accepting.spawn(serve(port, told, dial, clock, unavailable));
                pods
            });
            pods.send_if_modified(|now| {
                let changed = *now != targets;
                *now = targets;
                changed
            });
            open.insert(port, pods);
        }
        if !open.is_empty() {
            self.open.lock().insert(key.clone(), open);
        }
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

/// Carries connections to a port of the node until nobody tells it of Pods any more.
///
/// The port is open while there is a Pod to carry to: whoever calls before there is one, or when none is left, is refused.
/// What is carried by then goes on.
async fn serve(
    port: u16,
    mut pods: watch::Receiver<Vec<Target>>,
    dial: Arc<dyn Dial>,
    clock: Arc<dyn Clock>,
    unavailable: impl Fn(&io::Error),
) {
    let mut carried = JoinSet::new();
    let mut listener = None;
    let mut turn = 0_usize;
    loop {
        let mut pause = None;
        if pods.borrow_and_update().is_empty() {
            listener = None;
        } else if listener.is_none() {
            match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await {
                Ok(opened) => listener = Some(opened),
                Err(error) => {
                    unavailable(&error);
                    pause = Some(AGAIN);
                }
            }
        }
        let accepted = tokio::select! {
            changed = pods.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            Some(_) = carried.join_next() => continue,
            () = wait(&*clock, pause) => continue,
            accepted = accept(listener.as_ref()) => accepted,
        };
        let Ok((client, _)) = accepted else {
            // Out of descriptors, most likely.
            clock.sleep(BREATH).await;
            continue;
        };
        turn = turn.wrapping_add(1);
        let chosen = {
            let pods = pods.borrow();
            turn.checked_rem(pods.len()).and_then(|turn| pods.get(turn)).cloned()
        };
        // The last Pod went this very moment.
        let Some(target) = chosen else { continue };
        let dial = Arc::clone(&dial);
        carried.spawn(async move {
            if let Err(error) = carry(client, &target, &*dial).await {
                tracing::debug!(?target, %error, "a connection to a Service ended");
            }
        });
    }
}

/// Accepts a connection; waits for ever while the port is closed.
async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn wait(clock: &dyn Clock, pause: Option<Duration>) {
    match pause {
        Some(pause) => clock.sleep(pause).await,
        None => std::future::pending().await,
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use effects::SystemClock;

    use super::*;

    /// Leads every connection to a listener of the test.
    struct To(SocketAddr);

    #[async_trait::async_trait]
    impl Dial for To {
        async fn dial(&self, _: &Target) -> io::Result<std::net::TcpStream> {
            std::net::TcpStream::connect(self.0)
        }
    }

    fn free_port() -> u16 {
        let listener = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        listener.local_addr().unwrap().port()
    }

    /// Tries until the port is open, or closed.
    async fn connect(port: u16, open: bool) -> Option<std::net::TcpStream> {
        for _ in 0..1000 {
            let connected = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port));
            if connected.is_ok() == open {
                return connected.ok();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the port is to be open: {open}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_port_is_open_while_there_is_a_pod_and_connections_outlive_that() {
        let guest = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let dial = Arc::new(To(guest.local_addr().unwrap()));
        let port = free_port();
        let (pods, told) = watch::channel(Vec::new());
        let serving = tokio::spawn(serve(port, told, dial, Arc::new(SystemClock), |error| panic!("{error}")));
        connect(port, false).await;

        pods.send_replace(vec![Target { pod: "p".to_owned(), port: 22 }]);
        let mut client = connect(port, true).await.unwrap();
        let (mut server, _) = guest.accept().unwrap();
        pods.send_replace(Vec::new());
        connect(port, false).await;
        client.write_all(b"still here").unwrap();
        let mut heard = [0; 10];
        server.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"still here");

        pods.send_replace(vec![Target { pod: "q".to_owned(), port: 22 }]);
        connect(port, true).await.unwrap();
        drop(pods);
        serving.await.unwrap();
    }
}
