//! The disk below the API's own data: full. What was acknowledged stays, machines run on, and writing works again
//! as soon as the disk does.

use std::time::Duration;

use e2e::{BLANK, blank, container_disk, machine};
use kit::{Installation, Options, until, until_some};

const PATIENCE: Duration = Duration::from_secs(120);
/// More than a page of the store, so that a few fill what is left.
const CONTENT: usize = 100_000;

fn needs_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can mount a file system of its own");
    }
    is_root
}

/// Creates ConfigMaps until one is refused; returns those that were acknowledged, and the refusal.
fn create_until_refused(installation: &Installation, prefix: &str) -> (Vec<String>, String) {
    let content = format!("--from-literal=x={}", "x".repeat(CONTENT));
    let mut acknowledged = Vec::new();
    for number in 0..200 {
        let name = format!("{prefix}-{number}");
        let output = installation.kubectl(&["create", "configmap", &name, &content]);
        if !output.success {
            return (acknowledged, output.stderr);
        }
        acknowledged.push(name);
    }
    unreachable!("the disk takes more than it has")
}

fn has_all(installation: &Installation, names: &[String]) {
    let there = installation.list("configmaps");
    let is_there = |name: &String| there.iter().any(|object| object["metadata"]["name"] == **name);
    for name in names {
        assert!(is_there(name), "{name} was acknowledged and is gone");
    }
}

#[test]
fn a_full_data_directory_refuses_writes_and_goes_on() {
    if !needs_root() {
        return;
    }
    // Images are only taken while 256 MiB are free.
    let small = &[("", 400)];
    let installation = Installation::start(Options { images: false, small, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    installation.apply(&machine("vm", &container_disk(BLANK)));
    let started = || {
        let pods = installation.list("pods");
        let name = pods.first().map(|pod| pod["metadata"]["name"].to_string());
        let running = installation
            .get("vmi", "default", "vm")
            .is_some_and(|instance| instance["status"]["phase"] == "Running");
        name.filter(|_| running)
    };
    let pod = until_some("the machine runs", PATIENCE, started);
    let control_plane = installation.pid();

    installation.disk("").fill(0);
    let (acknowledged, refusal) = create_until_refused(&installation, "full");
    assert!(refusal.contains("no space is left for the store") && refusal.contains("free some"), "{refusal}");
    // Long enough for every component to have tried to write, its log included: it is on the same disk.
    let log = installation.data_dir().join("logs/ironclad.log");
    let before = std::fs::metadata(&log).expect("a log").len();
    std::thread::sleep(Duration::from_secs(15));
    assert_eq!(installation.pid(), control_plane);
    has_all(&installation, &acknowledged);
    assert_eq!(started().as_ref(), Some(&pod), "the machine noticed");

    installation.disk("").clear();
    until("writing works again", PATIENCE, || {
        installation.kubectl(&["create", "configmap", "after", "--from-literal=x=y"]).success
    });
    assert_eq!(installation.pid(), control_plane, "it did not start again: it went on");
    assert!(std::fs::metadata(&log).expect("a log").len() >= before);
    installation.kill();
    installation.up();
    has_all(&installation, &[acknowledged, vec!["after".to_owned()]].concat());
    assert_eq!(started().as_ref(), Some(&pod));
}
