//! What becomes of the names of instance types, as the installation says.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use apiserver::auth::identity;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube_ext::{Api, Context, Delete, Document, Key, Patch, Resource, Select, resources};
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

/// How many instance types and preferences there are for all.
async fn common(admin: &Context) -> [usize; 2] {
    let mut counts = [0; 2];
    let kinds = [resources::CLUSTER_INSTANCETYPE, resources::CLUSTER_PREFERENCE];
    for (count, kind) in counts.iter_mut().zip(kinds) {
        *count = Api::<Document>::of(&admin.client, kind).list(&Select::default()).await.unwrap().len();
    }
    counts
}

#[test]
fn the_common_ones_come_with_the_installation_and_stay_as_they_are() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(12).await;
        let admin = world.context("admin", identity::administrator("admin"), &Weather::default());
        let types = Api::<Document>::of(&admin.client, resources::CLUSTER_INSTANCETYPE);
        let own = json!({
            "apiVersion": "instancetype.kubevirt.io/v1beta1",
            "kind": "VirtualMachineClusterInstancetype",
            "metadata": {"name": "u1.nano"},
            "spec": {"cpu": {"guest": 3}, "memory": {"guest": "96Mi"}},
        });
        types.create("", &own).await.unwrap();
        let controller = world.virt_controller();
        world.wait(Duration::from_secs(5)).await;
        assert_eq!(common(&admin).await, [1, 0], "nothing is installed");

        let kubevirts = Api::<Document>::of(&admin.client, resources::KUBEVIRT);
        let kubevirt = json!({
            "apiVersion": "kubevirt.io/v1",
            "kind": "KubeVirt",
            "metadata": {"name": "kubevirt", "namespace": NAMESPACE},
            "spec": {},
        });
        kubevirts.create(NAMESPACE, &kubevirt).await.unwrap();
        world.wait(Duration::from_secs(10)).await;
        assert_eq!(common(&admin).await, [65, 54]);
        // What somebody had made stays what it is.
        let guest = |object: &Document| object.fields["spec"]["cpu"]["guest"].clone();
        assert_eq!(guest(&types.get(&Key::cluster("u1.nano")).await.unwrap()), 3);

        let revisions = |all: Vec<Document>| {
            let each = all.into_iter().map(|object| object.metadata.resource_version);
            each.collect::<std::collections::BTreeSet<_>>()
        };
        let before = revisions(types.list(&Select::default()).await.unwrap());
        controller.abort();
        let controller = world.virt_controller();
        world.wait(Duration::from_secs(60)).await;
        let after = revisions(types.list(&Select::default()).await.unwrap());
        assert_eq!(before, after, "a new controller finds all in order");

        let change = json!({"spec": {"cpu": {"guest": 7, "model": "host"}}});
        types.patch(&Key::cluster("u1.large"), &Patch::Merge(change)).await.unwrap();
        types.delete(&Key::cluster("u1.small"), &Delete::default()).await.unwrap();
        world.wait(Duration::from_secs(10)).await;
        let large = types.get(&Key::cluster("u1.large")).await.unwrap();
        assert_eq!(large.fields["spec"]["cpu"], json!({"guest": 2}));
        assert_eq!(common(&admin).await, [65, 54]);

        let key = Key::new(NAMESPACE, "kubevirt");
        // A copy under another name is somebody's own, though it has the same labels.
        let copy = types.get(&Key::cluster("u1.large")).await.unwrap();
        let copy = json!({
            "apiVersion": "instancetype.kubevirt.io/v1beta1",
            "kind": "VirtualMachineClusterInstancetype",
            "metadata": {"name": "mine", "labels": copy.metadata.labels, "annotations": copy.metadata.annotations},
            "spec": copy.fields["spec"],
        });
        types.create("", &copy).await.unwrap();
        // A name that its owner gives up is filled again.
        types.delete(&Key::cluster("u1.nano"), &Delete::default()).await.unwrap();
        world.wait(Duration::from_secs(700)).await;
        assert_eq!(common(&admin).await, [66, 54]);
        assert_eq!(guest(&types.get(&Key::cluster("u1.nano")).await.unwrap()), 1);

        let without = json!({"commonInstancetypesDeployment": {"enabled": false}});
        let patch = json!({"spec": {"configuration": without}});
        kubevirts.patch(&key, &Patch::Merge(patch)).await.unwrap();
        world.wait(Duration::from_secs(10)).await;
        assert_eq!(common(&admin).await, [1, 0], "what is somebody's own");
        let patch = json!({"spec": {"configuration": {"commonInstancetypesDeployment": null}}});
        kubevirts.patch(&key, &Patch::Merge(patch)).await.unwrap();
        world.wait(Duration::from_secs(10)).await;
        assert_eq!(common(&admin).await, [66, 54]);
        kubevirts.delete(&key, &Delete::default()).await.unwrap();
        world.wait(Duration::from_secs(10)).await;
        assert_eq!(common(&admin).await, [1, 0], "they go with the installation");
        controller.abort();
    });
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
