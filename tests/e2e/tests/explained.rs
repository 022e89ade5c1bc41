//! Machines that do not run, each for another reason: `virtctl explain-status` says which, and what to do.

use std::fs::File;
use std::process::{Child, Stdio};
use std::time::Duration;

use e2e::{BLANK, blank};
use kit::{Installation, Options, Output, Processes, kill, program, run, until, until_some};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);

/// The smallest machine, on the disk of an image.
fn machine(name: &str) -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": {"runStrategy": "Always", "template": {"spec": {
            "terminationGracePeriodSeconds": 0,
            "domain": {
                "memory": {"guest": "64Mi"},
                "devices": {
                    "autoattachGraphicsDevice": false,
                    "disks": [{"name": "d", "disk": {"bus": "virtio"}}],
                    "interfaces": [{"name": "default", "masquerade": {}}],
                },
            },
            "networks": [{"name": "default", "pod": {}}],
            "volumes": [{"name": "d", "containerDisk": {"image": BLANK}}],
        }}},
    })
}

/// A machine whose template has something else at a place.
fn other(name: &str, pointer: &str, value: Value) -> Value {
    let mut machine = machine(name);
    let (parent, field) = pointer.rsplit_once('/').expect("a place");
    let parent = machine.pointer_mut(&format!("/spec/template/spec{parent}")).expect("its parent");
    parent[field] = value;
    machine
}

/// A machine with another disk.
fn on(name: &str, source: &str, volume: Value) -> Value {
    other(name, "/volumes", json!([{"name": "d", source: volume}]))
}

fn claim(name: &str, mode: &str, class: Option<&str>) -> Value {
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": [mode], "resources": {"requests": {"storage": "64Mi"}}},
    });
    if let Some(class) = class {
        claim["spec"]["storageClassName"] = class.into();
    }
    claim
}

fn apply(installation: &Installation, objects: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    installation.apply(&list.to_string());
}

fn virtctl(installation: &Installation, line: &str) -> Output {
    let mut command = installation.client_program(&program("virtctl"));
    command.args(line.split_whitespace());
    run(command, None)
}

fn explained(installation: &Installation, name: &str) -> Value {
    let said = virtctl(installation, &format!("explain-status {name} --output json"));
    serde_json::from_str(&said.stdout).unwrap_or_default()
}

/// Waits until a machine is explained so: sentence, and a part of the next step.
#[track_caller]
fn says(installation: &Installation, name: &str, sentence: &str, next: &str) {
    let mut last = Value::Null;
    until(&format!("{name} is explained: {sentence}"), PATIENCE, || {
        let told = explained(installation, name);
        let fits = told["sentence"].as_str().is_some_and(|told| told.contains(sentence))
            && told["nextStep"].as_str().is_some_and(|told| told.contains(next));
        if told["sentence"] != last {
            eprintln!("{name}: {told:#}");
            last = told["sentence"].clone();
        }
        fits
    });
}

/// A broken machine: the objects that it is made of, the sentence, and a part of the next step.
type Case = (Vec<Value>, &'static str, &'static str);

