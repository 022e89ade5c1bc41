//! The node's agent: what a machine needs from its node, and what the node learns of the machine.
//!
//! For each instance that virt-controller has handed to this node, the agent opens a session with the launcher in the
//! instance's Pod, prepares what needs privilege ([`prepare`]: disks, seeds, kernels, taps) and hands it over as open
//! descriptors beside a machine record, follows the machine ([`session`]), and writes what it sees into the
//! instance's status. What to do is decided in `plan::handler`; [`instance`] observes and acts.
//!
//! The agent may die at any moment. Guests do not notice: a new agent finds the launchers by their Pods, knows the
//! session secrets and the machine records from its state directory ([`keep`]), and goes on.

mod credentials;
mod door;
mod farewell;
mod gather;
mod guest_facts;
mod identities;
mod installation;
mod instance;
mod keep;
mod node;
mod observe;
mod prepare;
mod room;
mod session;
mod stall;
mod streams;
mod trouble;
mod until;
mod view;
mod want;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube_ext::{Api, Cache, Context, Queue, Recorder, Select, Tasks, work};
use wire::machine::{Accelerator, Architecture};

pub use crate::door::{Door, DoorError, Opened};
pub use crate::until::{MachineEnd, Until};

use crate::door::Behind;
use crate::installation::Installation;
use crate::instance::Instances;
use crate::keep::Keep;
use crate::view::View;

/// How many instances are worked on at the same time.
const PARALLEL: usize = 8;

/// What an agent must know of its node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the node.
    pub node_name: String,
    /// Root directory of the node's kubelet.
    pub kubelet_root: PathBuf,
    /// Directory for what the agent remembers; only the agent may read it.
    pub state_directory: PathBuf,
    /// The installation's directory on this node, in which those two are, and its keys where it has some: no machine has a
    /// disk there that it names by its path.
    pub installation: PathBuf,
    /// Program that works inside a Pod's namespaces.
    pub helper: host::Helper,
    /// What the node's hypervisor can do.
    pub hypervisor: Hypervisor,
    /// How long a guest may take to its first sign of life before its instance says that it shows none.
    pub boot_patience: Duration,
}

/// Enough for a guest under emulation on a busy node.
pub const DEFAULT_BOOT_PATIENCE: Duration = Duration::from_secs(180);

/// UEFI variables that a machine starts with: files of the node.
#[derive(Clone, Debug, Default)]
pub struct FirmwareVariables {
    /// Without Secure Boot.
    pub plain: PathBuf,
    /// With Secure Boot and the usual keys.
    pub secure: PathBuf,
}

/// What a node's hypervisor can do.
#[derive(Clone, Debug)]
pub struct Hypervisor {
    /// Instruction set of guests.
    pub architecture: Architecture,
    /// What executes guests here.
    pub accelerator: Accelerator,
    /// Concrete machine type behind each alias.
    pub machine_aliases: BTreeMap<String, String>,
    /// Every concrete machine type.
    pub machine_types: Vec<String>,
    /// Processor models.
    pub cpu_models: Vec<String>,
    /// Processor features that guests can have; `None` where only their start shows it.
    pub cpu_features: Option<BTreeSet<String>>,
    /// UEFI variables of new machines.
    pub firmware_variables: FirmwareVariables,
}

/// Runs the agent until `shutdown` ends. Machines go on without it.
///
/// # Errors
/// When the state directory cannot be used.
pub async fn run(
    config: Config,
    context: Context,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), keep::Error> {
    run_with_door(config, context, &Door::default(), shutdown).await
}

/// Runs the agent until `shutdown` ends, and opens `door` to its machines.
///
/// # Errors
/// When the state directory cannot be used.
pub async fn run_with_door(
    config: Config,
    context: Context,
    door: &Door,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), keep::Error> {
    let keep = Keep::open(&config.state_directory)?;
    let mut tasks = Tasks::new();
    let queue = Queue::new(context.clock.clone());
    let recorder = Recorder::start(&context, "virt-handler", &mut tasks);
    let waker = queue.clone();
    let cache = Cache::builder(Api::<View>::new(&context.client), Some)
        .select(Select::labels(format!("{}={}", api::names::label::NODE_NAME, config.node_name)))
        .on_change(move |change| waker.add(change.key().clone()))
        .start(&context, &mut tasks);
    let installation = Installation::watch(&context, &mut tasks);
    let config = Arc::new(config);
    let synced = (cache.synced(), installation.synced());
    let instances = Arc::new(Instances::new(
        config.clone(),
        context.clone(),
        cache.clone(),
        queue.clone(),
        keep,
        recorder,
        installation,
    ));
    door.open_to(Behind {
        node: config.node_name.clone(),
        kubelet_root: config.kubelet_root.clone(),
        helper: config.helper.clone(),
        cache: cache.clone(),
        sessions: instances.sessions(),
        viewers: parking_lot::Mutex::default(),
    });
    tasks.add(async move {
        synced.0.await;
        synced.1.await;
        instances.take_stock();
        work(queue, PARALLEL, move |key| {
            let instances = instances.clone();
            async move { instances.reconcile(&key).await }
        })
        .await;
    });
    tasks.add(node::heartbeat(config, context));
    tasks.run(shutdown).await;
    Ok(())
}
