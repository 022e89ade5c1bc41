//! Everything of ours may be killed; the guest goes on and the status is right again.

use std::time::Duration;

use e2e::alive::{self, Session};
use e2e::rough::{self, runs};
use e2e::{BLANK, blank, container_disk, machine};
use kit::{Installation, Options, Processes, break_connections, kill, until, until_some};

const PATIENCE: Duration = Duration::from_secs(120);
#[test]
fn a_guest_and_its_connections_outlive_everything_of_ours() {
    let installation = Installation::start(Options::default());
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    // Beside the one behind its Pod, one with its Pod's own address, whose guest never boots.
    installation.apply(&machine("bridged", &container_disk(BLANK)).replace("masquerade: {}", "bridge: {}"));
    installation.apply(&alive::manifest());
    until("the bridged machine runs", PATIENCE, || runs(&installation, "bridged"));
    let bridged = || {
        let instance = installation.get("vmi", "default", "bridged").unwrap_or_default();
        let processes =
            rough::processes(&installation, "bridged").and_then(|processes| processes.hypervisor());
        (instance["metadata"]["uid"].clone(), instance["status"]["interfaces"][0].clone(), processes)
    };
    let known = bridged();
    assert!(known.2.is_some(), "its hypervisor runs");
    until("the guest counts", PATIENCE, || uptimes(&installation).len() > 1);
    let uid = text(&installation, "/metadata/uid");
    let processes = Processes::of(&uid).expect("its Pod runs");
    let hypervisor = processes.hypervisor().expect("its hypervisor runs");
    let launcher = || until_some("its supervisor runs", PATIENCE, || processes.launcher());
    // Without root, nobody reaches the guest but by port-forward; that it counts on has to do.
    let is_root = rustix::process::geteuid().is_root();
    let address = until_some("the instance shows its address", PATIENCE, || {
        Some(text(&installation, "/status/interfaces/0/ipAddress")).filter(|address| !address.is_empty())
    });
    let mut session = is_root.then(|| Session::open(&address));

    let accidents: [(&str, &dyn Fn()); 4] = [
        ("the supervisor is killed", &|| {
            let before = launcher();
            kill(before);
            until("another one runs", PATIENCE, || processes.launcher().is_some_and(|now| now != before));
        }),
        ("the hypervisor's control connection breaks", &|| {
            if !is_root {
                eprintln!("skipped: only root may reach into another process");
                return;
            }
            // A supervisor that has just come makes it in its own time.
            let broken = until_some("there is such a connection", PATIENCE, || {
                Some(break_connections(launcher(), "qmp.sock")).filter(|broken| *broken > 0)
            });
            assert_eq!(broken, 1, "there is one such connection");
        }),
        ("everything but the guest is killed", &|| {
            kill(launcher());
            let other = rough::processes(&installation, "bridged").and_then(|processes| processes.launcher());
            kill(other.expect("its supervisor runs"));
            installation.kill();
            installation.up();
        }),
        ("the control plane is killed as soon as it stands", &|| {
            installation.kill();
            installation.up();
            installation.kill();
            installation.up();
        }),
    ];
    for (accident, strike) in accidents {
        let before = uptimes(&installation).len();
        strike();
        if let Some(session) = &mut session {
            session.check(accident);
        }
        until(&format!("{accident}: the guest goes on"), PATIENCE, || {
            uptimes(&installation).len() > before + 1
        });
        until(&format!("{accident}: the instance is ready"), PATIENCE, || {
            text(&installation, "/status/phase") == "Running" && is_ready(&installation)
        });
        assert_eq!(text(&installation, "/metadata/uid"), uid, "{accident}: the instance is the same");
        assert_eq!(processes.hypervisor(), Some(hypervisor), "{accident}: so is the hypervisor");
        until(&format!("{accident}: the bridged machine is ready"), PATIENCE, || {
            runs(&installation, "bridged")
        });
        assert_eq!(bridged(), known, "{accident}: so is the bridged machine");
    }
    let told = uptimes(&installation);
    assert!(told.is_sorted(), "the guest was not started again: {told:?}");
    let console = installation.console("default", "hello");
    assert_eq!(console.matches("guest: userspace up").count(), 1, "it booted once:\n{console}");

    // The new supervisor drives the machine as the first one would: its power button works.
    installation
        .kubectl(&["delete", "vm", "hello", "bridged", "--wait", "--timeout", "90s"])
        .expect("deleting the machines");
    until("its Pod is gone", Duration::from_secs(60), || installation.list("pods").is_empty());
}

#[test]
fn an_acknowledged_write_outlives_the_api_server() {
    let installation = Installation::start(Options { nodes: 0, images: false, ..Options::default() });
    for number in 0..20 {
        installation
            .kubectl(&["create", "configmap", &format!("kept-{number}")])
            .expect("creating an object");
    }
    installation.kill();
    installation.up();
    let kept = installation.list("configmaps");
    let count = kept
        .iter()
        .filter(|object| object["metadata"]["name"].as_str().is_some_and(|n| n.starts_with("kept-")))
        .count();
    assert_eq!(count, 20);
}

/// Uptimes in seconds that the guest has told.
fn uptimes(installation: &Installation) -> Vec<u32> {
    alive::uptimes(&installation.console("default", "hello"))
}

fn text(installation: &Installation, pointer: &str) -> String {
    let instance = installation.get("vmi", "default", "hello").unwrap_or_default();
    instance.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}

fn is_ready(installation: &Installation) -> bool {
    let instance = installation.get("vmi", "default", "hello").unwrap_or_default();
    let conditions = instance["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
