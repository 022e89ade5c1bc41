//! Services and policies as rules of the node's packet filter.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube_ext::{
    Api, ApiError, Cache, Change, Context, Key, Kind as _, ObjectRef, Queue, Recorder, Severity, Tasks,
    resources, work,
};
use network::listeners;
use network::pod::{Filter, Part};
use parking_lot::Mutex;
use plan::endpoints::{Pod, PodObject};
use plan::names;
use plan::traffic::{self, LocalNode, Policy, Tables};

use crate::view;

/// When rules that were refused are tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often somebody else's removal of the tables is looked for.
const LOOK: Duration = Duration::from_secs(10);

type Labels = BTreeMap<String, String>;

struct Rules {
    node: LocalNode,
    filter: Filter,
    services: Cache<v1::Service>,
    slices: Cache<EndpointSlice>,
    pods: Cache<Pod>,
    policies: Cache<Policy>,
    namespaces: Cache<Labels>,
    /// What was loaded last.
    loaded: Mutex<BTreeMap<Part, Tables>>,
    recorder: Recorder,
    /// Ports of Services whose authors know that a process of the host has them.
    told: Mutex<BTreeSet<(Key, NodePort)>>,
}

/// Protocol and number.
type NodePort = (String, u16);

/// Adds the agent's work to `tasks`.
pub(crate) fn start(context: &Context, node: String, filter: Filter, recorder: Recorder, tasks: &mut Tasks) {
    let client = &context.client;
    let queue: Queue<Part> = Queue::new(context.clock.clone());
    let services = Cache::builder(Api::<v1::Service>::new(client), |service| Some(view::service(service)))
        .on_change(wake(&queue, &[Part::Services]))
        .start(context, tasks);
    let slices = Cache::builder(Api::<EndpointSlice>::new(client), view::slice)
        .index(view::owner)
        .on_change({
            let queue = queue.clone();
            move |change| {
                queue.add(Part::Services);
                // Policies speak of the name server as of a Pod.
                if change.key().namespace == names::NAMESPACE {
                    queue.add(Part::Policies);
                }
            }
        })
        .start(context, tasks);
    let pods = Cache::builder(Api::<PodObject>::new(client), |pod| Some(Pod::from(pod)))
        .on_change(wake(&queue, &[Part::Services, Part::Policies]))
        .start(context, tasks);
    let policies = Cache::builder(Api::<NetworkPolicy>::new(client), |policy| Some(Policy::of(&policy)))
        .on_change(wake(&queue, &[Part::Policies]))
        .start(context, tasks);
    let namespaces = Cache::builder(Api::<v1::Namespace>::new(client), |namespace| {
        Some(namespace.metadata.labels.unwrap_or_default())
    })
    .on_change(wake(&queue, &[Part::Policies]))
    .start(context, tasks);
    let rules = Arc::new(Rules {
        node: LocalNode { name: node, links: filter.links() },
        filter,
        services,
        slices,
        pods,
        policies,
        namespaces,
        loaded: Mutex::default(),
        recorder,
        told: Mutex::default(),
    });
    let (clock, again) = (Arc::clone(&context.clock), queue.clone());
    tasks.add(async move {
        loop {
            clock.sleep(LOOK).await;
            again.add(Part::Services);
            again.add(Part::Policies);
        }
    });
    tasks.add(async move {
        rules.services.synced().await;
        rules.slices.synced().await;
        rules.pods.synced().await;
        rules.policies.synced().await;
        rules.namespaces.synced().await;
        queue.add(Part::Services);
        queue.add(Part::Policies);
        work(queue, 1, |part| {
            let rules = Arc::clone(&rules);
            async move { Ok::<_, ApiError>(rules.bring(part).await) }
        })
        .await;
    });
}

