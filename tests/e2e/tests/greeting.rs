//! The path of the demo: from a manifest to the guest's own words.

use std::time::Duration;

use e2e::example;
use kit::{Installation, Options, User, until, until_some};

/// A guest under emulation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

fn boots_and_greets(user: User) {
    let installation = Installation::start(Options { user, ..Options::default() });
    let greeting = format!("greetings number {}", std::process::id());
    installation.apply(&example("hello.yaml").replace("GREETING", &greeting));
    until("the guest greets", PATIENCE, || installation.console("default", "hello").contains(&greeting));

    until("the machine says that it runs and is ready", PATIENCE, || {
        let machine = installation.get("vm", "default", "hello").unwrap_or_default();
        machine["status"]["printableStatus"] == "Running" && machine["status"]["ready"] == true
    });
    let instance = installation.get("vmi", "default", "hello").expect("the instance is there");
    assert_eq!(instance["status"]["phase"], "Running");
    let address = until_some("the guest has an address", PATIENCE, || {
        let instance = installation.get("vmi", "default", "hello")?;
        instance["status"]["interfaces"][0]["ipAddress"].as_str().map(str::to_owned)
    });
    assert!(address.parse::<std::net::IpAddr>().is_ok(), "{address} is an address");

    installation
        .kubectl(&["delete", "vm", "hello", "--wait", "--timeout", "90s"])
        .expect("deleting the machine");
    until("its Pod is gone", Duration::from_secs(60), || installation.list("pods").is_empty());
    assert!(installation.get("vmi", "default", "hello").is_none(), "the instance is gone");
}

#[test]
fn a_machine_boots_and_greets_as_the_tests_own_user() {
    boots_and_greets(User::Own);
}

#[test]
fn a_machine_boots_and_greets_for_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("this run is an ordinary user's already: the other test shows it");
        return;
    }
    boots_and_greets(User::Ordinary);
}

#[test]
fn a_machine_boots_its_own_disk_through_uefi() {
    let installation = Installation::start(Options::default());
    installation.apply(&example("disk.yaml"));
    until("the guest greets", PATIENCE, || {
        installation.console("default", "disk").contains("booted from its own disk")
    });
}
