//! Commands that read and write objects, against a peer that has a few and records what is asked of it. The real server is
//! met end to end, in `tests/e2e`.

mod peer;

use std::process::Command;

use serde_json::{Value, json};

use peer::{Answer, Peer, answer, text};

fn machine(name: &str, strategy: &str, status: Value) -> Value {
    json!({
        "metadata": {"namespace": "default", "name": name, "uid": format!("uid-{name}"), "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"runStrategy": strategy, "template": {"spec": {"domain": {"memory": {"guest": "1Gi"}}}}},
        "status": status,
    })
}

const MACHINES: &str = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines";
const INSTANCES: &str = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances";

#[test]
fn machines_are_listed() {
    let running = json!({
        "metadata": {"namespace": "default", "name": "b", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"phase": "Running", "nodeName": "node-0", "interfaces": [{"ipAddress": "10.0.0.2"}]},
    });
    let list = json!([
        machine("a", "Halted", json!({"printableStatus": "Stopped"})),
        machine("b", "Always", json!({"printableStatus": "Running"}))
    ]);
    let peer = Peer::start(vec![
        answer("GET", MACHINES, 200, json!({"items": list})),
        answer("GET", "virtualmachines?labelSelector=app%3Dx", 200, json!({"items": []})),
        answer("GET", INSTANCES, 200, json!({"items": [running]})),
    ]);
    let lines: Vec<Vec<String>> = peer
        .says("list")
        .lines()
        .map(|line| line.split_whitespace().take(5).map(str::to_owned).collect())
        .collect();
    assert_eq!(lines[0], ["NAME", "STATUS", "INSTANCE", "ADDRESS", "NODE"]);
    assert_eq!(lines[1], ["a", "Stopped", "-", "-", "-"]);
    assert_eq!(lines[2], ["b", "Running", "Running", "10.0.0.2", "node-0"]);
    let listed: Value = serde_json::from_str(&peer.says("list -o json")).expect("JSON");
    assert_eq!(listed["items"][1]["addresses"], json!(["10.0.0.2"]));
    assert!(peer.says("ls b --output yaml --no-headers").contains("  status: Running\n"));
    assert!(peer.says("list -o wide b").contains("RUN STRATEGY"));
    assert_eq!(peer.says("list -l app=x"), "");
    assert_eq!(peer.refuses("list none"), "virtualmachines.kubevirt.io \"none\" not found\n");
    assert!(peer.refuses("list -o table").contains("unsupported output format: table"));
}

#[test]
fn what_machines_use_is_shown_as_far_as_it_is_known() {
    let instance = json!({
        "metadata": {"namespace": "default", "name": "b", "uid": "u1"},
        "spec": {"domain": {"cpu": {"cores": 2}, "memory": {"guest": "1Gi"}}},
        "status": {"phase": "Running", "nodeName": "node-0", "conditions": [{"type": "AgentConnected", "status": "True"}]},
    });
    let objects = |more: Vec<Answer>| {
        let list = json!([
            machine("a", "Halted", json!({"printableStatus": "Stopped"})),
            machine("b", "Always", json!({"printableStatus": "Running"}))
        ]);
        let mut answers = vec![
            answer("GET", MACHINES, 200, json!({"items": list})),
            answer("GET", INSTANCES, 200, json!({"items": [instance]})),
        ];
        answers.extend(more);
        Peer::start(answers)
    };
    let pods = json!({"items": [{
        "metadata": {"namespace": "default", "name": "p", "labels": {"kubevirt.io/created-by": "u1"}},
        "containers": [{"name": "compute", "usage": {"cpu": "1500m", "memory": "256Mi"}}]}]});
    let files = json!({"items": [{"diskName": "vda", "usedBytes": 1_048_576, "totalBytes": 4_194_304}]});
    let peer = objects(vec![
        answer(
            "GET",
            "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods?labelSelector=kubevirt.io%3Dvirt-launcher",
            200,
            pods,
        ),
        answer("GET", "/virtualmachineinstances/b/filesystemlist", 200, files),
    ]);
    let shown = peer.says("top");
    let cells: Vec<_> = shown.lines().nth(1).expect("a line").split_whitespace().take(8).collect();
    assert_eq!(cells, ["b", "1500m", "75%", "256Mi", "25%", "1Mi", "of", "4Mi"], "{shown}");
    let document: Value = serde_json::from_str(&peer.says("top -o json")).expect("JSON");
    assert_eq!(document["items"][0]["usage"]["memoryBytes"], 256 << 20);

    let output = objects(Vec::new()).run("top --once --sort name");
    assert!(text(&output.stdout).contains("b      -"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("install metrics-server"), "{}", text(&output.stderr));
}

#[test]
fn volumes_are_added_to_machines_or_to_instances_without_one() {
    let changed = json!(null);
    let peer = Peer::start(vec![
        answer(
            "GET",
            "/namespaces/default/persistentvolumeclaims/data",
            200,
            json!({"metadata": {"name": "data"}}),
        ),
        answer("GET", "/namespaces/default/datavolumes/disk", 200, json!({"metadata": {"name": "disk"}})),
        Answer { once: true, ..answer("PUT", "/virtualmachines/work/addvolume", 422, changed) },
        answer("PUT", "/virtualmachines/work/addvolume", 202, json!(null)),
        answer("PUT", "/virtualmachineinstances/alone/removevolume", 202, json!(null)),
        answer("PUT", "/virtualmachines/busy/removevolume", 422, json!(null)),
    ]);
    assert_eq!(
        peer.says("addvolume work --volume-name=data --bus=virtio"),
        "Successfully submitted add volume request to VM work for volume data\n"
    );
    let asked = peer.asked();
    let puts: Vec<_> = asked.iter().filter(|asked| asked.line.starts_with("PUT")).collect();
    assert_eq!(puts.len(), 2, "what changed meanwhile is asked again: {asked:?}");
    assert_eq!(
        puts[1].body,
        json!({
            "name": "data",
            "disk": {"name": "data", "disk": {"bus": "virtio"}, "serial": "data"},
            "volumeSource": {"persistentVolumeClaim": {"claimName": "data", "hotpluggable": true}},
        })
    );
    let said = peer.says("addvolume work --volume-name=disk --dry-run --persist");
    assert!(said.starts_with("Dry Run execution\n"), "{said}");
    let last = peer.asked().pop().expect("a request").body;
    assert_eq!(last["volumeSource"]["dataVolume"], json!({"name": "disk", "hotpluggable": true}));
    assert_eq!(last["dryRun"], json!(["All"]));
    assert_eq!(
        peer.says("removevolume alone --volume-name=data"),
        "Successfully submitted remove volume request to VM alone for volume data\n"
    );
    for (line, says) in [
        ("addvolume work", "required flag(s) \"volume-name\" not set\n"),
        ("addvolume --volume-name=x", "accepts 1 arg(s), received 0\n"),
        (
            "addvolume work --volume-name=none",
            "error adding volume, Volume none is not a DataVolume or PersistentVolumeClaim\n",
        ),
        ("removevolume busy --volume-name=x", "error removing volume after 15 retries\n"),
    ] {
        assert!(peer.refuses(line).ends_with(says), "{line}");
    }
}

#[test]
fn the_installation_shows_devices_and_takes_verbosity() {
    let installation = json!({"metadata": {"namespace": "kubevirt", "name": "kv"}, "spec": {"configuration": {
        "permittedHostDevices": {"pciHostDevices": [{"resourceName": "a/nic"}, {"resourceName": "a/disk"}],
                                 "mediatedDevices": [{"resourceName": "a/gpu"}]},
        "developerConfiguration": {"logVerbosity": {"virtHandler": 7}}}}});
    let peer = Peer::start(vec![
        answer("GET", "/apis/kubevirt.io/v1/namespaces/default/kubevirts", 200, json!({"items": []})),
        answer("GET", "/apis/kubevirt.io/v1/namespaces/empty/kubevirts", 200, json!({"items": []})),
        answer("GET", "/apis/kubevirt.io/v1/kubevirts", 200, json!({"items": [installation]})),
        answer("PATCH", "/namespaces/kubevirt/kubevirts/kv", 200, json!({})),
    ]);
    assert_eq!(
        peer.says("permitted-devices"),
        "Permitted Devices: \nHost Devices: \na/nic, a/disk \nGPU Devices: \na/gpu\n"
    );
    assert!(peer.says("permitted-devices -o yaml").starts_with("gpuDevices:\n- a/gpu\n"));
    assert_eq!(peer.refuses("permitted-devices -n empty"), "no KubeVirt resource in \"empty\" namespace\n");
    assert_eq!(peer.says("adm log-verbosity --virt-handler --virt-api"), "virt-api=2\nvirt-handler=7\n");
    peer.asked();
    assert_eq!(peer.says("adm log-verbosity --virt-api=3"), "successfully set/reset the log verbosity\n");
    let patch = &peer.asked()[1];
    assert_eq!(patch.body[0]["value"], json!({"virtHandler": 7, "virtAPI": 3}));
    assert!(peer.refuses("adm log-verbosity").contains("no flag specified - expecting at least one flag"));
    assert!(
        peer.refuses("adm log-verbosity --reset --all=3")
            .starts_with("if any flags in the group [reset all]")
    );
    assert!(peer.says("adm").contains("log-verbosity"));
}

#[test]
fn a_machine_that_does_not_run_is_explained() {
    let mut broken = machine("work", "Always", json!({"printableStatus": "ErrImagePull"}));
    broken["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]);
    let instance = json!({
        "metadata": {"namespace": "default", "name": "work", "uid": "u1", "creationTimestamp": "2026-01-01T00:00:01Z"},
        "spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
                             {"name": "c", "containerDisk": {"image": "r.example/i:1"}}]},
        "status": {"phase": "Scheduling", "conditions": [{"type": "Synchronized", "status": "False",
                   "reason": "ErrImagePull", "message": "r.example/i:1: manifest unknown"}]},
    });
    let event = |kind: &str, uid: &str, message: &str| {
        json!({"type": "Warning", "reason": "Failed", "message": message, "lastTimestamp": "2026-01-01T00:00:05Z",
               "involvedObject": {"kind": kind, "name": "work", "uid": uid}})
    };
    let events = json!({"items": [event("VirtualMachine", "uid-work", "of this machine"), event("VirtualMachine", "old", "of another")]});
    let peer = Peer::start(vec![
        answer("GET", "/virtualmachines/work", 200, broken),
        answer("GET", "/virtualmachineinstances/work", 200, instance),
        answer(
            "GET",
            "/virtualmachines/hidden",
            403,
            json!({"kind": "Status", "status": "Failure", "message": "not yours"}),
        ),
        answer(
            "GET",
            "pods?labelSelector=kubevirt.io%2Fcreated-by%3Du1",
            403,
            json!({"kind": "Status", "status": "Failure", "message": "not yours"}),
        ),
        answer(
            "GET",
            "/persistentvolumeclaims/data",
            200,
            json!({"metadata": {"name": "data", "uid": "c"}, "status": {"phase": "Bound"}}),
        ),
        answer("GET", "events?fieldSelector=involvedObject.name%3Dwork", 200, events),
        answer("GET", "events?fieldSelector=involvedObject.name%3Ddata", 200, json!({"items": []})),
    ]);
    let told = peer.says("explain-status work");
    assert!(told.starts_with("work does not run: the image r.example/i:1 does not exist.\n"), "{told}");
    for part in [
        "\nCause:\n  ErrImagePull: ",
        "\nNext:\n  Correct ",
        "\nTimeline:\n",
        "of this machine",
        "Pods: not yours",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(!told.contains("of another"), "{told}");
    let document: Value =
        serde_json::from_str(&peer.says("explain-status work --output=json")).expect("JSON");
    assert_eq!(document["status"], "ErrImagePull");
    assert!(
        peer.refuses("explain-status none").contains("there is no VirtualMachine none in namespace default")
    );
    assert_eq!(peer.refuses("explain-status hidden"), "error reading VirtualMachine hidden: not yours\n");
}

#[test]
fn a_doctor_looks_at_the_server_and_fails_for_what_nothing_works_without() {
    let groups = |names: &[&str]| {
        let groups: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"groups": groups})
    };
    let healthy = |groups: Value| {
        Peer::start(vec![
            answer("GET", "/version", 200, json!({"gitVersion": "v1.36.0"})),
            answer("POST", "/selfsubjectreviews", 201, json!({"status": {"userInfo": {"username": "me"}}})),
            answer("POST", "/selfsubjectaccessreviews", 201, json!({"status": {"allowed": true}})),
            answer("GET", "/apis", 200, groups),
        ])
    };
    let peer = healthy(groups(&["kubevirt.io", "subresources.kubevirt.io"]));
    let told = peer.says("doctor");
    for part in [
        "ok       server",
        "ok       user          the server knows you as me",
        "limited  API",
        "ok       rights",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let asked = peer.asked();
    let reviews = asked.iter().filter(|asked| asked.line.ends_with("/selfsubjectaccessreviews"));
    let attributes: Vec<_> = reviews.map(|asked| &asked.body["spec"]["resourceAttributes"]).collect();
    assert!(
        attributes
            .iter()
            .any(|asked| asked["resource"] == "virtualmachines" && asked["subresource"] == "start")
    );

    let empty = healthy(groups(&["apps"]));
    let output = empty.run("doctor -o json");
    assert_eq!((output.status.code(), text(&output.stderr).contains("checks failed")), (Some(1), true));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let grades = |told: &Value| {
        told["findings"].as_array().expect("findings").iter().filter(|f| f["grade"] == "fails").count()
    };
    assert_eq!(grades(&told), 2);

    let nobody = Command::new(env!("CARGO_BIN_EXE_virtctl"))
        .env_clear()
        .args(["doctor", "--server=http://127.0.0.1:1"])
        .output()
        .expect("virtctl starts");
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stdout).starts_with("FAILS    server"), "{}", text(&nobody.stdout));
}