/// Asks for a look at `parts` after each change.
fn wake<P>(queue: &Queue<Part>, parts: &'static [Part]) -> impl Fn(&Change<P>) + Send + Sync + 'static {
    let queue = queue.clone();
    move |_| parts.iter().for_each(|part| queue.add(*part))
}

impl Rules {
    /// Loads a table when it should say something else than it does.
    async fn bring(&self, part: Part) -> Option<Duration> {
        let body = match part {
            Part::Services => {
                self.tell_of_taken_ports();
                self.services()
            }
            Part::Policies => self.policies(),
        };
        let known = self.loaded.lock().get(&part) == Some(&body);
        let (filter, text) = (self.filter.clone(), body.clone());
        let loaded = tokio::task::spawn_blocking(move || {
            if known {
                if filter.holds(part, &text.ip, &text.ip6)? {
                    return Ok(());
                }
                tracing::warn!(?part, "somebody removed the rules, which are loaded again");
            }
            filter.replace(part, &text.ip, &text.ip6)
        })
        .await;
        match loaded {
            Ok(Ok(())) => {
                self.loaded.lock().insert(part, body);
                None
            }
            Ok(Err(error)) => {
                tracing::error!(node = self.node.name, ?part, %error, "the packet filter stays as it was");
                Some(AGAIN)
            }
            Err(error) => {
                tracing::error!(node = self.node.name, ?part, %error, "changing the packet filter broke off");
                Some(AGAIN)
            }
        }
    }

    /// Tells the authors of Services whose ports of the node lead away from a process of the host.
    fn tell_of_taken_ports(&self) {
        if !self.filter.shares_the_machine() {
            return;
        }
        let mut wanted = BTreeMap::new();
        for (key, service) in self.services.all() {
            for port in service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()) {
                let Some(number) = port.node_port.and_then(|number| u16::try_from(number).ok()) else {
                    continue;
                };
                let protocol = port.protocol.as_deref().unwrap_or("TCP").to_lowercase();
                wanted.insert((key.clone(), (protocol, number)), service.uid().to_owned());
            }
        }
        let mut told = self.told.lock();
        told.retain(|one| wanted.contains_key(one));
        wanted.retain(|one, _| !told.contains(one));
        let mut taken: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
        for ((key, (protocol, number)), uid) in wanted {
            let known = taken.entry(protocol.clone());
            let ports = known.or_insert_with(|| listeners::listening(&protocol).unwrap_or_default());
            if !ports.contains(&number) {
                continue;
            }
            let message = format!(
                "a process of {} has port {number} ({protocol}) as well: nobody reaches it there while this Service leads \
                 its connections to Pods; choose another nodePort, or have the process use another port",
                self.node.name
            );
            let object = ObjectRef::new(&resources::SERVICE, key.clone(), uid);
            self.recorder.record(&object, Severity::Warning, "PortTakenOver", &message);
            told.insert((key, (protocol, number)));
        }
    }

    fn services(&self) -> Tables {
        let services: Vec<traffic::Service> = self
            .services
            .all()
            .iter()
            .filter_map(|(key, service)| {
                let slices = self.slices.by_index(&key.to_string());
                let slices: Vec<&EndpointSlice> = slices.iter().map(|(_, slice)| &**slice).collect();
                traffic::Service::of(service, &slices, &self.node.name)
            })
            .collect();
        let pods = self.pods.all();
        let addresses: BTreeSet<Ipv4Addr> = pods
            .iter()
            .filter(|(_, pod)| !pod.ended)
            .filter_map(|(_, pod)| pod.address.as_deref()?.parse().ok())
            .collect();
        // Services have IPv4 addresses.
        Tables { ip: traffic::services(&services, &addresses, &self.node.links), ip6: String::new() }
    }

    fn policies(&self) -> Tables {
        let policies: Vec<Policy> =
            self.policies.all().into_iter().map(|(_, policy)| (*policy).clone()).collect();
        if policies.is_empty() {
            return Tables::default();
        }
        let mut pods: Vec<Pod> = self.pods.all().into_iter().map(|(_, pod)| (*pod).clone()).collect();
        let name_server = Key::new(names::NAMESPACE, names::SERVICE);
        if let Some(service) = self.services.get(&name_server) {
            let slices = self.slices.by_index(&name_server.to_string());
            let slices: Vec<&EndpointSlice> = slices.iter().map(|(_, slice)| &**slice).collect();
            pods.extend(traffic::name_servers(&service, &slices));
        }
        let namespaces: BTreeMap<String, Labels> =
            self.namespaces.all().into_iter().map(|(key, labels)| (key.name, (*labels).clone())).collect();
        traffic::policies(&policies, &pods, &namespaces, &self.node)
    }
}
