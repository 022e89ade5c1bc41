//! What the controllers know: one cache per kind, shared by all, and the queues that changes go to.

mod claim;
mod instance;
mod machine;
mod migration;
mod node;
mod pod;
mod pool;
mod replica_set;

use std::collections::BTreeSet;
use std::time::Duration;

use api::names::label;
use kube_ext::{Api, Cache, Change, Context, Key, Queue, Select, Tasks};

use self::claim::{ClaimFacts, ClaimView};
pub(crate) use self::instance::{InstanceFacts, InstanceView};
pub(crate) use self::machine::{MachineFacts, MachineView};
use self::migration::MigrationFacts;
pub(crate) use self::migration::MigrationView;
pub(crate) use self::node::{NodeFacts, NodeView};
pub(crate) use self::pod::{PodFacts, PodView};
pub(crate) use self::pool::{PoolFacts, PoolView};
pub(crate) use self::replica_set::{SetFacts, SetView};

/// How long news of a pool's machines wait for each other: a look at a pool is a look at all of them.
const GATHER: Duration = Duration::from_millis(100);

/// The work of each controller.
pub(crate) struct Queues {
    pub(crate) machines: Queue,
    pub(crate) instances: Queue,
    pub(crate) nodes: Queue,
    pub(crate) sets: Queue,
    pub(crate) migrations: Queue,
    pub(crate) pools: Queue,
    /// Machines that a pool holds.
    pub(crate) held: Queue,
}

impl Queues {
    pub(crate) fn new(context: &Context) -> Self {
        let queue = || Queue::new(context.clock.clone());
        Self {
            machines: queue(),
            instances: queue(),
            nodes: queue(),
            sets: queue(),
            migrations: queue(),
            pools: queue(),
            held: queue(),
        }
    }
}

/// The caches.
#[derive(Clone)]
pub(crate) struct Caches {
    pub(crate) machines: Cache<MachineFacts>,
    /// Indexed by node.
    pub(crate) instances: Cache<InstanceFacts>,
    /// Launcher Pods, indexed by the identity of their instance.
    pub(crate) pods: Cache<PodFacts>,
    pub(crate) nodes: Cache<NodeFacts>,
    /// Replica sets.
    pub(crate) sets: Cache<SetFacts>,
    pub(crate) migrations: Cache<MigrationFacts>,
    pub(crate) pools: Cache<PoolFacts>,
    claims: Cache<ClaimFacts>,
}

