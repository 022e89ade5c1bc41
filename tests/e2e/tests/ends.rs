//! Machines that are deleted in every phase, killed as a whole, or lose their Pod: what is said, and that nothing stays.

use std::time::Duration;

use e2e::rough::{hypervisors, processes, runs};
use e2e::streams::Proxy;
use e2e::{BLANK, blank, container_disk, example, machine};
use kit::{Installation, Options, kill, until, until_some};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

/// The instance alone of [`machine`]: nobody replaces it.
fn alone(name: &str, volume: &str) -> String {
    let text = machine(name, volume);
    let (_, spec) = text.split_once("    spec:\n").expect("a template");
    let spec: String = spec
        .lines()
        .map(|line| line.strip_prefix("    ").unwrap_or(line))
        .fold(String::new(), |all, line| all + line + "\n");
    format!(
        "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\nmetadata: {{name: {name}}}\nspec:\n{spec}"
    )
}

fn instance(installation: &Installation, name: &str) -> Value {
    installation.get("vmi", "default", name).unwrap_or_default()
}

/// Returns the launcher Pod of an instance.
fn pod(installation: &Installation, name: &str) -> Option<Value> {
    let uid = instance(installation, name)["metadata"]["uid"].clone();
    let mut pods = installation.list("pods").into_iter();
    pods.find(|pod| pod["metadata"]["labels"]["kubevirt.io/created-by"] == uid)
}

#[test]
fn a_launcher_that_is_killed_is_told_of_at_once_by_its_signal() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    installation.apply(&alone("alone", &container_disk(BLANK)));
    installation.apply(&machine("kept", &container_disk(BLANK)));
    for name in ["alone", "kept"] {
        until(&format!("{name} runs"), PATIENCE, || runs(&installation, name));
        kill(processes(&installation, name).expect("its Pod runs").shim());
    }
    let signal = "it was killed by signal 9 (SIGKILL), and the guest with it";
    // First what is said only until another instance runs.
    until("the machine says how its instance ended", PATIENCE, || {
        installation.condition("vm", "kept", "Failure").is_some_and(|told| told.contains(signal))
    });
    until("the instance has failed", PATIENCE, || {
        instance(&installation, "alone")["status"]["phase"] == "Failed"
    });
    let failed = instance(&installation, "alone");
    let told = failed["status"]["reason"].as_str().unwrap_or_default();
    assert!(told.contains(signal) && told.contains("dmesg"), "{told}");
    until("an Event says the same", PATIENCE, || {
        installation.events("alone", "Stopped") == [told.to_owned()]
    });
    let pod = pod(&installation, "alone").expect("its Pod tells how it ended");
    assert_eq!(pod["status"]["phase"], "Failed");
    let end = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&end["exitCode"], &end["reason"]), (&137.into(), &"Error".into()), "{end}");
    // Written when its Pod ended, not when somebody's patience did.
    let failed_at = failed["status"]["phaseTransitionTimestamps"].as_array().and_then(|all| all.last());
    let failed_at =
        failed_at.map_or("", |last| last["phaseTransitionTimestamp"].as_str().unwrap_or_default());
    let seconds = |time: &str| time.get(17..19).and_then(|part| part.parse::<i64>().ok()).unwrap_or(-1);
    let late = (seconds(failed_at) - seconds(end["finishedAt"].as_str().unwrap_or_default())).rem_euclid(60);
    // The node's agent would be given 15 s.
    assert!(late < 15, "the Pod ended at {}, the instance at {failed_at}", end["finishedAt"]);
}

