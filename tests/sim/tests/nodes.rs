//! Nodes that fall silent and come back: what is said of them, what becomes of their machines, and that none runs twice.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use apiserver::auth::identity;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube_ext::{Api, Context, Key, Patch, Tasks};
use serde_json::{Value, json};
use sim::faults::Weather;
use sim::judge::{self, Complaints};
use sim::run::World;
use sim::user;
use tokio::task::JoinHandle;

const NODES: [&str; 2] = ["node-a", "node-b"];

/// A world of two nodes, each of which can be cut off, with one machine that is to run always.
struct Stage {
    world: World,
    admin: Context,
    cut_off: [Weather; 2],
    complaints: Complaints,
    tasks: Vec<JoinHandle<()>>,
}

impl Stage {
    async fn new(seed: u64) -> Self {
        let world = World::new(seed).await;
        let admin = world.context("admin", identity::administrator("admin"), &Weather::default());
        let (cut_off, complaints) = ([Weather::default(), Weather::default()], Complaints::default());
        let mut watching = Tasks::new();
        judge::watch(&admin, &complaints, &mut watching);
        let mut tasks = vec![tokio::spawn(watching.run(std::future::pending()))];
        tasks.extend(NODES.iter().zip(&cut_off).map(|(name, cut)| world.node(name, cut)));
        tasks.extend([world.virt_controller(), world.kube_controllers()]);
        let stage = Self { world, admin, cut_off, complaints, tasks };
        stage.wait(5).await;
        user::create(&stage.admin, "web", "Always").await.unwrap();
        stage.wait(15).await;
        assert_eq!(stage.instance().await["status"]["phase"], "Running");
        stage
    }

    async fn wait(&self, seconds: u64) {
        self.world.wait(Duration::from_secs(seconds)).await;
    }

    async fn instance(&self) -> Value {
        let api = Api::<api::kubevirt::v1::VirtualMachineInstance>::new(&self.admin.client);
        let found = api.find(&Key::new(user::NAMESPACE, "web")).await.unwrap();
        found.map_or(Value::Null, |instance| serde_json::to_value(instance).unwrap())
    }

    async fn node(&self, name: &str) -> Value {
        let node = Api::<Node>::new(&self.admin.client).get(&Key::cluster(name)).await.unwrap();
        serde_json::to_value(node).unwrap()
    }

    async fn pods(&self) -> Vec<Value> {
        let pods = Api::<Pod>::new(&self.admin.client).list(&kube_ext::Select::default()).await.unwrap();
        pods.into_iter().map(|pod| serde_json::to_value(pod).unwrap()).collect()
    }

    /// Cuts the node off that the machine is on; returns its number and the instance.
    async fn cut(&self) -> (usize, Value) {
        let instance = self.instance().await;
        let number = NODES.iter().position(|name| instance["status"]["nodeName"] == *name).unwrap();
        self.cut_off[number].set_stormy(true);
        (number, instance)
    }

