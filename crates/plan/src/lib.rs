//! What to do next: every controller's judgement as a pure function from what was observed to a printable plan.
//!
//! A controller observes (reads caches), asks `step` here, and does what the [`Plan`] says. There is no I/O, no
//! clock but the `now` that is passed in, and no memory: everything that matters is in the observation, so that a
//! restarted controller goes on where the last one stopped. The plans for typical situations are golden files in
//! `tests/`, to be read by people.
//!
//! One folder per controller, and what several of them share beside them:
//! - [`vm`]: run strategies, instances, start back-off, `printableStatus`;
//! - [`vmi`]: the launcher Pod, phases, conditions, deletion;
//! - [`handler`]: the node's agent: start, power button, the machine's status;
//! - [`disruption`]: how many Pods a disruption budget lets go;
//! - [`liveness`]: nodes whose kubelet fell silent, and what becomes of their Pods;
//! - [`migration`]: migrations of instances, as far as their status goes;
//! - [`node`]: nodes whose agent of machines fell silent;
//! - [`pool`]: a number of equal machines, which change with their template;
//! - [`replica_set`]: a number of equal instances;
//! - [`scheduler`]: a node for each Pod;
//! - [`storage`]: claims and the volumes that fill them;
//! - [`gc`]: owner references;
//! - [`namespace`]: the end of namespaces, and what each namespace starts with;
//! - [`taints`]: taints of nodes that follow their state;
//! - [`endpoints`]: the Pods behind each Service;
//! - [`names`]: the records of Services in the cluster's DNS;
//! - [`bundle`]: the instance types and preferences that come with an installation;
//! - [`installation`]: what the installation's own object says;
//! - [`traffic`]: a node's packet filter for Services and NetworkPolicies;
//! - [`workloads`]: what Deployments and their like say, for which nothing here makes Pods.

pub mod bundle;
pub mod condition;
pub mod disruption;
pub mod ending;
pub mod endpoints;
pub mod gc;
pub mod handler;
pub mod installation;
pub mod liveness;
pub mod migration;
pub mod name;
pub mod names;
pub mod namespace;
pub mod node;
mod outcome;
pub mod patch;
pub mod pool;
pub mod replica_set;
pub mod replicas;
pub mod room;
pub mod scheduler;
pub mod storage;
pub mod taints;
pub mod time;
pub mod traffic;
pub mod version;
pub mod vm;
pub mod vmi;
pub mod workloads;

pub use self::outcome::{Again, Notice, Plan};
