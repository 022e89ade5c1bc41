//! What becomes of the names of instance types, as the installation says.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use apiserver::auth::identity;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube_ext::{Api, Context, Document, Key, Patch, Resource, Select, resources};
use serde_json::{Value, json};
use sim::faults::Weather;
use sim::run::World;
use sim::user::NAMESPACE;

/// The API as somebody sees it who looks after a while.
struct Scene<'a> {
    world: &'a World,
    admin: Context,
}

impl Scene<'_> {
    async fn create(&self, resource: Resource, object: Value) {
        let api = Api::<Document>::of(&self.admin.client, resource);
        api.create(NAMESPACE, &object).await.unwrap();
        self.world.wait(Duration::from_secs(5)).await;
    }

    async fn change(&self, name: &str, patch: Value) {
        let machines = Api::<Document>::of(&self.admin.client, resources::VIRTUAL_MACHINE);
        machines.patch(&Key::new(NAMESPACE, name), &Patch::Merge(patch)).await.unwrap();
        self.world.wait(Duration::from_secs(20)).await;
    }

    async fn machine(&self, name: &str) -> Value {
        let machines = Api::<Document>::of(&self.admin.client, resources::VIRTUAL_MACHINE);
        machines.get(&Key::new(NAMESPACE, name)).await.unwrap().fields.into()
    }

    /// Names of the revisions that hold on to instance types.
    async fn held(&self) -> Vec<String> {
        let select = Select::labels("instancetype.kubevirt.io/object-kind").within(NAMESPACE);
        let kept = Api::<ControllerRevision>::new(&self.admin.client).list(&select).await.unwrap();
        kept.into_iter().filter_map(|revision| revision.metadata.name).collect()
    }

    async fn policy(&self, word: &str) {
        let kubevirts = Api::<Document>::of(&self.admin.client, resources::KUBEVIRT);
        let configuration = json!({"instancetype": {"referencePolicy": word}});
        let patch = json!({"spec": {"configuration": configuration}});
        kubevirts.patch(&Key::new(NAMESPACE, "kubevirt"), &Patch::Merge(patch)).await.unwrap();
        self.world.wait(Duration::from_secs(20)).await;
    }
}

fn machine(name: &str, instancetype: &str) -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "runStrategy": "Halted",
            "instancetype": {"name": instancetype, "kind": "VirtualMachineInstancetype"},
            "template": {"spec": {"domain": {"devices": {}}}},
        },
    })
}

fn instancetype(name: &str, vcpus: u32) -> Value {
    json!({
        "apiVersion": "instancetype.kubevirt.io/v1beta1",
        "kind": "VirtualMachineInstancetype",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"cpu": {"guest": vcpus}, "memory": {"guest": "64Mi"}},
    })
}

fn condition<'a>(machine: &'a Value, kind: &str) -> Option<&'a Value> {
    machine["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn is_expanded(machine: &Value, vcpus: u32) -> bool {
    let domain = &machine["spec"]["template"]["spec"]["domain"];
    machine["spec"].get("instancetype").is_none()
        && domain["cpu"]["sockets"] == vcpus
        && domain["memory"]["guest"] == "64Mi"
}

#[test]
fn names_stay_or_are_replaced_as_the_installation_says() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(11).await;
        let admin = world.context("admin", identity::administrator("admin"), &Weather::default());
        let (nodes, others) = (world.nodes(1, &Weather::default()), world.kube_controllers());
        let controller = world.virt_controller();
        world.wait(Duration::from_secs(2)).await;
        let scene = Scene { world: &world, admin };
        let kubevirt = json!({
            "apiVersion": "kubevirt.io/v1",
            "kind": "KubeVirt",
            "metadata": {"name": "kubevirt", "namespace": NAMESPACE},
            "spec": {},
        });
        scene.create(resources::KUBEVIRT, kubevirt).await;
        let [kind, ..] = resources::NAMED;
        scene.create(kind.clone(), instancetype("small", 2)).await;

        scene.create(resources::VIRTUAL_MACHINE, machine("first", "small")).await;
        scene.change("first", json!({"spec": {"runStrategy": "Always"}})).await;
        let first = scene.machine("first").await;
        assert_eq!(first["spec"]["instancetype"]["name"], "small");
        assert_eq!(first["status"]["instancetypeRef"]["name"], "small");
        assert_eq!(first["status"]["printableStatus"], "Running", "{first}");
        assert_eq!(scene.held().await.len(), 1);

        // Only what is new.
        scene.policy("expand").await;
        assert_eq!(scene.machine("first").await["spec"]["instancetype"]["name"], "small");
        scene.create(resources::VIRTUAL_MACHINE, machine("second", "small")).await;
        let second = scene.machine("second").await;
        assert!(is_expanded(&second, 2) && second["status"].get("instancetypeRef").is_none(), "{second}");

        // What is not there is named, and waited for.
        scene.create(resources::VIRTUAL_MACHINE, machine("third", "large")).await;
        let third = scene.machine("third").await;
        let message = condition(&third, "Failure").map(|failure| failure["message"].to_string());
        assert!(message.is_some_and(|message| message.contains("large")), "{third}");
        scene.create(kind, instancetype("large", 4)).await;
        world.wait(Duration::from_secs(900)).await;
        assert!(is_expanded(&scene.machine("third").await, 4));

        // Everything, and whoever runs does not notice.
        scene.policy("expandAll").await;
        let first = scene.machine("first").await;
        assert!(is_expanded(&first, 2), "{first}");
        assert!(condition(&first, "RestartRequired").is_none(), "{first}");
        assert_eq!(first["status"]["printableStatus"], "Running");
        // An instance is compared by it while it is there.
        assert_eq!(scene.held().await.len(), 1);
        scene.change("first", json!({"spec": {"runStrategy": "Halted"}})).await;
        world.wait(Duration::from_secs(120)).await;
        let first = scene.machine("first").await;
        assert_eq!(first["status"]["printableStatus"], "Stopped");
        assert!(first["status"].get("instancetypeRef").is_none(), "{first}");
        assert_eq!(scene.held().await, Vec::<String>::new());
        for task in [controller, others, nodes] {
            task.abort();
        }
    });
}
