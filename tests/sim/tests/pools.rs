//! A pool in a storm: answers get lost, watches break, the controller is killed. It has as many machines as it wants in the end,
//! by their numbers, and never made more; and a change of its template takes no more of them away at once than it may.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use apiserver::auth::identity;
use kube_ext::{
    Api, Cache, Change, Context, Delete, Document, Key, Patch, Resource, Select, Tasks, resources,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sim::dice::Dice;
use sim::faults::Weather;
use sim::run::World;
use sim::user::NAMESPACE;

const WANTED: usize = 5;

fn api(context: &Context, resource: Resource) -> Api<Document> {
    Api::of(&context.client, resource)
}

fn pool(strategy: &str) -> Value {
    json!({
        "apiVersion": "pool.kubevirt.io/v1beta1",
        "kind": "VirtualMachinePool",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {
            "replicas": WANTED,
            "maxUnavailable": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "scaleInStrategy": {"proactive": {"selectionPolicy": {"sortPolicy": "DescendingOrder"}}},
            "virtualMachineTemplate": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "runStrategy": strategy,
                    "template": {
                        "metadata": {"labels": {"version": "1"}},
                        "spec": {"terminationGracePeriodSeconds": 5, "domain": {"devices": {}, "memory": {"guest": "64Mi"}}},
                    },
                },
            },
        },
    })
}

async fn list(context: &Context, resource: Resource) -> Vec<Document> {
    api(context, resource).list(&Select::default().within(NAMESPACE)).await.unwrap()
}

/// Watches objects of a kind; remembers how many there were at least, or at most, that `count` says count.
fn extreme(
    context: &Context,
    resource: Resource,
    better: fn(usize, usize) -> usize,
    count: fn(&Document) -> bool,
    tasks: &mut Tasks,
) -> Arc<Mutex<Option<usize>>> {
    let (extreme, counted) = (Arc::new(Mutex::new(None)), Mutex::new(BTreeSet::new()));
    let seen: Arc<Mutex<Option<usize>>> = Arc::clone(&extreme);
    Cache::builder(api(context, resource), move |object| Some(count(&object)))
        .on_change(move |change| {
            let mut counted = counted.lock();
            match change {
                Change::Applied { key, after, .. } if **after => counted.insert(key.clone()),
                other => counted.remove(other.key()),
            };
            // What is counted is judged from the moment on that somebody asks for.
            let mut seen = seen.lock();
            *seen = seen.map(|before| better(before, counted.len()));
        })
        .start(context, tasks);
    extreme
}

fn is_running(instance: &Document) -> bool {
    !instance.metadata.is_deleting() && instance.fields["status"]["phase"] == "Running"
}

async fn names(context: &Context) -> Vec<String> {
    list(context, resources::VIRTUAL_MACHINE).await.into_iter().map(|machine| machine.metadata.name).collect()
}

fn numbered(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("web-{number}")).collect()
}

async fn storm(seed: u64) {
    let world = World::new(seed).await;
    let (fair, dice) = (Weather::default(), Dice::new(seed, "pools"));
    let weather = world.weather();
    let admin = world.context("admin", identity::administrator("admin"), &fair);
    let (pools, machines) =
        (api(&admin, resources::VIRTUAL_MACHINE_POOL), api(&admin, resources::VIRTUAL_MACHINE));
    let mut watching = Tasks::new();
    let most = extreme(&admin, resources::VIRTUAL_MACHINE, usize::max, |_| true, &mut watching);
    let least = extreme(&admin, resources::VIRTUAL_MACHINE_INSTANCE, usize::min, is_running, &mut watching);
    let watching = tokio::spawn(watching.run(std::future::pending()));
    let (nodes, others) = (world.nodes(2, &fair), world.kube_controllers());
    let mut controller = world.virt_controller();
    world.wait(Duration::from_secs(2)).await;
    *most.lock() = Some(0);
    weather.set_stormy(true);
    // A machine of the second strategy starts again when somebody asks it to, not whenever its instance is gone.
    let strategy = if seed.is_multiple_of(2) { "Always" } else { "RerunOnFailure" };
    pools.create(NAMESPACE, &pool(strategy)).await.unwrap();
    for _ in 0..12 {
        world.wait(dice.millis(50, 4000)).await;
        controller.abort();
        if let Some(one) = dice.pick(&names(&admin).await).filter(|_| dice.chance(500)) {
            drop(machines.delete(&Key::new(NAMESPACE, one), &Delete::default()).await);
        }
        controller = world.virt_controller();
    }
    weather.set_stormy(false);
    world.wait(Duration::from_secs(300)).await;
    let story = || world.journal().lines().join("\n");
    assert_eq!(names(&admin).await, numbered(0..WANTED), "seed {seed}:\n{}", story());
    assert_eq!(*most.lock(), Some(WANTED), "seed {seed}: more than wanted:\n{}", story());
    let running = || async {
        let all = list(&admin, resources::VIRTUAL_MACHINE_INSTANCE).await;
        all.into_iter()
            .filter(is_running)
            .map(|one| one.metadata.labels.get("version").cloned())
            .collect::<Vec<_>>()
    };
    assert_eq!(running().await.len(), WANTED, "seed {seed}: all run:\n{}", story());

    // The template changes, and the controller is killed in the middle of what it does about that.
    *least.lock() = Some(WANTED);
    let labels = json!({"metadata": {"labels": {"version": "2"}}});
    let change = json!({"spec": {"virtualMachineTemplate": {"spec": {"template": labels}}}});
    let key = Key::new(NAMESPACE, "web");
    pools.patch(&key, &Patch::Merge(change)).await.unwrap();
    for _ in 0..10 {
        world.wait(dice.millis(20, 3000)).await;
        controller.abort();
        controller = world.virt_controller();
    }
    world.wait(Duration::from_secs(300)).await;
    assert_eq!(
        running().await,
        vec![Some("2".to_owned()); WANTED],
        "seed {seed}: all are changed:\n{}",
        story()
    );
    assert!(*least.lock() >= Some(WANTED - 2), "seed {seed}: {least:?} ran at once:\n{}", story());
    let of_pool =
        |one: &Document| one.metadata.controller().is_some_and(|owner| owner.kind == "VirtualMachinePool");
    let revisions = list(&admin, resources::CONTROLLER_REVISION).await.into_iter().filter(of_pool).count();
    assert_eq!(revisions, 1, "seed {seed}: one revision is kept");

    pools.patch(&key, &Patch::Merge(json!({"spec": {"replicas": 2}}))).await.unwrap();
    world.wait(Duration::from_secs(60)).await;
    assert_eq!(names(&admin).await, numbered(0..2), "seed {seed}: fewer");
    pools.delete(&key, &Delete::default()).await.unwrap();
    world.wait(Duration::from_secs(120)).await;
    assert_eq!(names(&admin).await, numbered(0..0), "seed {seed}: they go with their pool");
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