    async fn end(self) {
        judge::check(&self.admin, &self.complaints).await.unwrap();
        assert_eq!(self.complaints.all(), Vec::<String>::new());
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn condition(object: &Value, kind: &str) -> (String, String, String) {
    let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"), text("message"))
}

fn taints(node: &Value) -> Vec<(String, String)> {
    let all = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut taints: Vec<_> = all.iter().map(|taint| (text(&taint["key"]), text(&taint["effect"]))).collect();
    taints.sort();
    taints
}

fn run(story: impl AsyncFn()) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(story());
}

#[test]
fn a_node_that_comes_back_in_time_loses_nothing() {
    run(async || {
        let stage = Stage::new(21).await;
        let (number, before) = stage.cut().await;
        let pod = stage.pods().await[0]["metadata"]["uid"].clone();
        stage.wait(28).await;
        assert_eq!(condition(&stage.node(NODES[number]).await, "Ready").0, "True", "not given up yet");
        stage.wait(25).await;
        let node = stage.node(NODES[number]).await;
        for kind in ["Ready", "MemoryPressure"] {
            assert_eq!(condition(&node, kind).0, "Unknown", "{kind}");
        }
        let (_, reason, message) = condition(&node, "Ready");
        assert_eq!(
            (reason.as_str(), message.as_str()),
            ("NodeStatusUnknown", "Kubelet stopped posting node status.")
        );
        let unreachable = |effect: &str| ("node.kubernetes.io/unreachable".to_owned(), effect.to_owned());
        assert_eq!(taints(&node), [unreachable("NoExecute"), unreachable("NoSchedule")]);
        assert_eq!(condition(&stage.pods().await[0], "Ready").0, "False");
        let instance = stage.instance().await;
        assert_eq!(
            (condition(&instance, "Ready").0.as_str(), &instance["status"]["phase"]),
            ("False", &json!("Running"))
        );
        // Long silent, and the agent of machines as well: nothing new comes here, and nobody takes the guest for dead.
        stage.wait(260).await;
        let node = stage.node(NODES[number]).await;
        assert_eq!(node["metadata"]["labels"]["kubevirt.io/schedulable"], "false");
        assert_eq!(stage.instance().await["status"]["phase"], "Running");

        stage.cut_off[number].set_stormy(false);
        stage.wait(15).await;
        let node = stage.node(NODES[number]).await;
        assert_eq!((condition(&node, "Ready").0.as_str(), taints(&node)), ("True", Vec::new()));
        assert_eq!(node["metadata"]["labels"]["kubevirt.io/schedulable"], "true");
        let (instance, pods) = (stage.instance().await, stage.pods().await);
        assert_eq!(instance["metadata"]["uid"], before["metadata"]["uid"], "the same instance");
        assert_eq!(condition(&instance, "Ready").0, "True");
        assert_eq!((pods.len(), &pods[0]["metadata"]["uid"]), (1, &pod), "the same Pod");
        stage.wait(600).await;
        assert_eq!(stage.instance().await["metadata"]["uid"], before["metadata"]["uid"], "no late eviction");
        stage.end().await;
    });
}

#[test]
fn a_node_that_stays_away_keeps_its_guest_until_it_says_that_it_has_ended() {
    run(async || {
        let stage = Stage::new(22).await;
        let (number, before) = stage.cut().await;
        stage.wait(400).await;
        let pods = stage.pods().await;
        assert_eq!(pods.len(), 1, "no second Pod while the first may run");
        assert!(pods[0]["metadata"]["deletionTimestamp"].is_string(), "evicted");
        assert_eq!(condition(&pods[0], "DisruptionTarget").1, "DeletionByTaintManager");
        assert_eq!(stage.instance().await["metadata"]["uid"], before["metadata"]["uid"]);
        stage.wait(3600).await;
        assert_eq!(stage.instance().await["status"]["phase"], "Running", "nobody knows better");

        stage.cut_off[number].set_stormy(false);
        stage.wait(60).await;
        let instance = stage.instance().await;
        assert_ne!(instance["metadata"]["uid"], before["metadata"]["uid"], "started anew");
        assert_eq!(instance["status"]["phase"], "Running");
        stage.end().await;
    });
}

#[test]
fn a_machine_moves_when_somebody_vouches_that_its_node_is_off_or_removes_it() {
    run(async || {
        for (seed, removed) in [(23, false), (24, true)] {
            let stage = Stage::new(seed).await;
            let (number, before) = stage.cut().await;
            stage.wait(60).await;
            let (nodes, key) = (Api::<Node>::new(&stage.admin.client), Key::cluster(NODES[number]));
            if removed {
                nodes.delete(&key, &kube_ext::Delete::default()).await.unwrap();
            } else {
                let mut taints = stage.node(NODES[number]).await["spec"]["taints"].clone();
                let off = json!({"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"});
                taints.as_array_mut().unwrap().push(off);
                nodes.patch(&key, &Patch::Merge(json!({"spec": {"taints": taints}}))).await.unwrap();
            }
            stage.wait(90).await;
            let instance = stage.instance().await;
            assert_ne!(instance["metadata"]["uid"], before["metadata"]["uid"], "removed: {removed}");
            let place = (&instance["status"]["phase"], &instance["status"]["nodeName"]);
            assert_eq!(place, (&json!("Running"), &json!(NODES[1 - number])), "removed: {removed}");
            stage.end().await;
        }
    });
}

#[test]
fn when_all_nodes_are_silent_it_is_not_the_nodes() {
    run(async || {
        let stage = Stage::new(25).await;
        let before = stage.instance().await;
        for cut in &stage.cut_off {
            cut.set_stormy(true);
        }
        stage.wait(1800).await;
        for name in NODES {
            let node = stage.node(name).await;
            assert_eq!(condition(&node, "Ready").0, "Unknown");
            let effects: Vec<String> = taints(&node).into_iter().map(|(_, effect)| effect).collect();
            assert_eq!(effects, ["NoSchedule"], "{name} keeps its Pods");
        }
        for cut in &stage.cut_off {
            cut.set_stormy(false);
        }
        stage.wait(60).await;
        let instance = stage.instance().await;
        assert_eq!(instance["metadata"]["uid"], before["metadata"]["uid"], "nothing was evicted");
        assert_eq!(condition(&instance, "Ready").0, "True");
        stage.end().await;
    });
}
