//! Real Pods on this host: a static shell stands for the launcher. The state of the host is compared before
//! and after.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kubelet::KubeletConfig;
use kubelet::builtin::BuiltinImage;
use kubelet::plan::{PodPlan, Sources};
use kubelet::record::Record;
use kubelet::runtime::{Jails, Life, Order, Runtime, remove_everything};
use network::pod::{NodeNetworkConfig, Uplink};
use serde_json::json;

const REPOSITORY: &str = "ironclad.local/shell";

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn helper() -> host::Helper {
    let test = std::env::current_exe().expect("the test's own path");
    let target = test.parent().and_then(Path::parent).expect("the target directory");
    host::Helper::new(target.join("examples/kubelet-helper"))
}

/// A process that holds the network namespace of a node, so that the host's own stays as it is.
struct NodeNamespace(Option<Child>);

impl NodeNamespace {
    fn new() -> Self {
        if !is_root() {
            return Self(None);
        }
        let mut child = Command::new("unshare")
            .args(["-n", "sh", "-c", "echo ready; exec sleep 900"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let mut ready = [0u8; 5];
        child.stdout.as_mut().expect("its output").read_exact(&mut ready).expect("it is ready");
        Self(Some(child))
    }

    fn path(&self) -> Option<PathBuf> {
        self.0.as_ref().map(|child| format!("/proc/{}/ns/net", child.id()).into())
    }

    fn run(&self, command: &[&str]) -> String {
        let Some(child) = &self.0 else { return String::new() };
        let output =
            Command::new("nsenter").args(["-n", "-t", &child.id().to_string()]).args(command).output();
        String::from_utf8(output.expect("it runs").stdout).expect("text")
    }
}

impl Drop for NodeNamespace {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn config(root: &Path, namespace: Option<PathBuf>) -> KubeletConfig {
    let shell = BuiltinImage {
        repository: REPOSITORY.into(),
        program: "/usr/bin/busybox".into(),
        path: "/usr/bin/busybox".into(),
        user: 107,
        programs: Vec::new(),
        files: Vec::new(),
        followers: vec!["virt-tail".into()],
        exit_code: Some("/var/run/data/exit-code".into()),
    };
    KubeletConfig {
        node: "node-0".into(),
        root: root.join("kubelet"),
        local_volumes: root.join("volumes"),
        helper: helper(),
        builtin: vec![shell],
        network: NodeNetworkConfig {
            instance: root.display().to_string(),
            node: 0,
            network: None,
            state: root.join("network"),
            namespace,
            uplink: if is_root() { Uplink::Bridge } else { Uplink::Pasta },
            peers: Vec::new(),
        },
        cluster_dns: None,
        resolv_conf: None,
        cgroup: format!("ironclad-test-{}", root.file_name().expect("a name").to_string_lossy()),
        image_space: None,
        kvm: false,
        address: [127, 0, 0, 1].into(),
        release: "v0.1.0".into(),
        cpus: None,
        memory_bytes: None,
    }
}

/// What a Pod could leave behind on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HostState {
    mounts: Vec<String>,
    links: String,
    rules: String,
    groups: Vec<PathBuf>,
    files: Vec<PathBuf>,
    processes: Vec<String>,
}

fn host_state(root: &Path, node: &NodeNamespace, cgroup: &str) -> HostState {
    let mut groups = Vec::new();
    let mut look = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = look.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy() == cgroup {
                    groups.push(entry.path());
                }
                look.push(entry.path());
            }
        }
    }
    let processes = std::fs::read_dir("/proc").expect("processes").flatten().filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(&root.display().to_string()).then_some(line)
    });
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    HostState {
        mounts: mounts.lines().map(str::to_owned).collect(),
        links: node.run(&["ip", "-o", "link"]),
        rules: node.run(&["nft", "list", "ruleset"]),
        groups,
        files: std::fs::read_dir(root).expect("files").flatten().map(|entry| entry.path()).collect(),
        processes: processes.collect(),
    }
}

fn order(config: &KubeletConfig, uid: &str, script: &str, images: Vec<(String, PathBuf)>) -> Order {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": "shell", "namespace": "default", "uid": uid },
        "spec": {
            "containers": [{
                "name": "compute",
                "image": format!("{REPOSITORY}:1"),
                "command": ["/usr/bin/busybox", "sh", "-c", script],
                "resources": { "limits": { "memory": "64Mi", "cpu": "500m" } },
                "volumeMounts": [
                    { "name": "data", "mountPath": "/var/run/data" },
                    { "name": "disk", "mountPath": "/var/run/disk" },
                    { "name": "config", "mountPath": "/etc/config" },
                ],
            }],
            "volumes": [
                { "name": "data", "emptyDir": {} },
                { "name": "disk", "image": { "reference": "registry.example/disk:1" } },
                { "name": "config", "configMap": { "name": "c" } },
            ],
        },
    }))
    .expect("a Pod");
    let mut sources = Sources::default();
    sources.config_maps.insert("c".into(), BTreeMap::from([("greeting".into(), b"hello".to_vec())]));
    Order {
        uid: uid.into(),
        namespace: "default".into(),
        name: "shell".into(),
        plan: PodPlan::of(&pod, &sources, &config.builtin).expect("a plan"),
        images,
        clock: Arc::new(effects::SystemClock),
    }
}

