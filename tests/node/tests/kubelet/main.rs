//! The kubelet with the embedded API server and real Pods. A static shell stands for the launcher.

#![allow(clippy::panic, reason = "helpers of tests")]

mod world;

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Event, Node};
use kube_ext::{Api, Delete, Key, Patch, Select};
use serde_json::{Value, json};
use world::{NODE, World};

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
            // The second attempt, two seconds later, has the other word.
            waiting["reason"] == "ErrImagePull" || waiting["reason"] == "ImagePullBackOff"
        })
        .await;
    assert_eq!(pod["status"]["phase"], "Pending");
    world.put_image();
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
    world.until_log(&uid, "compute", "content").await;
    world.until_log(&uid, "follower", " from the guest\n").await;

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
    world.put_image();
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
    world.put_image();
    world.start();
    world.create("live", LIVE, |_| {}).await;
    world.until("live", "the start", |pod| pod["status"]["phase"] == "Running").await;
    world.stop().await;
    let record = kubelet::record::Record::all(&world.config().pods()).remove(0).1.expect("a record");
    let process = record.process.expect("a process").open().expect("it opens").expect("it runs");
    process.kill().expect("it is killed");
    assert!(process.wait(Duration::from_secs(60)));
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
    world.put_image();
    world.start();
    let script = "trap 'echo 0 > /var/run/data/exit-code; exit 0' TERM; echo heeds; while true; do busybox sleep 0.1; done";
    world.create("quiet", script, |_| {}).await;
    let pod = world.until("quiet", "the start", |pod| pod["status"]["phase"] == "Running").await;
    world.until_log(pod["metadata"]["uid"].as_str().expect("a UID"), "compute", "heeds\n").await;
    world.stop().await;
    let record = kubelet::record::Record::all(&world.config().pods()).remove(0).1.expect("a record");
    let process = record.process.expect("a process").open().expect("it opens").expect("it runs");
    process.terminate().expect("it is told to end");
    assert!(process.wait(Duration::from_secs(60)));
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
    world.put_image();
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

/// Serves files of the Pod's volume; ends with 0 when it is told to.
const SERVE: &str = "trap 'exit 0' TERM; busybox mkdir /var/run/data/www; \
    busybox httpd -p 8080 -h /var/run/data/www; while true; do busybox sleep 0.1; done";

#[tokio::test(flavor = "multi_thread")]
async fn a_probed_pod_is_ready_when_it_answers_and_ended_when_it_does_not() {
    if !may_run() {
        return;
    }
    let mut world = World::new().await;
    world.put_image();
    world.start();
    let probes = |pod: &mut Value| {
        let container = &mut pod["spec"]["containers"][0];
        container["ports"] = json!([{ "name": "web", "containerPort": 8080 }]);
        container["readinessProbe"] = json!({ "httpGet": { "port": "web", "path": "/ready" }, "periodSeconds": 1, "timeoutSeconds": 5 });
        container["livenessProbe"] = json!({ "httpGet": { "port": 8080, "path": "/alive" }, "initialDelaySeconds": 1,
            "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 600 });
        pod["spec"]["readinessGates"] = json!([]);
    };
    world.create("probed", SERVE, probes).await;
    let told = |pod: &Value| pod["status"]["conditions"].to_string();
    let pod = world
        .until("probed", "word of the readiness probe", |pod| told(pod).contains("statuscode: 404"))
        .await;
    assert_eq!(pod["status"]["containerStatuses"][0]["ready"], false);
    assert_eq!(condition(&pod, "ContainersReady").as_deref(), Some("False"));
    let uid = pod["metadata"]["uid"].as_str().expect("a UID");
    let pages = world.config().pods().join(uid).join("volumes/kubernetes.io~empty-dir/data/www");
    std::fs::write(pages.join("ready"), "").expect("a page");
    world.until("probed", "readiness", |pod| condition(pod, "Ready").as_deref() == Some("True")).await;

    // Another kubelet does not doubt what runs; nobody asks for the one page any more, and too many times for the other.
    world.stop().await;
    let key = Key::new("default", "probed");
    let ready = |pod: &Value| {
        pod["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "Ready").cloned()
    };
    let before = world.until("probed", "itself", |_| true).await;
    world.start();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let after = world.until("probed", "itself", |_| true).await;
    assert_eq!(ready(&before), ready(&after));
    world.pods().delete(&key, &Delete::default()).await.expect("it is deleted");
    world.until("probed", "the end", Value::is_null).await;

    let dies = |pod: &mut Value| {
        probes(pod);
        // Until it serves, it does not answer at all.
        pod["spec"]["containers"][0]["livenessProbe"]["failureThreshold"] = json!(10);
    };
    world.create("dies", SERVE, dies).await;
    let pod = world.until("dies", "the end", |pod| pod["status"]["phase"] == "Succeeded").await;
    let found = told(&pod);
    assert!(found.contains("Liveness probe failed: HTTP probe failed with statuscode: 404"), "{found}");
    assert_eq!(condition(&pod, "ironclad.local/not-alive").as_deref(), Some("True"));
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
    for _ in 0..1200 {
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
    world.put_image();
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
    world.until_log(pod["metadata"]["uid"].as_str().expect("a UID"), "compute", "hello\n").await;
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
    for _ in 0..1200 {
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
