//! A simulated user: makes machines, starts, stops and deletes them, and deletes things that are none of his business.

use std::time::Duration;

use kube_ext::{Api, ApiError, Context, Delete, Key, PartialObject, Patch, Resource, Select, resources};
use serde_json::json;

use crate::dice::Dice;

/// Namespace of the user's machines.
pub const NAMESPACE: &str = "default";
const STRATEGIES: [&str; 5] = ["Always", "Halted", "Manual", "RerunOnFailure", "Once"];

/// Acts for `span`, with pauses.
pub async fn act(context: &Context, dice: &Dice, machines: u64, span: Duration) {
    let end = tokio::time::Instant::now() + span;
    while tokio::time::Instant::now() < end {
        context.clock.sleep(dice.millis(20, 1500)).await;
        let name = format!("vm-{}", dice.below(machines));
        // The user shrugs and does something else.
        drop(one(context, dice, &name).await);
    }
}

async fn one(context: &Context, dice: &Dice, name: &str) -> Result<(), ApiError> {
    let key = Key::new(NAMESPACE, name);
    let machines = api(context, resources::VIRTUAL_MACHINE);
    let strategy = dice.pick(&STRATEGIES).copied().unwrap_or("Always");
    match dice.below(100) {
        0..40 => create(context, name, strategy).await,
        40..60 => {
            let patch = json!({"spec": {"runStrategy": strategy}});
            machines.patch(&key, &Patch::Merge(patch)).await.map(drop)
        }
        60..70 => {
            let request = json!({"status": {"stateChangeRequests": [{"action": "Start"}]}});
            machines.patch_status(&key, &Patch::Merge(request)).await.map(drop)
        }
        70..78 => {
            let instances = api(context, resources::VIRTUAL_MACHINE_INSTANCE);
            let Some(instance) = instances.find(&key).await? else { return Ok(()) };
            let uid = instance.metadata.uid;
            let request = json!({"status": {"stateChangeRequests": [{"action": "Stop", "uid": uid}, {"action": "Start"}]}});
            machines.patch_status(&key, &Patch::Merge(request)).await.map(drop)
        }
        78..88 => machines.delete(&key, &Delete::default()).await,
        88..94 => api(context, resources::VIRTUAL_MACHINE_INSTANCE).delete(&key, &Delete::default()).await,
        _ => {
            let pods = api(context, resources::POD);
            let all = pods.list(&Select::default().within(NAMESPACE)).await?;
            let Some(pod) = dice.pick(&all) else { return Ok(()) };
            pods.delete(&Key::new(NAMESPACE, &pod.metadata.name), &Delete::default()).await
        }
    }
}

/// Creates a machine.
pub async fn create(context: &Context, name: &str, strategy: &str) -> Result<(), ApiError> {
    let machine = json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
        },
        "spec": {
            "runStrategy": strategy,
            "template": {"spec": {
                "terminationGracePeriodSeconds": 5,
                "domain": {"devices": {}, "memory": {"guest": "64Mi"}},
            }},
        },
    });
    api(context, resources::VIRTUAL_MACHINE).create(NAMESPACE, &machine).await.map(drop)
}

fn api(context: &Context, resource: Resource) -> Api<PartialObject> {
    Api::of(&context.client, resource)
}
