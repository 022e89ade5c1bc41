//! A change of the installation's configuration reaches the Pods that are made after it, without a restart.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use api::kubevirt::v1::KubeVirt;
use apiserver::auth::identity;
use k8s_openapi::api::core::v1::Pod;
use kube_ext::{Api, Context, Delete, Key, Patch, Select};
use serde_json::{Value, json};
use sim::faults::Weather;
use sim::run::World;

/// Creates an instance and returns its launcher Pod's specification.
async fn pod(world: &World, admin: &Context, name: &str) -> Value {
    let instance = json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}},
    });
    let instances = Api::<api::kubevirt::v1::VirtualMachineInstance>::new(&admin.client);
    instances.create("default", &instance).await.unwrap();
    world.wait(Duration::from_secs(5)).await;
    let select = Select::labels(format!("vm.kubevirt.io/name={name}"));
    let pods = Api::<Pod>::new(&admin.client).list(&select).await.unwrap();
    assert_eq!(pods.len(), 1, "{name} has one Pod");
    serde_json::to_value(pods[0].spec.as_ref().unwrap()).unwrap()
}

fn cpu(pod: &Value) -> &Value {
    &pod["containers"][0]["resources"]["requests"]["cpu"]
}

#[test]
fn launchers_are_made_as_the_installation_says_now() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(5).await;
        let admin = world.context("admin", identity::administrator("admin"), &Weather::default());
        // Pods need the service account that one of Kubernetes' controllers makes.
        let others = world.kube_controllers();
        let controller = world.virt_controller();
        world.wait(Duration::from_secs(2)).await;
        let kubevirts = Api::<KubeVirt>::new(&admin.client);
        let key = Key::new("default", "kubevirt");

        let first = pod(&world, &admin, "first").await;
        assert_eq!(cpu(&first), "100m", "nothing is configured");

        let kubevirt = json!({
            "apiVersion": "kubevirt.io/v1",
            "kind": "KubeVirt",
            "metadata": {"name": "kubevirt", "namespace": "default"},
            "spec": {"configuration": {
                "defaultRuntimeClass": "fast",
                "developerConfiguration": {"cpuAllocationRatio": 1, "nodeSelectors": {"pool": "machines"}},
            }},
        });
        kubevirts.create("default", &kubevirt).await.unwrap();
        world.wait(Duration::from_secs(5)).await;
        let second = pod(&world, &admin, "second").await;
        assert_eq!(
            (cpu(&second), &second["runtimeClassName"], &second["nodeSelector"]["pool"]),
            (&json!("1"), &json!("fast"), &json!("machines"))
        );

        let change = json!({"spec": {"configuration": {"developerConfiguration": {
            "cpuAllocationRatio": 2, "nodeSelectors": null, "useEmulation": true,
        }}}});
        kubevirts.patch(&key, &Patch::Merge(change)).await.unwrap();
        world.wait(Duration::from_secs(5)).await;
        let third = pod(&world, &admin, "third").await;
        assert_eq!(cpu(&third), "500m");
        assert!(third["nodeSelector"].get("pool").is_none(), "{third}");
        let limits = |pod: &Value| pod["containers"][0]["resources"]["limits"].clone();
        assert!(limits(&second).get("devices.kubevirt.io/kvm").is_some());
        assert!(limits(&third).get("devices.kubevirt.io/kvm").is_none(), "emulation needs no accelerator");

        kubevirts.delete(&key, &Delete::default()).await.unwrap();
        world.wait(Duration::from_secs(5)).await;
        assert_eq!(cpu(&pod(&world, &admin, "fourth").await), "100m", "the defaults are back");
        controller.abort();
        others.abort();
    });
}