impl Caches {
    /// Starts all caches. A change of an object calls for a look at it and at what it belongs to.
    pub(crate) fn start(context: &Context, queues: &Queues, tasks: &mut Tasks) -> Self {
        let client = &context.client;
        let (queue, pools, held) = (queues.machines.clone(), queues.pools.clone(), queues.held.clone());
        let machines = Cache::builder(Api::<MachineView>::new(client), |view| Some(MachineFacts::from(view)))
            .on_change(move |change| {
                let key = change.key();
                queue.add(key.clone());
                for (name, _) in change.sides().filter_map(MachineFacts::pool) {
                    pools.add_after(Key::new(key.namespace.clone(), name.clone()), GATHER);
                }
                if change.sides().last().is_some_and(MachineFacts::is_held) {
                    held.add(key.clone());
                }
            })
            .start(context, tasks);

        let (queue, held, known) = (queues.pools.clone(), queues.held.clone(), machines.clone());
        let pools = Cache::builder(Api::<PoolView>::new(client), |view| Some(PoolFacts::from(view)))
            .on_change(move |change| {
                let key = change.key();
                queue.add(key.clone());
                let gone = match change {
                    Change::Removed { before, .. } => Some(before),
                    Change::Applied { before: Some(before), after, .. } => {
                        Some(before).filter(|before| before.pool.uid != after.pool.uid)
                    }
                    Change::Applied { .. } => None,
                };
                // Nobody holds the machines of a pool that is gone.
                if let Some(before) = gone {
                    let own =
                        |facts: &MachineFacts| facts.pool().is_some_and(|(_, uid)| *uid == before.pool.uid);
                    let all = known.in_namespace(&key.namespace).into_iter();
                    all.filter(|(_, facts)| facts.is_held() && own(facts)).for_each(|(key, _)| held.add(key));
                }
            })
            .start(context, tasks);

        let queue = queues.sets.clone();
        let sets = Cache::builder(Api::<SetView>::new(client), |view| Some(SetFacts::from(view)))
            .on_change(move |change| queue.add(change.key().clone()))
            .start(context, tasks);

        let queue = queues.migrations.clone();
        let migrations =
            Cache::builder(Api::<MigrationView>::new(client), |view| Some(MigrationFacts::from(view)))
                .on_change(move |change| queue.add(change.key().clone()))
                .start(context, tasks);

        let (queue, owners) = (queues.instances.clone(), queues.machines.clone());
        let (nodes_queue, sets_queue, known_sets) = (queues.nodes.clone(), queues.sets.clone(), sets.clone());
        let (moves, moving) = (queues.migrations.clone(), migrations.clone());
        let (pools_queue, known_machines) = (queues.pools.clone(), machines.clone());
        let instances =
            Cache::builder(Api::<InstanceView>::new(client), |view| Some(InstanceFacts::from(view)))
                .index(InstanceFacts::node)
                .on_change(move |change| {
                    queue.add(change.key().clone());
                    // A machine and its instance have the same name, and so has an instance that is in a machine's way.
                    owners.add(change.key().clone());
                    let own = |facts: &MigrationFacts| facts.instance == change.key().name;
                    let all = moving.in_namespace(&change.key().namespace).into_iter();
                    all.filter(|(_, facts)| own(facts)).for_each(|(key, _)| moves.add(key));
                    if let Some(node) = change.sides().last().and_then(InstanceFacts::node) {
                        nodes_queue.add(Key::cluster(node));
                    }
                    let namespace = &change.key().namespace;
                    let machine = known_machines.get(change.key());
                    if let Some((pool, _)) = machine.as_ref().and_then(|machine| machine.pool()) {
                        pools_queue.add_after(Key::new(namespace.clone(), pool.clone()), GATHER);
                    }
                    for facts in change.sides() {
                        match facts.set() {
                            Some(set) => sets_queue.add(Key::new(namespace.clone(), set)),
                            None => known_sets
                                .in_namespace(namespace)
                                .into_iter()
                                .filter(|(_, set)| facts.is_claimable(&set.set.selector))
                                .for_each(|(key, _)| sets_queue.add(key)),
                        }
                    }
                })
                .start(context, tasks);

        let queue = queues.instances.clone();
        let pods = Cache::builder(Api::<PodView>::new(client), PodFacts::of)
            .select(Select::labels(format!("{}=virt-launcher", label::APP)))
            .index(|pod| Some(pod.instance_uid.clone()))
            .on_change(move |change| {
                for pod in change.sides() {
                    queue.add(Key::new(change.key().namespace.clone(), pod.instance_name.clone()));
                }
            })
            .start(context, tasks);

        let (queue, others, waiting) = (queues.nodes.clone(), queues.instances.clone(), instances.clone());
        let nodes = Cache::builder(Api::<NodeView>::new(client), |view| Some(NodeFacts::from(view)))
            .on_change(move |change| {
                queue.add(change.key().clone());
                // Instances that wait for a node say what is wrong with the nodes.
                let problems: BTreeSet<_> = change.sides().map(|node| node.problem.clone()).collect();
                if problems.len() > 1 || problems.iter().any(Option::is_some) {
                    let all = waiting.all().into_iter();
                    all.filter(|(_, facts)| facts.instance.waits_for_node())
                        .for_each(|(key, _)| others.add(key));
                }
            })
            .start(context, tasks);

        let (queue, owners) = (queues.machines.clone(), machines.clone());
        let claims = Cache::builder(Api::<ClaimView>::new(client), |view| Some(ClaimFacts::from(view)))
            .on_change(move |change| {
                let sides: Vec<_> = change.sides().collect();
                // What matters of a claim changes twice: when it comes, and when it gets its volume.
                if matches!(sides.as_slice(), [before, after] if before == after) {
                    return;
                }
                let claim = change.key();
                let named = |facts: &MachineFacts| facts.claims.contains(&claim.name);
                owners
                    .all()
                    .into_iter()
                    .filter(|(key, facts)| key.namespace == claim.namespace && named(facts))
                    .for_each(|(key, _)| queue.add(key));
            })
            .start(context, tasks);
        Self { machines, instances, pods, nodes, sets, migrations, pools, claims }
    }

    /// Tells whether a claim that a machine names is there and has no volume yet.
    pub(crate) fn waits_for_claim(&self, machine: &Key, facts: &MachineFacts) -> bool {
        facts.claims.iter().any(|claim| {
            let claim = Key::new(machine.namespace.clone(), claim.clone());
            self.claims.get(&claim).is_some_and(|claim| !claim.bound)
        })
    }

    /// Waits until every cache has its first picture: before that, absence means nothing. Replica sets and pools are
    /// waited for where they are looked at, so that a cluster that does not know these kinds has machines all the same.
    pub(crate) async fn synced(&self) {
        self.machines.synced().await;
        self.instances.synced().await;
        self.pods.synced().await;
        self.nodes.synced().await;
        self.migrations.synced().await;
        self.claims.synced().await;
    }
}