fn cases() -> Vec<Case> {
    let mut halted = machine("halted");
    halted["spec"]["runStrategy"] = "Halted".into();
    let mut manual = machine("manual");
    manual["spec"]["runStrategy"] = "Manual".into();
    let mut held = machine("held");
    held["metadata"]["finalizers"] = json!(["example.com/keep"]);
    let with_claim =
        |name: &str| on(name, "persistentVolumeClaim", json!({"claimName": format!("{name}-data")}));
    vec![
        (vec![halted], "is switched off", "virtctl start halted"),
        (vec![manual], "is switched off", "virtctl start manual"),
        (
            vec![on("no-claim", "persistentVolumeClaim", json!({"claimName": "absent"}))],
            "does not run: the PersistentVolumeClaim absent does not exist in its namespace",
            "persistentVolumeClaim.claimName",
        ),
        (
            vec![claim("no-class-data", "ReadWriteOnce", Some("nowhere")), with_claim("no-class")],
            "does not run: its claim no-class-data asks for the class nowhere, which does not exist",
            "kubectl get storageclass",
        ),
        (
            vec![on("unreachable", "containerDisk", json!({"image": "127.0.0.1:1/none:1"}))],
            "does not run: the registry of the image 127.0.0.1:1/none:1 cannot be reached",
            "reachable",
        ),
        (
            vec![on("no-disk", "containerDisk", json!({"image": "test.local/none:1"}))],
            "does not run: one of its volumes cannot be used",
            "qemu-img convert",
        ),
        (
            vec![on("no-secret", "cloudInitNoCloud", json!({"secretRef": {"name": "absent"}}))],
            "does not run: its cloud-init or configuration disk cannot be made",
            "Secret",
        ),
        (
            vec![on("huge-disk", "emptyDisk", json!({"capacity": "900P"}))],
            "does not run: one of its disks cannot be made on the node",
            "smaller disk",
        ),
        (
            vec![other("memory", "/domain/memory/guest", json!("100Ti"))],
            "does not run: no node has the memory free that it asks for",
            "domain.memory.guest",
        ),
        (
            vec![other("processors", "/domain/resources", json!({"requests": {"cpu": "4000"}}))],
            "does not run: no node has the processors free that it asks for",
            "domain.cpu",
        ),
        (
            vec![other(
                "device",
                "/domain/resources",
                json!({"requests": {"example.com/card": "1"}, "limits": {"example.com/card": "1"}}),
            )],
            "does not run: no node has the device example.com/card free",
            "permitted-devices",
        ),
        (
            vec![other("labels", "/nodeSelector", json!({"disk": "nvme"}))],
            "does not run: no node has the labels that it asks for (disk=nvme)",
            "nodeSelector",
        ),
        (
            vec![other("low-limit", "/domain/resources", json!({"limits": {"memory": "32Mi"}}))],
            "does not run: its memory limit is below what its guest has",
            "limits.memory",
        ),
        (
            vec![other("unsupported", "/domain/cpu", json!({"cores": 1, "dedicatedCpuPlacement": true}))],
            "does not run: it asks for something that is not honoured here",
            "Remove the field",
        ),
        (
            vec![other("model", "/domain/cpu", json!({"cores": 1, "model": "Nonesuch"}))],
            "does not run: no machine can be as it is defined",
            "field that the cause names",
        ),
        (
            vec![other(
                "kernel",
                "/domain/firmware",
                json!({"kernelBoot": {"container": {"image": BLANK, "kernelPath": "/k"}}}),
            )],
            "does not run: its kernel cannot be booted",
            "domain.firmware.kernelBoot",
        ),
        (
            vec![other(
                "no-kernel",
                "/domain/firmware",
                json!({"kernelBoot": {"container": {"image": "127.0.0.1:1/kernel:1", "kernelPath": "/k"}}}),
            )],
            "does not run: the registry of the image 127.0.0.1:1/kernel:1 cannot be reached",
            "reachable",
        ),
        (
            vec![other("priority", "/priorityClassName", json!("absent"))],
            "does not run: its priority class does not exist",
            "priorityClassName",
        ),
        (vec![held], "runs, but its guest shows no sign of life", "virtctl console held"),
        (
            vec![other("paused", "/startStrategy", json!("Paused"))],
            "is paused: somebody paused it, or started it paused",
            "virtctl unpause vm paused",
        ),
        (
            vec![claim("first-data", "ReadWriteOnce", None), with_claim("first")],
            "runs, but its guest shows no sign of life",
            "virtctl console first",
        ),
    ]
}