#[test]
fn a_machine_goes_from_every_phase_and_nothing_is_said_of_what_it_lacked() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    let missing = container_disk("test.local/never:1").replace("'}", "', imagePullPolicy: Never}");
    let elsewhere = container_disk(BLANK);
    installation
        .apply(&alone("pending", &elsewhere).replace("spec:\n", "spec:\n  nodeSelector: {no: such}\n"));
    installation.apply(&alone("scheduling", &missing));
    installation.apply(&alone("scheduled", "cloudInitNoCloud: {secretRef: {name: absent}}"));
    installation.apply(&alone("running", &elsewhere));
    installation.apply(&alone("forced", &elsewhere));
    installation.apply(&machine("starting", &elsewhere));
    // Stopped before anything of it can run.
    let halt = r#"{"spec": {"runStrategy": "Halted"}}"#;
    installation.kubectl(&["patch", "vm", "starting", "--type", "merge", "-p", halt]).expect("stopping");
    let says = |name: &str, kind: &str| installation.condition("vmi", name, kind).is_some();
    until("one says that no node takes it", PATIENCE, || says("pending", "PodScheduled"));
    until("one says that its image is missing", PATIENCE, || says("scheduling", "Synchronized"));
    until("one says that its secret is missing", PATIENCE, || says("scheduled", "Synchronized"));
    for name in ["running", "forced"] {
        until(&format!("{name} runs"), PATIENCE, || runs(&installation, name));
    }
    until("the machine is stopped", PATIENCE, || {
        installation
            .get("vm", "default", "starting")
            .is_some_and(|vm| vm["status"]["printableStatus"] == "Stopped")
    });
    assert_eq!(hypervisors("starting"), 0);

    let told = |name: &str| installation.events(name, "SyncFailed").len();
    for name in ["scheduling", "scheduled"] {
        until(&format!("an Event says what {name} lacks"), PATIENCE, || told(name) > 0);
    }
    let before = ["scheduling", "scheduled"].map(told);
    installation
        .kubectl(&["delete", "vmi", "pending", "scheduling", "scheduled", "running", "--timeout=60s"])
        .expect("they go, each from its phase");
    let forced = ["delete", "vmi", "forced", "--grace-period=0", "--force", "--timeout=60s"];
    installation.kubectl(&forced).expect("it goes by force");
    until("no Pod and no hypervisor is left", PATIENCE, || {
        installation.list("pods").is_empty() && hypervisors("running") + hypervisors("forced") == 0
    });
    assert_eq!(["scheduling", "scheduled"].map(told), before, "an end is no failure to start");
}

#[test]
fn a_machine_that_loses_its_pod_ends_and_one_that_restarts_goes_on() {
    let installation = Installation::start(Options::default());
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    installation.apply(&machine("robbed", &container_disk(BLANK)));
    let serves = "echo boot here > /dev/console; nc -ll -p 7777 -e /bin/sh > /dev/null 2>&1 &";
    installation.apply(
        &example("hello.yaml")
            .replace("runStrategy: Always", "runStrategy: RerunOnFailure")
            .replace("guest: 192Mi", "guest: 160Mi")
            .replace(r#"echo "GREETING" > /dev/console"#, serves),
    );

    until("it runs", PATIENCE, || runs(&installation, "robbed"));
    let first = instance(&installation, "robbed")["metadata"]["uid"].clone();
    let name = |pod: Option<Value>| pod.and_then(|pod| Some(pod["metadata"]["name"].as_str()?.to_owned()));
    let launcher = name(pod(&installation, "robbed")).expect("its Pod");
    let robbed = ["delete", "pod", &launcher, "--grace-period=0", "--force"];
    installation.kubectl(&robbed).expect("deleting the Pod by force");
    until("the instance says that its Pod is gone", PATIENCE, || {
        installation.events("robbed", "Stopped").iter().any(|told| told == "The launcher Pod is gone")
    });
    until("another instance runs, alone", PATIENCE, || {
        runs(&installation, "robbed")
            && instance(&installation, "robbed")["metadata"]["uid"] != first
            && hypervisors("robbed") == 1
    });

    let boots = || installation.console("default", "hello").matches("boot here").count();
    until("the guest is up", PATIENCE, || boots() == 1);
    let hypervisor = || processes(&installation, "hello").and_then(|processes| processes.hypervisor());
    let known = hypervisor();
    let proxy = Proxy::start(&installation);
    // It begins to listen after it has said that it is up.
    let open = || proxy.try_open("/hello/portforward/7777/tcp").ok();
    until_some("the guest listens", PATIENCE, open).send(b"reboot -f\n");
    until("the guest is up once more", PATIENCE, || boots() == 2);
    assert!(known.is_some() && hypervisor() == known, "a restart of the guest is none of its machine");
    assert!(installation.events("hello", "Stopped").is_empty());

    let launcher = name(pod(&installation, "hello")).expect("its Pod");
    installation.kubectl(&["delete", "pod", &launcher, "--wait=false"]).expect("deleting the Pod");
    until("the guest was asked and went", PATIENCE, || {
        installation.events("hello", "Stopped").iter().any(|told| told == "the guest shut down on request")
    });
    until("a machine that ended well is not replaced", PATIENCE, || {
        installation
            .get("vm", "default", "hello")
            .is_some_and(|vm| vm["status"]["printableStatus"] == "Stopped")
    });
}
