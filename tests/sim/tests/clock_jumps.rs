//! The wall clock is set an hour ahead or back while machines run and start: nobody is given up, and nothing waits longer.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use apiserver::auth::identity;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube_ext::{Api, Context, Key, Patch, Select, Tasks};
use serde_json::{Value, json};
use sim::faults::Weather;
use sim::judge::{self, Complaints};
use sim::run::World;
use sim::user;

type Instances = Api<api::kubevirt::v1::VirtualMachineInstance>;

async fn instance(admin: &Context, name: &str) -> Value {
    let found = Instances::new(&admin.client).find(&Key::new(user::NAMESPACE, name)).await.unwrap();
    found.map_or(Value::Null, |instance| serde_json::to_value(instance).unwrap())
}

/// Says how every node is: its condition `Ready`, its taints, whether machines may come.
async fn nodes(admin: &Context) -> Vec<(String, bool, Value)> {
    let nodes = Api::<Node>::new(&admin.client).list(&Select::default()).await.unwrap();
    let shown = nodes.into_iter().map(|node| serde_json::to_value(node).unwrap()).map(|node| {
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        let ready = ready.and_then(|ready| ready["status"].as_str()).unwrap_or_default().to_owned();
        let tainted = node["spec"]["taints"].as_array().is_some_and(|taints| !taints.is_empty());
        (ready, tainted, node["metadata"]["labels"]["kubevirt.io/schedulable"].clone())
    });
    shown.collect()
}

#[test]
fn an_hour_ahead_or_back_disturbs_nobody() {
    for hours in [1, -1, 24, -24] {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(story(hours));
    }
}

async fn story(hours: i64) {
    let world = World::new(31).await;
    let (fair, complaints) = (Weather::default(), Complaints::default());
    let admin = world.context("admin", identity::administrator("admin"), &fair);
    let mut watching = Tasks::new();
    judge::watch(&admin, &complaints, &mut watching);
    let tasks = [
        tokio::spawn(watching.run(std::future::pending())),
        world.nodes(2, &fair),
        world.virt_controller(),
        world.kube_controllers(),
    ];
    world.wait(Duration::from_secs(5)).await;
    user::create(&admin, "steady", "Always").await.unwrap();
    user::create(&admin, "failed", "Always").await.unwrap();
    world.wait(Duration::from_secs(15)).await;
    let steady = instance(&admin, "steady").await;
    let break_down = async || {
        let failed = json!({"status": {"phase": "Failed"}});
        let key = Key::new(user::NAMESPACE, "failed");
        Instances::new(&admin.client).patch(&key, &Patch::Merge(failed)).await.unwrap();
    };
    break_down().await;
    world.wait(Duration::from_secs(3)).await;

    // In the middle of a wait for the next start, and with a start just begun.
    user::create(&admin, "young", "Always").await.unwrap();
    world.clock().set_ahead(SignedDuration::from_hours(hours));
    for seconds in [1, 20, 39] {
        world.wait(Duration::from_secs(seconds)).await;
        for (ready, tainted, schedulable) in nodes(&admin).await {
            assert_eq!((ready.as_str(), tainted, &schedulable), ("True", false, &json!("true")), "{hours} h");
        }
    }
    for name in ["steady", "failed", "young"] {
        assert_eq!(instance(&admin, name).await["status"]["phase"], "Running", "{hours} h: {name}");
    }
    assert_eq!(instance(&admin, "steady").await["metadata"]["uid"], steady["metadata"]["uid"], "{hours} h");

    // And what ends afterwards ends, and starts again, in its usual time.
    break_down().await;
    world.wait(Duration::from_secs(70)).await;
    assert_eq!(instance(&admin, "failed").await["status"]["phase"], "Running", "{hours} h: again");
    let pods = Api::<Pod>::new(&admin.client).list(&Select::default()).await.unwrap();
    assert_eq!(pods.len(), 3, "{hours} h: one Pod each");
    judge::check(&admin, &complaints).await.unwrap();
    assert_eq!(complaints.all(), Vec::<String>::new(), "{hours} h");
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}
