//! Memory of the control plane with many machines that run: on a node that is only played, since no machine of this size runs
//! a thousand guests.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::kubevirt::v1::VirtualMachine;
use http::Request;
use kit::{Installation, Options};
use kube_ext::{Api, Client, Document, Key, Patch, Resource, Select, resources};
use serde_json::{Value, json};

use crate::machine::idle;
use crate::measure::pid;
use crate::process;
use crate::report::Report;

const NODE: &str = "played";
/// Seconds that a silent node is believed.
const GRACE: u32 = 100_000;
/// Seconds that all machines may take to run.
const PATIENCE: f64 = 1800.0;
/// Who may write what a node's agent writes.
const AGENT: &str = "system:serviceaccount:kubevirt:kubevirt-handler";

/// Measures what a machine, its instance and its Pod add to the process of the control plane, with `count` running.
pub(crate) fn of_running(report: &mut Report, count: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = Options { nodes: 0, images: false, node_grace: GRACE, ..Options::default() };
    let installation = Installation::start(options);
    let client = runtime.block_on(kube_ext::connect(&installation.data_dir().join("kubeconfig")))?;
    let process = pid(&installation)?;
    let rss = || process::rss_mib(process).context("the control plane runs");
    let before = runtime.block_on(async {
        let node = Node::register(client.clone()).await?;
        node.start("first", 1).await?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = rss()?;
        node.start("many", count).await?;
        anyhow::Ok(before)
    })?;
    std::thread::sleep(Duration::from_secs(15));
    let grown = (rss()? - before) * 1024.0 / count as f64;
    report.add(&format!("memory per running machine, {count} running"), "KiB", grown, None);
    Ok(())
}

/// The played node.
struct Node {
    client: Client,
    pods: Api<Document>,
    instances: Api<Document>,
}

impl Node {
    async fn register(client: Client) -> Result<Self> {
        let room = json!({"cpu": "100k", "memory": "100Ti", "pods": "100k", "ephemeral-storage": "100Ti",
            "devices.kubevirt.io/kvm": "100k", "devices.kubevirt.io/tun": "100k", "devices.kubevirt.io/vhost-net": "100k"});
        let name = json!({"name": NODE, "labels": {
            "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": NODE, "kubevirt.io/schedulable": "true",
            "machine-type.node.kubevirt.io/q35": "true",
        }});
        let nodes = Api::<Document>::of(&client, resources::NODE);
        nodes.create("", &json!({"apiVersion": "v1", "kind": "Node", "metadata": name})).await?;
        let ready =
            json!([{"type": "Ready", "status": "True", "reason": "Played", "message": "it is played"}]);
        let status = json!({"status": {"capacity": room, "allocatable": room, "conditions": ready}});
        nodes.patch_status(&Key::cluster(NODE), &Patch::Merge(status)).await?;
        let pods = Api::of(&client, resources::POD);
        let instances = Api::of(&client, resources::VIRTUAL_MACHINE_INSTANCE);
        Ok(Self { client, pods, instances })
    }

    /// Creates machines, and plays kubelet and agent until they run.
    async fn start(&self, prefix: &str, count: usize) -> Result<()> {
        let machines = Api::<VirtualMachine>::new(&self.client);
        for number in 0..count {
            machines.create("default", &idle(&format!("{prefix}-{number}"))).await?;
        }
        let begun = process::now();
        while self.play(prefix).await? < count {
            if process::now() - begun > PATIENCE {
                bail!("{count} machines did not run in {PATIENCE} s");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    /// Does what is due, and returns how many instances run.
    async fn play(&self, prefix: &str) -> Result<usize> {
        let select = Select::default().within("default");
        for pod in self.pods.list(&select).await? {
            let is_bound = at(&pod, "spec", "nodeName") == NODE;
            if is_bound && at(&pod, "status", "phase") == "Pending" {
                let key = Key::new("default", &pod.metadata.name);
                self.pods.patch_status(&key, &Patch::Merge(json!({"status": pod_that_runs()}))).await?;
            }
        }
        let mut running = 0;
        for instance in self.instances.list(&select).await? {
            match at(&instance, "status", "phase") {
                "Scheduled" => self.begin(&instance).await?,
                "Running" if instance.metadata.name.starts_with(prefix) => running += 1,
                _ => {}
            }
        }
        Ok(running)
    }

    /// Says of an instance that it runs, as the agent does.
    async fn begin(&self, instance: &Document) -> Result<()> {
        let ready = json!({"type": "Ready", "status": "True"});
        let interface = json!({"name": "default", "ipAddress": "10.244.0.2", "mac": "02:00:00:00:00:01",
            "infoSource": "domain", "linkState": "up", "queueCount": 1});
        let told = json!({"status": {"phase": "Running", "conditions": [ready], "interfaces": [interface]}});
        let Resource { group, version, plural, .. } = resources::VIRTUAL_MACHINE_INSTANCE;
        let path = format!("/apis/{group}/{version}/namespaces/default/{plural}/{}", instance.metadata.name);
        let request = Request::patch(path)
            .header("Content-Type", "application/merge-patch+json")
            .header("Impersonate-User", AGENT)
            .header("Impersonate-Group", "system:serviceaccounts")
            .header("Impersonate-Group", "system:serviceaccounts:kubevirt")
            .header("Impersonate-Group", "system:authenticated");
        self.client.request_text(request.body(told.to_string().into_bytes())?).await?;
        Ok(())
    }
}

/// Returns a text of an object.
fn at<'a>(object: &'a Document, part: &str, field: &str) -> &'a str {
    object.fields.get(part).and_then(|part| part.get(field)).and_then(Value::as_str).unwrap_or_default()
}

fn pod_that_runs() -> Value {
    let conditions =
        ["PodScheduled", "Initialized", "ContainersReady", "Ready", "kubevirt.io/virtual-machine-unpaused"];
    let conditions: Vec<Value> =
        conditions.iter().map(|kind| json!({"type": kind, "status": "True"})).collect();
    json!({
        "phase": "Running",
        "qosClass": "Burstable",
        "podIP": "10.244.0.2",
        "podIPs": [{"ip": "10.244.0.2"}],
        "conditions": conditions,
        "containerStatuses": [{"name": "compute", "image": "played", "imageID": "played", "ready": true,
            "restartCount": 0, "state": {"running": {}}}],
    })
}
