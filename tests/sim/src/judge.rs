//! What must never happen, and what must hold once everything has settled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube_ext::{Api, ApiError, Cache, Context, Meta, Resource, Select, Tasks, resources};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

use crate::user::NAMESPACE;

/// Any object.
#[derive(Clone, Debug, Deserialize)]
struct View {
    metadata: Meta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

kube_ext::view!(View => resources::POD);

/// Complaints so far. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Complaints(Arc<Mutex<BTreeSet<String>>>);

impl Complaints {
    fn add(&self, complaint: String) {
        self.0.lock().insert(complaint);
    }

    /// Returns all complaints.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().iter().cloned().collect()
    }
}

/// Watches Pods for what must never happen: two that may run the same machine at the same time.
pub fn watch(context: &Context, complaints: &Complaints, tasks: &mut Tasks) {
    let live: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>> = Arc::default();
    let complaints = complaints.clone();
    let pods = Api::<View>::of(&context.client, resources::POD);
    Cache::builder(pods, |view| {
        let ended = matches!(view.status["phase"].as_str(), Some("Succeeded" | "Failed"));
        let machine = view.metadata.labels.get("vm.kubevirt.io/name").cloned();
        machine.filter(|_| !ended).map(|machine| (machine, view.metadata.uid))
    })
    .on_change(move |change| {
        let mut live = live.lock();
        if let kube_ext::Change::Removed { before, .. } = change {
            live.entry(before.0.clone()).or_default().remove(&before.1);
        }
        if let kube_ext::Change::Applied { before, after, .. } = change {
            if let Some(before) = before {
                live.entry(before.0.clone()).or_default().remove(&before.1);
            }
            let pods = live.entry(after.0.clone()).or_default();
            pods.insert(after.1.clone());
            if pods.len() > 1 {
                complaints.add(format!("machine {} has {} live Pods", after.0, pods.len()));
            }
        }
    })
    .start(context, tasks);
}

/// Checks what must hold once everything has settled.
pub async fn check(context: &Context, complaints: &Complaints) -> Result<(), ApiError> {
    let list = async |resource: Resource| -> Result<Vec<View>, ApiError> {
        Api::<View>::of(&context.client, resource).list(&Select::default().within(NAMESPACE)).await
    };
    let machines = list(resources::VIRTUAL_MACHINE).await?;
    let instances = list(resources::VIRTUAL_MACHINE_INSTANCE).await?;
    let pods = list(resources::POD).await?;
    let revisions = list(resources::CONTROLLER_REVISION).await?;
    let of = |name: &str| instances.iter().find(|instance| instance.metadata.name == name);
    for machine in &machines {
        let name = &machine.metadata.name;
        let strategy = machine.spec["runStrategy"].as_str().unwrap_or_default();
        let word = machine.status["printableStatus"].as_str().unwrap_or_default();
        let phase = of(name).and_then(|instance| instance.status["phase"].as_str());
        let complain = |what: &str| {
            complaints
                .add(format!("machine {name} ({strategy}, shown as {word}, instance {phase:?}): {what}"));
        };
        if machine.metadata.is_deleting() {
            complain("was deleted and is still there");
        }
        match strategy {
            "Always" if phase != Some("Running") => complain("does not run"),
            "Halted" if phase.is_some() => complain("has an instance"),
            "Once" if phase.is_none() => complain("has no instance"),
            _ => {}
        }
        let right = match phase {
            Some("Running") => word == "Running",
            None | Some("Succeeded" | "Failed") => matches!(word, "Stopped" | "CrashLoopBackOff"),
            _ => true,
        };
        if !right {
            complain("shows the wrong word");
        }
        let open = machine.status["stateChangeRequests"].as_array().map_or(0, Vec::len);
        if open > 0 && strategy != "Halted" {
            complain("has requests that nobody met");
        }
    }
    for instance in &instances {
        let (name, uid) = (&instance.metadata.name, &instance.metadata.uid);
        if instance.metadata.is_deleting() {
            complaints.add(format!("instance {name} was deleted and is still there"));
        }
        if !machines.iter().any(|machine| Some(&machine.metadata.uid) == owner_of(instance)) {
            complaints.add(format!("instance {name} outlived its machine"));
        }
        let live = pods.iter().filter(|pod| owner_of(pod) == Some(uid));
        let live =
            live.filter(|pod| !matches!(pod.status["phase"].as_str(), Some("Succeeded" | "Failed"))).count();
        let running = instance.status["phase"] == "Running";
        if running != (live == 1) {
            complaints.add(format!("instance {name} is {} with {live} live Pods", instance.status["phase"]));
        }
    }
    for (kind, owned) in [("Pod", &pods), ("revision", &revisions)] {
        for object in owned {
            let owner = owner_of(object);
            let known = machines.iter().chain(&instances).any(|other| Some(&other.metadata.uid) == owner);
            if !known {
                complaints.add(format!("{kind} {} outlived its owner", object.metadata.name));
            }
        }
    }
    Ok(())
}

fn owner_of(object: &View) -> Option<&String> {
    object.metadata.controller().map(|owner| &owner.uid)
}
