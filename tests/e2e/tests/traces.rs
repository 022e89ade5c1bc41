//! After a machine is deleted, nothing of it is left on the host.

use std::time::Duration;

use e2e::example;
use kit::{Installation, MachineState, Options, until, until_none};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_deleted_machine_leaves_nothing_behind() {
    let installation = Installation::start(Options::default());
    let nodes = installation.data_dir().join("nodes");
    let manifest = example("hello.yaml");
    // The first machine also makes what the node keeps for all machines: the bridge, the NAT table, unpacked images.
    run_once(&installation, &manifest);
    let before = MachineState::take(&[&nodes]);
    run_once(&installation, &manifest);
    until_none("nothing is left", PATIENCE, || MachineState::take(&[&nodes]).left_behind(&before));
}

#[test]
fn down_removes_everything_that_up_made() {
    let before = MachineState::take(&[]);
    let installation = Installation::start(Options::default());
    let manifest = example("hello.yaml");
    installation.apply(&manifest);
    until("the machine runs", PATIENCE, || phase(&installation) == "Running");
    let data = installation.data_dir();
    installation.down();
    assert!(!data.exists(), "{} is gone", data.display());
    until_none("nothing is left", PATIENCE, || MachineState::take(&[]).left_behind(&before));
}

fn run_once(installation: &Installation, manifest: &str) {
    installation.apply(manifest);
    until("the guest is up", PATIENCE, || {
        installation.console("default", "hello").contains("guest: userspace up")
    });
    installation
        .kubectl(&["delete", "vm", "hello", "--wait", "--timeout", "90s"])
        .expect("deleting the machine");
    until("its Pod is gone", PATIENCE, || installation.list("pods").is_empty());
}

fn phase(installation: &Installation) -> String {
    installation
        .get("vmi", "default", "hello")
        .and_then(|instance| instance["status"]["phase"].as_str().map(str::to_owned))
        .unwrap_or_default()
}
