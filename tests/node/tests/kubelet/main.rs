//! The kubelet with the embedded API server and real Pods. A static shell stands for the launcher.

#![allow(clippy::panic, reason = "helpers of tests")]

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apiserver::{ApiServer, auth};
use effects::{SystemClock, SystemEntropy};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, Pod, ServiceAccount};
use kube_ext::{Api, Context, Delete, Key, Patch, Select, in_process};
use kubelet::KubeletConfig;
use kubelet::builtin::BuiltinImage;
use kubelet::images::{ImageError, Images, Pull, Space, Stored, Unpacked};
use kubelet::logs::LogOptions;
use machinery::admission::UserInfo;
use network::pod::{NodeNetworkConfig, Uplink};
use serde_json::{Value, json};
use store::MemoryStore;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const SHELL: &str = "ironclad.local/shell:1";
const NODE: &str = "node-1";

/// Images that are there once a test puts them there.
#[derive(Default)]
struct Shelf(Mutex<Option<PathBuf>>);

#[async_trait::async_trait]
impl Images for Shelf {
    async fn ensure(&self, reference: &str, _: &Pull, _: &Path) -> Result<Unpacked, ImageError> {
        let content = self.0.lock().expect("no test panics while it holds it");
        match &*content {
            Some(directory) => Ok(Unpacked { directory: directory.clone(), digest: "sha256:00".into() }),
            None => Err(ImageError::Pull(format!("{reference} is nowhere to be found"))),
        }
    }

    async fn stock(&self) -> Result<Vec<Stored>, ImageError> {
        Ok(Vec::new())
    }

    async fn space(&self) -> Result<Space, ImageError> {
        Ok(Space { capacity: 1, available: 1 })
    }

    async fn remove(&self, _: Option<&str>) -> Result<bool, ImageError> {
        Ok(true)
    }
}

