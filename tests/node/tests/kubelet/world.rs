//! A node of a cluster: the embedded API server, a kubelet that comes and goes, and what its Pods are made of.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apiserver::{ApiServer, auth};
use effects::{SystemClock, SystemEntropy};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube_ext::{Api, Context, Key, in_process};
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

pub(crate) const SHELL: &str = "ironclad.local/shell:1";
pub(crate) const NODE: &str = "node-1";

/// Images that are there once a test puts them there.
#[derive(Default)]
struct Shelf(Mutex<Option<PathBuf>>);

#[async_trait::async_trait]
impl Images for Shelf {
    async fn is_here(&self, _: &str, _: &Pull) -> bool {
        self.0.lock().expect("no test panics while it holds it").is_some()
    }

    async fn ensure(&self, reference: &str, _: &Pull, _: &Path) -> Result<Unpacked, ImageError> {
        let content = self.0.lock().expect("no test panics while it holds it");
        match &*content {
            Some(directory) => {
                Ok(Unpacked { directory: directory.clone(), digest: "sha256:00".into(), note: None })
            }
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
pub(crate) struct World {
    root: tempfile::TempDir,
    namespace: Option<Child>,
    server: ApiServer,
    images: Arc<Shelf>,
    kubelet: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).expect("it opens");
        let namespace = rustix::process::geteuid().is_root().then(|| {
            let mut child = Command::new("unshare")
                .args(["-n", "sh", "-c", "echo ready; exec sleep 900"])
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

    pub(crate) fn config(&self) -> KubeletConfig {
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
            cluster_dns: None,
            resolv_conf: None,
            cgroup: format!("ironclad-test-{}", root.file_name().expect("a name").to_string_lossy()),
            image_space: None,
            kvm: false,
            address: [127, 0, 0, 1].into(),
            release: "v0.1.0".into(),
            cpus: Some(4),
            memory_bytes: None,
        }
    }

    pub(crate) fn context(&self, identity: UserInfo) -> Context {
        let client = in_process(self.server.in_process(identity), "kubelet");
        Context::new(client, Arc::new(SystemClock), Arc::new(SystemEntropy))
    }

    pub(crate) fn admin(&self) -> Context {
        self.context(auth::identity::administrator("test"))
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::new(&self.admin().client)
    }

    pub(crate) fn start(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let context = self.context(auth::identity::node(NODE));
        let (config, images) = (self.config(), self.images.clone());
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            kubelet::run(config, context, images, stopped).await.expect("the kubelet runs");
        });
        self.kubelet = Some((stop, task));
    }

    pub(crate) async fn stop(&mut self) {
        if let Some((stop, task)) = self.kubelet.take() {
            let _ = stop.send(());
            task.await.expect("it ends");
        }
    }

    /// Puts a Pod that runs `script` on the node.
    pub(crate) async fn create(&self, name: &str, script: &str, change: impl FnOnce(&mut Value)) {
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
    pub(crate) async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let key = Key::new("default", name);
        let mut last = Value::Null;
        for _ in 0..2400 {
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

    /// Waits until a container has printed `wanted`, and nothing else.
    pub(crate) async fn until_log(&self, uid: &str, container: &str, wanted: &str) {
        let mut last = String::new();
        for _ in 0..2400 {
            last = self.log(uid, container).await;
            if last == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{container} has not printed {wanted:?}, but {last:?}");
    }

    async fn log(&self, uid: &str, container: &str) -> String {
        let options = LogOptions { container: container.into(), ..LogOptions::default() };
        let stream = kubelet::logs::read(self.config().pods(), uid, options).await.expect("a log");
        let parts: Vec<_> = stream.try_collect().await.expect("it is read");
        String::from_utf8(parts.concat()).expect("text")
    }

    /// Waits until no process mentions the world's directory, and only the API's own files are left.
    pub(crate) async fn is_clean(&self) {
        let pods = self.config().pods();
        for _ in 0..1200 {
            let left = std::fs::read_dir(&pods).into_iter().flatten().count();
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("something is left in {}", pods.display());
    }

    pub(crate) async fn end(mut self) {
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

impl World {
    /// Puts the image that every Pod asks for on the shelf.
    pub(crate) fn put_image(&self) {
        let image = self.root.path().join("image");
        std::fs::create_dir_all(&image).expect("an image");
        std::fs::write(image.join("disk.img"), "content").expect("a file");
        *self.images.0.lock().expect("no test panics while it holds it") = Some(image);
    }
}
