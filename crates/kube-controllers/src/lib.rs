//! The controllers that a Kubernetes cluster brings along and the embedded one therefore needs.
//!
//! - `scheduler`: binds Pods to nodes (judgement: [`plan::scheduler`]);
//! - `storage`: binds claims to volumes and makes local ones (judgement: [`plan::storage`]);
//! - `disruption`: counts what disruption budgets allow (judgement: [`plan::disruption`]);
//! - `endpoints`: lists the Pods behind each Service (judgement: [`plan::endpoints`]);
//! - `garbage`: follows owner references (judgement: [`plan::gc`]);
//! - `nodes`: notices nodes that fall silent, and ends their Pods (judgement: [`plan::liveness`]);
//! - `taints`: taints nodes by their state (judgement: [`plan::taints`]);
//! - `namespace`: fills new namespaces and empties old ones (judgement: [`plan::namespace`]);
//! - `workloads`: has Deployments and their like say that nothing makes their Pods (judgement: [`plan::workloads`]).

mod disruption;
mod endpoints;
mod garbage;
mod namespace;
mod nodes;
mod scheduler;
mod storage;
mod taints;
mod workloads;

use std::future::Future;

use kube_ext::{Context, Recorder, Tasks};
pub use plan::liveness::Patience;

/// Settings.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Certificate authority that Pods are told to trust, as PEM; without it nothing is published.
    pub root_ca: Option<String>,
    /// How long nodes may be silent.
    pub patience: Patience,
}

/// Runs all controllers until `shutdown` ends. Dropping the future stops everything at once; nothing is spawned.
pub async fn run(context: Context, config: Config, shutdown: impl Future<Output = ()> + Send) {
    let mut tasks = Tasks::new();
    let recorder = Recorder::start(&context, "default-scheduler", &mut tasks);
    let waiting = scheduler::Waiting::new(&context);
    let work = storage::queue(&context.clock);
    let others = waiting.clone();
    let caches = storage::Caches::start(&context, &work, move || others.wake(), &mut tasks);
    let cluster = scheduler::start(&context, &recorder, waiting, caches.clone(), work.clone(), &mut tasks);
    storage::start(&context, caches, cluster, work, &mut tasks);
    namespace::start(&context, &config, &mut tasks);
    let budgets = disruption::Budgets::start(&context, &mut tasks);
    let concerned = budgets.clone();
    let pods = endpoints::start(&context, move |change| concerned.pod_changed(change), &mut tasks);
    disruption::start(&context, budgets, pods, &mut tasks);
    nodes::start(&context, config.patience, &mut tasks);
    taints::start(&context, &mut tasks);
    workloads::start(&context, &mut tasks);
    garbage::start(&context, &mut tasks);
    tasks.run(shutdown).await;
}
