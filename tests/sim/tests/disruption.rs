//! Budgets for disruption are counted: machines may be evicted while enough others are ready, one by one, and a set makes up for
//! those that go.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use apiserver::auth::identity;
use kube_ext::{Api, Context, Document, Key, PartialObject, Problem, Resource, Select, resources};
use serde_json::{Value, json};
use sim::faults::Weather;
use sim::run::World;
use sim::user::NAMESPACE;

struct Stage {
    world: World,
    admin: Context,
}

impl Stage {
    /// A set of three instances that run, and a budget for them.
    async fn new(seed: u64, bounds: &Value) -> Self {
        let world = World::new(seed).await;
        let admin = world.context("admin", identity::administrator("admin"), &Weather::default());
        drop([world.node("node-a", &Weather::default()), world.virt_controller(), world.kube_controllers()]);
        let stage = Self { world, admin };
        let set = json!({
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstanceReplicaSet",
            "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"terminationGracePeriodSeconds": 5, "domain": {"devices": {}, "memory": {"guest": "64Mi"}}},
                },
            },
        });
        stage.api(resources::VIRTUAL_MACHINE_INSTANCE_REPLICA_SET).create(NAMESPACE, &set).await.unwrap();
        let mut budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
        });
        for (field, value) in bounds.as_object().unwrap() {
            budget["spec"][field] = value.clone();
        }
        stage.api(resources::POD_DISRUPTION_BUDGET).create(NAMESPACE, &budget).await.unwrap();
        stage
    }

    fn api(&self, resource: Resource) -> Api<PartialObject> {
        Api::of(&self.admin.client, resource)
    }

    async fn status(&self) -> Value {
        let api = Api::<Document>::of(&self.admin.client, resources::POD_DISRUPTION_BUDGET);
        let budget = api.get(&Key::new(NAMESPACE, "web")).await.unwrap();
        budget.fields["status"].clone()
    }

    /// Waits until the status is as `fits` wants it.
    async fn until(&self, fits: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..300 {
            if fits(&self.status().await) {
                break;
            }
            self.world.wait(Duration::from_secs(1)).await;
        }
        let status = self.status().await;
        assert!(fits(&status), "{status}");
        status
    }

    /// Waits until so many may go, of three that run.
    async fn allows(&self, count: i64) {
        self.until(|status| status["disruptionsAllowed"] == count && status["currentHealthy"] == 3).await;
    }

    /// The launcher Pods that are not going.
    async fn pods(&self) -> Vec<Key> {
        let pods = self.api(resources::POD).list(&Select::labels("app=web").within(NAMESPACE)).await.unwrap();
        let staying = pods.into_iter().filter(|pod| !pod.metadata.is_deleting());
        staying.map(|pod| Key::new(NAMESPACE, &pod.metadata.name)).collect()
    }

    async fn evict(&self, pod: &Key) -> Result<(), Problem> {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": NAMESPACE}});
        let asked = self.api(resources::POD).create_subresource(pod, "eviction", &eviction).await;
        asked.map_err(|error| error.problem)
    }
}

#[tokio::test(start_paused = true)]
async fn machines_may_be_evicted_while_enough_others_are_ready() {
    // The second asks the set how many there should be, the third counts a part of one as one.
    for (seed, bounds, desired) in [
        (1, json!({"minAvailable": 2}), 2),
        (2, json!({"maxUnavailable": 1}), 2),
        (3, json!({"minAvailable": "34%"}), 2),
    ] {
        let stage = Stage::new(seed, &bounds).await;
        stage.allows(1).await;
        let status = stage.status().await;
        assert_eq!(
            (&status["expectedPods"], &status["desiredHealthy"]),
            (&json!(3), &json!(desired)),
            "{status}"
        );
        assert_eq!(status["observedGeneration"], 1);
        let condition = &status["conditions"][0];
        assert_eq!((&condition["status"], &condition["reason"]), (&json!("True"), &json!("SufficientPods")));

        let pods = stage.pods().await;
        stage.evict(&pods[0]).await.unwrap();
        let refused = stage.evict(&pods[1]).await.unwrap_err();
        assert!(matches!(refused, Problem::Busy(_)), "{refused}");
        // The set makes another one, and then one may go again.
        stage.allows(1).await;
        let pods = stage.pods().await;
        stage.evict(&pods[0]).await.unwrap();
        stage.allows(1).await;
        assert_eq!(stage.status().await["disruptedPods"], Value::Null, "{bounds}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_counted_is_told_so() {
    let stage = Stage::new(4, &json!({"maxUnavailable": 1})).await;
    stage.allows(1).await;
    let owner = json!([{"apiVersion": "example.test/v1", "kind": "Nothing", "name": "n", "uid": "u", "controller": true}]);
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "foreign", "namespace": NAMESPACE, "labels": {"app": "web"}, "ownerReferences": owner},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    stage.api(resources::POD).create(NAMESPACE, &pod).await.unwrap();
    let status = stage.until(|status| status["conditions"][0]["reason"] == "SyncFailed").await;
    assert_eq!(status["disruptionsAllowed"], 0);
    let why = status["conditions"][0]["message"].as_str().unwrap();
    assert!(why.contains("found no controllers for pod \"foreign\""), "{why}");
}