async fn ends(jails: &Jails, record: &Record) -> Life {
    tokio::time::timeout(Duration::from_secs(60), jails.ended(record)).await.expect("it ends in time");
    jails.life(record).await
}

fn may_run() -> bool {
    if !is_root() && std::fs::File::options().read(true).write(true).open("/dev/net/tun").is_err() {
        eprintln!("SKIPPED: /dev/net/tun is not open to this user");
        return false;
    }
    true
}

fn temporary_root() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).expect("it opens");
    root
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_and_leaves_nothing_behind() {
    if !may_run() {
        return;
    }
    let root = temporary_root();
    let node = NodeNamespace::new();
    let config = config(root.path(), node.path());
    let before = host_state(root.path(), &node, &config.cgroup);
    let image = root.path().join("image");
    std::fs::create_dir(&image).expect("an image");
    std::fs::write(image.join("disk.img"), "content").expect("a file");
    let jails = Jails::prepare(&config).expect("the host is ready");
    let script = "busybox cat /etc/config/greeting; echo; busybox cat /var/run/disk/disk.img; echo; \
        echo x > /var/run/disk/y || echo image-is-read-only; echo data > /var/run/data/out; \
        busybox ifconfig eth0 | busybox grep -o 'addr:[0-9][0-9.]*'; busybox id -u; exec busybox sleep 300";
    let order = order(&config, "uid-1", script, vec![("disk".into(), image.clone())]);
    let record = jails.start(order).await.expect("the Pod starts");
    assert_eq!(jails.life(&record).await, Life::Running);
    let address = record.address.expect("an address");
    let log = config.pods().join("uid-1/containers/compute/0.log");
    let expected = format!("hello\ncontent\nimage-is-read-only\naddr:{address}\n107\n");
    for _ in 0..1200 {
        if std::fs::read_to_string(&log).is_ok_and(|text| text.ends_with("107\n")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let text = std::fs::read_to_string(&log).expect("a log");
    let said: Vec<&str> = text.lines().filter(|line| !line.contains("can't create")).collect();
    assert_eq!(said, expected.lines().collect::<Vec<_>>());
    let volume = config.pods().join("uid-1/volumes/kubernetes.io~empty-dir/data/out");
    assert_eq!(std::fs::read_to_string(volume).expect("what the Pod wrote"), "data\n");

    // Another kubelet process takes over what runs.
    let next = Jails::prepare(&config).expect("the host is ready");
    assert_eq!(next.adopt().await, std::slice::from_ref(&record));
    next.kill(&record).await.expect("it is killed");
    let life = ends(&next, &record).await;
    assert_eq!(life, Life::Ended(Some(137)));
    next.release(&record).await.expect("it is released");
    next.forget("uid-1").await.expect("it is forgotten");
    assert!(!config.pods().join("uid-1").exists());
    drop((jails, next));
    remove_everything(&config).expect("all is removed");
    std::fs::remove_dir_all(image).expect("the image is removed");
    std::fs::remove_dir_all(&config.network.state).expect("the network's state is removed");
    // Others mount and unmount meanwhile: what was there may be gone, and what came goes again. Processes that were killed
    // may take a moment, too.
    let look = || {
        let mut now = host_state(root.path(), &node, &config.cgroup);
        now.mounts.retain(|mount| !before.mounts.contains(mount));
        now
    };
    let expected = HostState { mounts: Vec::new(), ..before.clone() };
    let mut after = look();
    for _ in 0..1200 {
        if after == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        after = look();
    }
    assert_eq!(after, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_seen_with_its_code() {
    if !may_run() {
        return;
    }
    let root = temporary_root();
    let node = NodeNamespace::new();
    let config = config(root.path(), node.path());
    let jails = Jails::prepare(&config).expect("the host is ready");
    let images = vec![("disk".into(), root.path().to_owned())];
    let record = jails.start(order(&config, "uid-2", "exit 3", images)).await.expect("the Pod starts");
    assert_eq!(ends(&jails, &record).await, Life::Ended(Some(3)));
    jails.forget("uid-2").await.expect("it is forgotten");
    drop(jails);
    remove_everything(&config).expect("all is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_names_the_cause_and_leaves_nothing() {
    if !may_run() {
        return;
    }
    let root = temporary_root();
    let node = NodeNamespace::new();
    let config = config(root.path(), node.path());
    let jails = Jails::prepare(&config).expect("the host is ready");
    let mut order = order(&config, "uid-3", "true", vec![("disk".into(), root.path().to_owned())]);
    order.plan.arguments[0] = "/bin/absent".into();
    let error = jails.start(order).await.expect_err("it cannot start");
    assert_eq!(error.reason, "CreateContainerError");
    assert!(error.message.contains("/bin/absent"), "{error}");
    assert!(!config.pods().join("uid-3").exists());
    assert_eq!(jails.adopt().await, []);
    drop(jails);
    remove_everything(&config).expect("all is removed");
}

#[test]
fn pods_run_for_an_ordinary_user_too() {
    if !is_root() {
        return;
    }
    for test in ["a_pod_runs_and_leaves_nothing_behind", "a_failed_start_names_the_cause_and_leaves_nothing"]
    {
        let status = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(std::env::current_exe().expect("the test's own path"))
            .args(["--exact", test, "--nocapture"])
            .status()
            .expect("setpriv runs");
        assert!(status.success(), "{test}");
    }
}
