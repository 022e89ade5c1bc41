//! A replica set in a storm: answers get lost, watches break, the controller is killed. It has as many instances as it wants in
//! the end, and never made more.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use apiserver::auth::identity;
use kube_ext::{Api, Cache, Change, Context, Delete, Key, PartialObject, Patch, Select, Tasks, resources};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sim::dice::Dice;
use sim::faults::Weather;
use sim::run::World;
use sim::user::NAMESPACE;

fn sets(context: &Context) -> Api<PartialObject> {
    Api::of(&context.client, resources::VIRTUAL_MACHINE_INSTANCE_REPLICA_SET)
}

fn instances(context: &Context) -> Api<PartialObject> {
    Api::of(&context.client, resources::VIRTUAL_MACHINE_INSTANCE)
}

fn set(replicas: usize) -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceReplicaSet",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"terminationGracePeriodSeconds": 5, "domain": {"devices": {}, "memory": {"guest": "64Mi"}}},
            },
        },
    })
}

/// Watches instances; remembers how many there were at most that were not being deleted.
fn most(context: &Context, tasks: &mut Tasks) -> Arc<Mutex<usize>> {
    let (most, live) = (Arc::new(Mutex::new(0)), Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&most);
    Cache::builder(instances(context), |instance| Some(!instance.metadata.is_deleting()))
        .on_change(move |change| {
            let mut live = live.lock();
            match change {
                Change::Applied { key, after, .. } if **after => live.insert(key.clone()),
                other => live.remove(other.key()),
            };
            let mut seen = seen.lock();
            *seen = live.len().max(*seen);
        })
        .start(context, tasks);
    most
}

async fn storm(seed: u64) {
    const WANTED: usize = 5;
    let world = World::new(seed).await;
    let (fair, dice) = (Weather::default(), Dice::new(seed, "replica sets"));
    let weather = world.weather();
    let admin = world.context("admin", identity::administrator("admin"), &fair);
    let mut watching = Tasks::new();
    let most = most(&admin, &mut watching);
    let watching = tokio::spawn(watching.run(std::future::pending()));
    let (nodes, others) = (world.nodes(2, &fair), world.kube_controllers());
    let mut controller = world.virt_controller();
    world.wait(Duration::from_secs(2)).await;
    weather.set_stormy(true);
    sets(&admin).create(NAMESPACE, &set(WANTED)).await.unwrap();
    for _ in 0..12 {
        world.wait(dice.millis(50, 4000)).await;
        controller.abort();
        let all = instances(&admin).list(&Select::default().within(NAMESPACE)).await.unwrap();
        if let Some(one) = dice.pick(&all).filter(|_| dice.chance(700)) {
            let key = Key::new(NAMESPACE, &one.metadata.name);
            drop(instances(&admin).delete(&key, &Delete::default()).await);
        }
        controller = world.virt_controller();
    }
    weather.set_stormy(false);
    world.wait(Duration::from_secs(300)).await;
    let live = || async {
        let all = instances(&admin).list(&Select::default().within(NAMESPACE)).await.unwrap();
        all.into_iter().filter(|one| !one.metadata.is_deleting()).count()
    };
    let journal = world.journal().lines().join("\n");
    assert_eq!(live().await, WANTED, "seed {seed}:\n{journal}");
    assert_eq!(*most.lock(), WANTED, "seed {seed}: more than wanted:\n{journal}");

    let fewer = Patch::Merge(json!({"spec": {"replicas": 2}}));
    sets(&admin).patch(&Key::new(NAMESPACE, "web"), &fewer).await.unwrap();
    world.wait(Duration::from_secs(60)).await;
    assert_eq!(live().await, 2, "seed {seed}: fewer");
    sets(&admin).delete(&Key::new(NAMESPACE, "web"), &Delete::default()).await.unwrap();
    world.wait(Duration::from_secs(120)).await;
    let left = instances(&admin).list(&Select::default().within(NAMESPACE)).await.unwrap();
    assert_eq!(left.len(), 0, "seed {seed}: they go with their set");
    for handle in [watching, nodes, others, controller] {
        handle.abort();
    }
}

#[test]
fn as_many_as_wanted_whatever_happens() {
    for seed in 0..5 {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(storm(seed));
    }
}
