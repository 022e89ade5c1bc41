//! The controllers that turn virtual machines into launcher Pods and Pods into status.
//!
//! One file per controller, each with the same four beats: *watch* (caches of small projections call for a look),
//! *observe* (read the caches), *plan* (`plan::vm`, `plan::vmi`, `plan::replica_set`, `plan::pool`, `plan::node`: pure) and *act* (writes,
//! each on the condition that nothing changed since it was observed); what they have in common is in `frame`. Works against any Kubernetes.

mod bundle;
mod caches;
mod config;
mod frame;
mod installation;
mod instance;
mod limits;
mod machine;
mod migration;
mod names;
mod node;
mod pool;
mod replica_set;
mod state_claim;

use std::future::Future;
use std::pin::Pin;

use kube_ext::{Context, Election, Recorder, Tasks};

pub use self::config::{Config, MachineRefusals, Refusals};

/// Names under which Events are reported; the reference's.
const COMPONENT: &str = "virtualmachine-controller";
const SETS_COMPONENT: &str = "virtualmachinereplicaset-controller";
const POOLS_COMPONENT: &str = "virtualmachinepool-controller";

/// Runs all controllers until `shutdown` ends. With an election configured, only while elected.
///
/// Dropping the future stops everything at once; nothing is spawned.
pub async fn run(context: Context, config: Config, shutdown: impl Future<Output = ()> + Send) {
    let Some(election) = config.election.clone() else {
        return controllers(&context, &config).run(shutdown).await;
    };
    let candidate = Election::new(&context, election);
    let mut tasks = Tasks::new();
    let (inner, settings) = (context.clone(), config.clone());
    tasks.add(async move {
        loop {
            // Everything is built anew for each term: what was known in the last one may be old.
            let term: Pin<Box<dyn Future<Output = ()> + Send>> =
                Box::pin(controllers(&inner, &settings).run(std::future::pending()));
            candidate.lead(term).await;
        }
    });
    tasks.run(shutdown).await;
}

fn controllers(context: &Context, config: &Config) -> Tasks {
    let mut tasks = Tasks::new();
    let recorder = Recorder::start(context, COMPONENT, &mut tasks);
    let queues = caches::Queues::new(context);
    let caches = caches::Caches::start(context, &queues, &mut tasks);
    let (machines, queue) = (caches.machines.clone(), queues.machines.clone());
    let named = kube_ext::Queue::new(context.clock.clone());
    let everything_named = named.clone();
    let look = move || {
        machines.all().into_iter().for_each(|(key, _)| queue.add(key));
        everything_named.add(bundle::everything());
    };
    let installation = installation::Installation::watch(context, config, look, &mut tasks);
    bundle::start(context, installation.clone(), named, &mut tasks);
    machine::start(context, config, installation.clone(), &caches, &queues, &recorder, &mut tasks);
    instance::start(context, config, installation, &caches, &queues, &recorder, &mut tasks);
    let sets_recorder = Recorder::start(context, SETS_COMPONENT, &mut tasks);
    replica_set::start(context, config, &caches, &queues, &sets_recorder, &mut tasks);
    let pools_recorder = Recorder::start(context, POOLS_COMPONENT, &mut tasks);
    pool::start(context, config, &caches, &queues, &pools_recorder, &mut tasks);
    migration::start(context, &caches, &queues, &recorder, &mut tasks);
    node::start(context, &caches, &queues, &recorder, &mut tasks);
    tasks
}