/// A node of a cluster, with a network namespace for its bridge where it has one.
struct World {
    root: tempfile::TempDir,
    namespace: Option<Child>,
    server: ApiServer,
    images: Arc<Shelf>,
    kubelet: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl World {
    async fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).expect("it opens");
        let namespace = rustix::process::geteuid().is_root().then(|| {
            let mut child = Command::new("unshare")
                .args(["-n", "sh", "-c", "echo ready; exec sleep 300"])
                .stdout(Stdio::piped())
                .spawn()
                .expect("unshare starts");
            let mut ready = [0u8; 5];
            child.stdout.as_mut().expect("its output").read_exact(&mut ready).expect("it is ready");
            child
        });
        let server = ApiServer::builder(Arc::new(MemoryStore::new())).build().await.expect("an empty store");
        let world = Self { root, namespace, server, images: Arc::default(), kubelet: None };
        // What the controllers of a whole installation would do.
        let account =
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
        let accounts = Api::<ServiceAccount>::new(&world.admin().client);
        accounts.create("default", &account).await.expect("the account is created");
        world
    }

    fn config(&self) -> KubeletConfig {
        let shell = BuiltinImage {
            repository: "ironclad.local/shell".into(),
            program: "/usr/bin/busybox".into(),
            path: "/usr/bin/busybox".into(),
            user: 107,
            programs: Vec::new(),
            files: Vec::new(),
            followers: vec!["virt-tail".into()],
            exit_code: Some("/var/run/data/exit-code".into()),
        };
        let root = self.root.path();
        KubeletConfig {
            node: NODE.into(),
            root: root.join("kubelet"),
            local_volumes: root.join("volumes"),
            helper: host::Helper::new(env!("CARGO_BIN_EXE_node")),
            builtin: vec![shell],
            network: NodeNetworkConfig {
                instance: root.display().to_string(),
                node: 0,
                network: None,
                state: root.join("network"),
                namespace: self.namespace.as_ref().map(|child| format!("/proc/{}/ns/net", child.id()).into()),
                uplink: if self.namespace.is_some() { Uplink::Bridge } else { Uplink::Pasta },
                peers: Vec::new(),
            },
            cgroup: format!("ironclad-test-{}", root.file_name().expect("a name").to_string_lossy()),
            image_space: None,
            kvm: false,
            address: [127, 0, 0, 1].into(),
            release: "v0.1.0".into(),
            cpus: Some(4),
            memory_bytes: None,
        }
    }

    fn context(&self, identity: UserInfo) -> Context {
        let client = in_process(self.server.in_process(identity));
        Context::new(client, Arc::new(SystemClock), Arc::new(SystemEntropy))
    }

    fn admin(&self) -> Context {
        self.context(auth::identity::administrator("test"))
    }

    fn pods(&self) -> Api<Pod> {
        Api::new(&self.admin().client)
    }

    fn start(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let context = self.context(auth::identity::node(NODE));
        let (config, images) = (self.config(), self.images.clone());
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            kubelet::run(config, context, images, stopped).await.expect("the kubelet runs");
        });
        self.kubelet = Some((stop, task));
    }

    async fn stop(&mut self) {
        if let Some((stop, task)) = self.kubelet.take() {
            let _ = stop.send(());
            task.await.expect("it ends");
        }
    }

    /// Puts a Pod that runs `script` on the node.
    async fn create(&self, name: &str, script: &str, change: impl FnOnce(&mut Value)) {
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name },
            "spec": {
                "nodeName": NODE,
                "automountServiceAccountToken": false,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 30,
                "readinessGates": [{ "conditionType": "example.com/unpaused" }],
                "initContainers": [{
                    "name": "follower",
                    "image": SHELL,
                    "restartPolicy": "Always",
                    "command": ["busybox", "virt-tail", "--logfile", "/var/run/data/serial0.log"],
                }],
                "containers": [{
                    "name": "compute",
                    "image": SHELL,
                    "command": ["/usr/bin/busybox", "sh", "-c", script],
                    "volumeMounts": [
                        { "name": "data", "mountPath": "/var/run/data" },
                        { "name": "disk", "mountPath": "/var/run/disk", "readOnly": true },
                    ],
                }],
                "volumes": [
                    { "name": "data", "emptyDir": {} },
                    { "name": "disk", "image": { "reference": "registry.example/disk:1" } },
                ],
            },
        });
        change(&mut pod);
        self.pods().create("default", &pod).await.expect("the Pod is created");
    }

    /// Waits until the Pod, as JSON, satisfies `wanted`.
    async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let key = Key::new("default", name);
        let mut last = Value::Null;
        for _ in 0..600 {
            last = match self.pods().find(&key).await.expect("the API answers") {
                Some(pod) => serde_json::to_value(pod).expect("JSON"),
                None => Value::Null,
            };
            if wanted(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what} does not come: {last:#}");
    }

    async fn log(&self, uid: &str, container: &str) -> String {
        let options = LogOptions { container: container.into(), ..LogOptions::default() };
        let stream = kubelet::logs::read(self.config().pods(), uid, options).await.expect("a log");
        let parts: Vec<_> = stream.try_collect().await.expect("it is read");
        String::from_utf8(parts.concat()).expect("text")
    }

    /// Waits until no process mentions the world's directory, and only the API's own files are left.
    async fn is_clean(&self) {
        let pods = self.config().pods();
        for _ in 0..100 {
            let left = std::fs::read_dir(&pods).into_iter().flatten().count();
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("something is left in {}", pods.display());
    }

    async fn end(mut self) {
        self.stop().await;
        let config = self.config();
        tokio::task::spawn_blocking(move || kubelet::runtime::remove_everything(&config))
            .await
            .expect("it does not panic")
            .expect("all is removed");
    }
}

/// A failed test leaves nothing running either.
impl Drop for World {
    fn drop(&mut self) {
        let _ = kubelet::runtime::remove_everything(&self.config());
        if let Some(mut child) = self.namespace.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn may_run() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root && std::fs::File::options().read(true).write(true).open("/dev/net/tun").is_err() {
        eprintln!("SKIPPED: /dev/net/tun is not open to this user");
        return false;
    }
    true
}

fn condition(pod: &Value, kind: &str) -> Option<String> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    found["status"].as_str().map(str::to_owned)
}

fn put_image(world: &World) {
    let image = world.root.path().join("image");
    std::fs::create_dir_all(&image).expect("an image");
    std::fs::write(image.join("disk.img"), "content").expect("a file");
    *world.images.0.lock().expect("no test panics while it holds it") = Some(image);
}

const LIVE: &str = "trap 'echo told to end; exit 7' TERM; busybox cat /var/run/disk/disk.img; \
    echo ' from the guest' > /var/run/data/serial0.log; while true; do busybox sleep 0.1; done";

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_lives_from_its_creation_to_its_deletion() {
    if !may_run() {
        return;
    }
    let mut world = World::new().await;
    world.start();
    world.create("live", LIVE, |_| {}).await;

    // The image is missing: it says so, and recovers by itself.
    let pod = world
        .until("live", "the missing image", |pod| {
            let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
            waiting["reason"] == "ErrImagePull"
        })
        .await;
    assert_eq!(pod["status"]["phase"], "Pending");
    put_image(&world);
    let pod = world.until("live", "the start", |pod| pod["status"]["phase"] == "Running").await;
    let uid = pod["metadata"]["uid"].as_str().expect("a UID").to_owned();
    assert!(pod["status"]["podIP"].is_string(), "{pod:#}");
    assert_eq!(condition(&pod, "ContainersReady").as_deref(), Some("True"));
    assert_eq!(condition(&pod, "Ready").as_deref(), Some("False"));
    assert_eq!(pod["status"]["initContainerStatuses"][0]["ready"], true);

    // The gate opens.
    let gate = json!({ "status": { "conditions": [{ "type": "example.com/unpaused", "status": "True" }] } });
    let key = Key::new("default", "live");
    world.pods().patch_status(&key, &Patch::Strategic(gate)).await.expect("the gate opens");
    world.until("live", "readiness", |pod| condition(pod, "Ready").as_deref() == Some("True")).await;
    assert_eq!(world.log(&uid, "compute").await, "content");
    assert_eq!(world.log(&uid, "follower").await, " from the guest\n");

    // The kubelet goes, the Pod stays; another kubelet takes it over and writes nothing.
    let before = world.until("live", "itself", |_| true).await;
    world.stop().await;
    world.start();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = world.until("live", "itself", |_| true).await;
    assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]);

    // It is told to end, and gone.
    world.pods().delete(&key, &Delete::default()).await.expect("it is deleted");
    world.until("live", "the end", Value::is_null).await;
    world.is_clean().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_reported() {
    if !may_run() {
        return;
    }
    let mut world = World::new().await;
    put_image(&world);
    world.start();
    world.create("good", "exit 0", |_| {}).await;
    world.create("bad", "exit 3", |_| {}).await;
    world.until("good", "success", |pod| pod["status"]["phase"] == "Succeeded").await;
    let pod = world.until("bad", "failure", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
    for name in ["good", "bad"] {
        let key = Key::new("default", name);
        world.pods().delete(&key, &Delete::default()).await.expect("it is deleted");
        world.until(name, "the end", Value::is_null).await;
    }
    world.is_clean().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_while_nobody_looked_is_reported() {
    if !may_run() {
        return;
    }
    let mut world = World::new().await;
    put_image(&world);
    world.start();
    world.create("live", LIVE, |_| {}).await;
    world.until("live", "the start", |pod| pod["status"]["phase"] == "Running").await;
    world.stop().await;
    let record = kubelet::record::Record::all(&world.config().pods()).remove(0).1.expect("a record");
    let process = record.process.expect("a process").open().expect("it opens").expect("it runs");
    process.kill().expect("it is killed");
    assert!(process.wait(Duration::from_secs(10)));
    process.exit();
    world.start();
    let pod = world.until("live", "failure", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 137);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_ended_while_nobody_looked_tells_its_code_itself() {
    if !may_run() {
        return;
    }
    let mut world = World::new().await;
    put_image(&world);
    world.start();
    let script =
        "trap 'echo 0 > /var/run/data/exit-code; exit 0' TERM; while true; do busybox sleep 0.1; done";
    world.create("quiet", script, |_| {}).await;
    world.until("quiet", "the start", |pod| pod["status"]["phase"] == "Running").await;
    world.stop().await;
    let record = kubelet::record::Record::all(&world.config().pods()).remove(0).1.expect("a record");
    let process = record.process.expect("a process").open().expect("it opens").expect("it runs");
    // The shell needs a moment to set its trap.
    tokio::time::sleep(Duration::from_millis(500)).await;
    process.terminate().expect("it is told to end");
    assert!(process.wait(Duration::from_secs(10)));
    process.exit();
    world.start();
    world.until("quiet", "success", |pod| pod["status"]["phase"] == "Succeeded").await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stubborn_pod_is_killed_and_a_forced_deletion_leaves_nothing() {
    if !may_run() {
        return;
    }
    let mut world = World::new().await;
    put_image(&world);
    world.start();
    for name in ["stubborn", "forced"] {
        let script = "trap '' TERM; while true; do busybox sleep 0.1; done";
        world.create(name, script, |pod| pod["spec"]["terminationGracePeriodSeconds"] = json!(1)).await;
        world.until(name, "the start", |pod| pod["status"]["phase"] == "Running").await;
    }
    let stubborn = Key::new("default", "stubborn");
    world.pods().delete(&stubborn, &Delete::default()).await.expect("it is deleted");
    let forced = Key::new("default", "forced");
    let at_once = Delete { grace_seconds: Some(0), ..Delete::default() };
    world.pods().delete(&forced, &at_once).await.expect("it is deleted");
    world.until("stubborn", "the end", Value::is_null).await;
    world.is_clean().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_images_stay_pending_and_say_why() {
    if !may_run() {
        return;
    }
    let mut world = World::new().await;
    world.start();
    world.create("other", "true", |pod| pod["spec"]["containers"][0]["image"] = json!("nginx:1")).await;
    let pod = world
        .until("other", "the refusal", |pod| {
            pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "UnsupportedPod"
        })
        .await;
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(condition(&pod, "Ready").as_deref(), Some("False"));
    let events = Api::<Event>::new(&world.admin().client);
    let mut told = false;
    for _ in 0..100 {
        let list = events.list(&Select::default()).await.expect("events");
        told = list.iter().any(|event| event.reason.as_deref() == Some("UnsupportedPod"));
        if told {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(told, "an Event says it too");
    let key = Key::new("default", "other");
    world.pods().delete(&key, &Delete::default()).await.expect("it is deleted");
    world.until("other", "the end", Value::is_null).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_waited_for() {
    if !may_run() {
        return;
    }
    let mut world = World::new().await;
    put_image(&world);
    world.start();
    let change = |pod: &mut Value| {
        pod["spec"]["containers"][0]["env"] =
            json!([{ "name": "GREETING", "valueFrom": { "configMapKeyRef": { "name": "c", "key": "k" } } }]);
    };
    world.create("waits", "echo $GREETING", change).await;
    world
        .until("waits", "the trouble", |pod| {
            pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
                == "CreateContainerConfigError"
        })
        .await;
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" }, "data": { "k": "hello" } });
    Api::<ConfigMap>::new(&world.admin().client).create("default", &map).await.expect("it is created");
    let pod = world.until("waits", "success", |pod| pod["status"]["phase"] == "Succeeded").await;
    assert_eq!(world.log(pod["metadata"]["uid"].as_str().expect("a UID"), "compute").await, "hello\n");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_is_registered() {
    if !may_run() {
        return;
    }
    let mut world = World::new().await;
    world.start();
    let nodes = Api::<Node>::new(&world.admin().client);
    let mut found = None;
    for _ in 0..100 {
        found = nodes.find(&Key::cluster(NODE)).await.expect("the API answers");
        if found
            .as_ref()
            .and_then(|node| node.status.as_ref())
            .is_some_and(|status| status.conditions.is_some())
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let node = serde_json::to_value(found.expect("the Node")).expect("JSON");
    assert_eq!(condition(&node, "Ready").as_deref(), Some("True"), "{node:#}");
    assert_eq!(node["status"]["capacity"]["cpu"], "4");
    assert_eq!(node["status"]["allocatable"]["devices.kubevirt.io/kvm"], "0");
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], NODE);
    world.end().await;
}
