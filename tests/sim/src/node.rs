//! A simulated node: plays the kubelet, the node's agent and the guests, by the rules that the real ones keep.
//!
//! - A Pod that is bound here starts after a while, sometimes after its image failed to come; one that is deleted goes.
//! - An instance that is handed over runs after a while and is ready; one that is deleted shuts down.
//! - A guest may crash or shut down by itself; then its Pod ends, too.
//! - A node that is cut off says nothing and hears nothing; its guests go on.

use std::collections::BTreeMap;
use std::time::Duration;

use kube_ext::{
    Api, ApiError, Cache, Context, Delete, Key, Kind as _, Meta, Patch, Select, Tasks, resources,
};
use plan::condition::{self, Condition};
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::faults::Weather;

/// How often the node looks around.
const TICK: Duration = Duration::from_millis(100);
/// How often its agent of machines gives a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// How often its kubelet does.
const LEASE: Duration = Duration::from_secs(10);
const LEASES: &str = "kube-node-lease";

#[derive(Clone, Debug, PartialEq)]
struct PodFacts {
    uid: String,
    instance: Option<(String, String)>,
    deleting: bool,
    phase: String,
    ready: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct InstanceFacts {
    uid: String,
    deleting: bool,
    phase: String,
    conditions: Vec<Condition>,
}

/// What the node has decided for an object: what happens, and when.
type Fates = BTreeMap<(String, &'static str), tokio::time::Instant>;

struct Node {
    name: String,
    context: Context,
    dice: Dice,
    pods: Cache<PodFacts>,
    instances: Cache<InstanceFacts>,
    fates: Fates,
    /// Whether guests misbehave.
    wild: Weather,
    /// Whether nobody hears of the node.
    cut_off: Weather,
}

/// Adds a node to `tasks`. Guests misbehave while `wild` is stormy; while `cut_off` is, the node is.
pub fn start(context: &Context, name: &str, dice: Dice, wild: Weather, cut_off: Weather, tasks: &mut Tasks) {
    let pods = Api::<View>::of(&context.client, resources::POD);
    let pods = Cache::builder(pods, |view| Some(pod_facts(view)))
        .select(Select::fields(format!("spec.nodeName={name}")))
        .start(context, tasks);
    let instances = Api::<View>::of(&context.client, resources::VIRTUAL_MACHINE_INSTANCE);
    let own = name.to_owned();
    let instances = Cache::builder(instances, move |view| {
        let here = view.status["nodeName"].as_str() == Some(&own);
        here.then(|| instance_facts(view))
    })
    .start(context, tasks);
    let mut node = Node {
        name: name.to_owned(),
        context: context.clone(),
        dice,
        pods,
        instances,
        fates: Fates::new(),
        wild,
        cut_off,
    };
    tasks.add(async move { node.live().await });
}

/// Any object with its spec and status as they are.
#[derive(Clone, Debug, serde::Deserialize)]
struct View {
    metadata: Meta,
    #[serde(default)]
    status: Value,
}

kube_ext::view!(View => resources::POD);

fn pod_facts(view: View) -> PodFacts {
    let owner = view.metadata.controller().map(|owner| (owner.name.clone(), owner.uid.clone()));
    PodFacts {
        deleting: view.metadata.is_deleting(),
        phase: view.status["phase"].as_str().unwrap_or("Pending").to_owned(),
        instance: owner,
        ready: condition::is_true(&conditions(&view), "Ready"),
        uid: view.metadata.uid,
    }
}

fn conditions(view: &View) -> Vec<Condition> {
    serde_json::from_value(view.status["conditions"].clone()).unwrap_or_default()
}

fn instance_facts(view: View) -> InstanceFacts {
    InstanceFacts {
        deleting: view.metadata.is_deleting(),
        phase: view.status["phase"].as_str().unwrap_or_default().to_owned(),
        conditions: conditions(&view),
        uid: view.metadata.uid,
    }
}

impl Node {
    async fn live(&mut self) {
        while let Err(error) = self.register().await {
            drop(error);
            self.context.clock.sleep(TICK).await;
        }
        let mut heartbeat = tokio::time::Instant::now() + HEARTBEAT;
        let mut renewal = tokio::time::Instant::now();
        loop {
            self.context.clock.sleep(TICK).await;
            if self.cut_off.is_stormy() {
                continue;
            }
            if tokio::time::Instant::now() >= renewal {
                renewal = tokio::time::Instant::now() + LEASE;
                drop(self.renew().await);
            }
            if tokio::time::Instant::now() >= heartbeat {
                heartbeat = tokio::time::Instant::now() + HEARTBEAT;
                // The next one comes soon enough.
                drop(self.beat().await);
            }
            // A failure is forgotten: the next tick sees the same state and tries again.
            for (key, pod) in self.pods.all() {
                drop(self.play_kubelet(&key, &pod).await);
            }
            for (key, instance) in self.instances.all() {
                drop(self.play_agent(&key, &instance).await);
            }
        }
    }

    async fn register(&self) -> Result<(), ApiError> {
        let nodes = Api::<View>::of(&self.context.client, resources::NODE);
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": self.name,
                "kubevirt.io/schedulable": "true",
            }},
        });
        match nodes.create("", &node).await {
            Err(error) if !error.is_already_exists() => return Err(error),
            _ => {}
        }
        self.report().await?;
        self.beat().await
    }

    async fn report(&self) -> Result<(), ApiError> {
        let nodes = Api::<View>::of(&self.context.client, resources::NODE);
        let room = json!({
            "cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "100Gi",
            "devices.kubevirt.io/kvm": "1k", "devices.kubevirt.io/tun": "1k", "devices.kubevirt.io/vhost-net": "1k",
        });
        let status = json!({"status": {
            "capacity": room, "allocatable": room,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated"}],
        }});
        nodes.patch_status(&Key::cluster(&self.name), &Patch::Merge(status)).await.map(drop)
    }

    /// Renews the Lease, and reports the node anew when it was given up.
    async fn renew(&self) -> Result<(), ApiError> {
        let leases = Api::<View>::of(&self.context.client, resources::LEASE);
        let spec = json!({
            "holderIdentity": self.name,
            "leaseDurationSeconds": 40,
            "renewTime": format!("{:.6}", self.context.now()),
        });
        match leases.patch(&Key::new(LEASES, &self.name), &Patch::Merge(json!({"spec": spec}))).await {
            Err(error) if error.is_not_found() => {
                let lease = json!({
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": self.name, "namespace": LEASES},
                    "spec": spec,
                });
                leases.create(LEASES, &lease).await?;
            }
            other => drop(other?),
        }
        let nodes = Api::<View>::of(&self.context.client, resources::NODE);
        let known = nodes.get(&Key::cluster(&self.name)).await?;
        if condition::is_true(&conditions(&known), "Ready") { Ok(()) } else { self.report().await }
    }

    async fn beat(&self) -> Result<(), ApiError> {
        let nodes = Api::<View>::of(&self.context.client, resources::NODE);
        let now = plan::time::stamp(self.context.now());
        let patch = json!({"metadata": {
            "annotations": {"kubevirt.io/heartbeat": format!("\"{now}\"")},
            "labels": {"kubevirt.io/schedulable": "true"},
        }});
        nodes.patch(&Key::cluster(&self.name), &Patch::Merge(patch)).await.map(drop)
    }

    /// Tells whether the time of `what` has come for an object; the first question sets it.
    fn is_due(&mut self, uid: &str, what: &'static str, least: u64, most: u64) -> bool {
        let now = tokio::time::Instant::now();
        let dice = &self.dice;
        *self.fates.entry((uid.to_owned(), what)).or_insert_with(|| now + dice.millis(least, most)) <= now
    }

    async fn play_kubelet(&mut self, key: &Key, pod: &PodFacts) -> Result<(), ApiError> {
        let pods = Api::<View>::of(&self.context.client, resources::POD);
        let live = matches!(pod.phase.as_str(), "Pending" | "Running");
        if pod.deleting {
            if self.is_due(&pod.uid, "end", 50, 3000) {
                let how = Delete { grace_seconds: Some(0), ..Delete::only(&pod.uid) };
                pods.delete(key, &how).await?;
            }
            return Ok(());
        }
        if pod.phase == "Pending" && self.is_due(&pod.uid, "start", 50, 800) {
            let waits =
                self.dice.chance(50) && self.wild_now() && !self.is_due(&pod.uid, "image", 1000, 8000);
            let status = if waits { missing_image() } else { running() };
            pods.patch_status(key, &Patch::Merge(json!({"metadata": {"uid": pod.uid}, "status": status})))
                .await?;
        }
        if pod.phase == "Running" && !pod.ready {
            let status = json!({"metadata": {"uid": pod.uid}, "status": running()});
            pods.patch_status(key, &Patch::Merge(status)).await?;
        }
        // The launcher ends with its machine.
        if live && let Some((name, uid)) = &pod.instance {
            let instance = self.instances.get(&Key::new(key.namespace.clone(), name.clone()));
            let over =
                instance.filter(|i| i.uid == *uid && matches!(i.phase.as_str(), "Succeeded" | "Failed"));
            if let Some(instance) = over
                && self.is_due(&pod.uid, "exit", 10, 200)
            {
                let status = ended(instance.phase == "Succeeded");
                pods.patch_status(
                    key,
                    &Patch::Merge(json!({"metadata": {"uid": pod.uid}, "status": status})),
                )
                .await?;
            }
        }
        Ok(())
    }

    async fn play_agent(&mut self, key: &Key, instance: &InstanceFacts) -> Result<(), ApiError> {
        match instance.phase.as_str() {
            "Scheduled" if instance.deleting => self.finish(key, instance, "Succeeded").await,
            "Scheduled" if self.is_due(&instance.uid, "boot", 20, 500) => {
                let mut conditions = instance.conditions.clone();
                condition::set(&mut conditions, Condition::new("Ready", true, "", ""), self.context.now());
                let now = plan::time::stamp(self.context.now());
                let status = json!({"phase": "Running", "conditions": conditions});
                let whole = Api::<View>::of(&self.context.client, resources::VIRTUAL_MACHINE_INSTANCE);
                let known = whole.get(key).await?;
                if known.metadata.uid != instance.uid || known.status["phase"] != "Scheduled" {
                    return Ok(());
                }
                let mut times =
                    known.status["phaseTransitionTimestamps"].as_array().cloned().unwrap_or_default();
                times.push(json!({"phase": "Running", "phaseTransitionTimestamp": now}));
                let mut status = status;
                status["phaseTransitionTimestamps"] = json!(times);
                let version = known.resource_version().to_owned();
                let patch = json!({"metadata": {"resourceVersion": version}, "status": status});
                whole.patch(key, &Patch::Merge(patch)).await.map(drop)
            }
            "Running" if instance.deleting => {
                if self.is_due(&instance.uid, "shutdown", 100, 5000) {
                    return self.finish(key, instance, "Succeeded").await;
                }
                Ok(())
            }
            "Running" if self.wild_now() => {
                // A guest's own end: some never, some soon.
                let crashes = plan::name::hash(&instance.uid) % 10;
                if crashes < 2 && self.is_due(&instance.uid, "crash", 3000, 30_000) {
                    return self
                        .finish(key, instance, if crashes == 0 { "Failed" } else { "Succeeded" })
                        .await;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn finish(&self, key: &Key, instance: &InstanceFacts, phase: &str) -> Result<(), ApiError> {
        let whole = Api::<View>::of(&self.context.client, resources::VIRTUAL_MACHINE_INSTANCE);
        let known = whole.get(key).await?;
        if known.metadata.uid != instance.uid {
            return Ok(());
        }
        let version = known.resource_version().to_owned();
        let patch = json!({"metadata": {"resourceVersion": version}, "status": {"phase": phase}});
        whole.patch(key, &Patch::Merge(patch)).await.map(drop)
    }

    fn wild_now(&self) -> bool {
        self.wild.is_stormy()
    }
}

fn container(ready: bool, state: &Value) -> Value {
    json!([{"name": "compute", "image": "simulated", "imageID": "", "ready": ready, "restartCount": 0, "state": state}])
}

fn missing_image() -> Value {
    let state = json!({"waiting": {"reason": "ErrImagePull", "message": "the simulated registry is slow"}});
    json!({"phase": "Pending", "containerStatuses": container(false, &state)})
}

fn running() -> Value {
    json!({
        "phase": "Running",
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": "True"},
            // Open from the start, as the Pod's annotation asks.
            {"type": "kubevirt.io/virtual-machine-unpaused", "status": "True"},
        ],
        "containerStatuses": container(true, &json!({"running": {}})),
    })
}

fn ended(well: bool) -> Value {
    let code = i32::from(!well);
    let phase = if well { "Succeeded" } else { "Failed" };
    let state = json!({"terminated": {"exitCode": code, "reason": if well { "Completed" } else { "Error" }}});
    json!({"phase": phase, "containerStatuses": container(false, &state)})
}