#[test]
fn each_machine_says_why_it_does_not_run() {
    let installation = Installation::start(Options { images: false, boot_patience: 5, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    installation.load("test.local/none:1", &[("etc/motd", b"no disk here")]);
    let cases = cases();
    let objects: Vec<Value> = cases.iter().flat_map(|(objects, ..)| objects.clone()).collect();
    apply(&installation, &objects);
    for (objects, sentence, next) in &cases {
        let name = objects.last().and_then(|machine| machine["metadata"]["name"].as_str()).expect("a name");
        says(&installation, name, sentence, next);
    }

    // What others do to a machine.
    let second = on("second", "persistentVolumeClaim", json!({"claimName": "first-data"}));
    apply(&installation, &[second]);
    says(
        &installation,
        "second",
        "does not run: another machine uses one of its volumes",
        "Stop the other machine",
    );
    installation.kubectl(&["delete", "vm", "second", "--wait", "--timeout=300s"]).expect("ending it");
    installation.kubectl(&["delete", "vm", "held", "--wait=false"]).expect("deleting what is held");
    says(&installation, "held", "is being deleted", "finalizer");
    installation
        .kubectl(&["patch", "vm", "held", "--type=merge", "-p", r#"{"metadata":{"finalizers":[]}}"#])
        .expect("letting it go");
    let uid = until_some("the first machine has an instance", PATIENCE, || {
        let instance = installation.get("vmi", "default", "first")?;
        instance["metadata"]["uid"].as_str().map(str::to_owned)
    });
    kill(Processes::of(&uid).and_then(|processes| processes.hypervisor()).expect("its hypervisor runs"));
    says(&installation, "first", "its last run failed, and it is started again", "guest-console-log");

    installation.kubectl(&["create", "namespace", "narrow"]).expect("a namespace");
    installation
        .kubectl(&["create", "quota", "tight", "-n", "narrow", "--hard=requests.memory=1Mi"])
        .expect("a quota");
    let mut narrow = machine("narrow");
    narrow["metadata"]["namespace"] = "narrow".into();
    apply(&installation, &[narrow]);
    says(&installation, "narrow -n narrow", "the quota of its namespace has no room for it", "resourcequota");

    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small", "namespace": "ranged"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "32Mi"}}]}});
    installation.kubectl(&["create", "namespace", "ranged"]).expect("a namespace");
    let mut ranged = machine("ranged");
    ranged["metadata"]["namespace"] = "ranged".into();
    apply(&installation, &[range, ranged]);
    says(&installation, "ranged -n ranged", "than a LimitRange of its namespace allows", "limitrange");

    let listed = virtctl(&installation, "list --all-namespaces --output json").expect("a list");
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let names: Vec<_> = listed["items"].as_array().into_iter().flatten().map(|item| &item["name"]).collect();
    assert!(names.len() >= 20 && names.contains(&&json!("narrow")), "{names:?}");
    let doctor = virtctl(&installation, "doctor");
    assert!(doctor.success, "{}{}", doctor.stdout, doctor.stderr);
    assert!(doctor.stdout.contains("virtctl explain-status"), "{}", doctor.stdout);
    assert!(virtctl(&installation, "explain-status none").stderr.contains("there is no VirtualMachine none"));
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_machines_do_and_use_is_watched() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    // It begins before there is anything to see.
    let seen = installation.data_dir().parent().expect("a directory of the test").join("seen");
    let mut watch = installation.client_program(&program("virtctl"));
    watch.args(["list", "--watch"]).stdout(File::create(&seen).expect("a file")).stderr(Stdio::null());
    let _watch = Running(watch.spawn().expect("virtctl starts"));
    let seen = || std::fs::read_to_string(&seen).unwrap_or_default();
    until("the list has its header", PATIENCE, || seen().starts_with("NAME"));
    apply(&installation, &[machine("used")]);
    until("the list shows that it runs", PATIENCE, || seen().contains("Running"));
    let usage = until_some("the machine's use is known", PATIENCE, || {
        let shown = virtctl(&installation, "top --output json");
        let shown: Value = serde_json::from_str(&shown.stdout).ok()?;
        let usage = shown["items"][0]["usage"].clone();
        usage["cpuMilli"].is_number().then_some(usage)
    });
    assert!(usage["memoryBytes"].as_u64().is_some_and(|bytes| bytes > 8 << 20), "{usage}");
    let shown = virtctl(&installation, "top --once").expect("columns");
    assert!(shown.starts_with("NAME   CPU"), "{shown}");
    for line in [&["top", "pods"][..], &["top", "nodes"]] {
        let shown = installation.kubectl(line).expect("kubectl shows it, too");
        assert!(shown.contains("CPU(cores)") && shown.contains("Mi"), "{shown}");
    }
    installation.kubectl(&["delete", "vm", "used", "--wait=false"]).expect("deleting it");
    until("the list shows that it is gone", PATIENCE, || seen().contains("Deleted"));
}
