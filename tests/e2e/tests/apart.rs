//! Kubelet and virt-handler as processes of their own, as in a cluster: each may die alone, and an agent with the wrong rights
//! says so.

use std::time::Duration;

use e2e::agents::{Agent, administrator, handler_kubeconfig};
use e2e::{BLANK, blank, configure, container_disk, control_plane, machine};
use kit::{Installation, Processes, kill, until};

const PATIENCE: Duration = Duration::from_secs(120);
const NODE: &str = "node-0";

#[test]
fn agents_apart_die_alone_and_say_what_they_may_not() {
    let installation = control_plane();
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    configure(&installation, r#"{"developerConfiguration":{"useEmulation":true}}"#);
    let mut kubelet = Agent::start(&installation, "kubelet", NODE, &administrator(&installation));

    // An administrator may do nearly everything, but is not the agent.
    let mut handler = Agent::start(&installation, "virt-handler", NODE, &administrator(&installation));
    installation.apply(&machine("apart", &container_disk(BLANK)));
    let told = || installation.events("apart", "StatusNotTaken");
    until("the agent says that its status is not taken", PATIENCE, || !told().is_empty());
    let account = "system:serviceaccount:kubevirt:kubevirt-handler";
    assert!(told().iter().all(|message| message.contains(account)), "{:?}", told());
    assert!(handler.log().contains("somebody else's rights"), "{}", handler.log());
    assert_ne!(phase(&installation), "Running");
    handler.kill();

    let own = handler_kubeconfig(&installation);
    let mut handler = Agent::start(&installation, "virt-handler", NODE, &own);
    until("the machine runs", PATIENCE, || phase(&installation) == "Running");
    let uid = uid(&installation);
    let processes = Processes::of(&uid).expect("its Pod runs");
    let hypervisor = processes.hypervisor().expect("its hypervisor runs");

    // The agent alone: what happens meanwhile is seen by the next one.
    handler.kill();
    let launcher = processes.launcher().expect("its supervisor runs");
    kill(launcher);
    until("another supervisor runs", PATIENCE, || {
        processes.launcher().is_some_and(|launcher_now| launcher_now != launcher)
    });
    let _handler = Agent::start(&installation, "virt-handler", NODE, &own);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(processes.hypervisor(), Some(hypervisor), "the guest goes on");
    assert_eq!(phase(&installation), "Running");

    // The kubelet alone: the agent tells of the machine's end without it, and the next one clears up.
    kubelet.kill();
    kill(hypervisor);
    until("the end is told", PATIENCE, || {
        let found = installation.get("vmi", "default", "apart").unwrap_or_default();
        found["metadata"]["uid"] != uid.as_str() || found["status"]["phase"] == "Failed"
    });
    let _kubelet = Agent::start(&installation, "kubelet", NODE, &administrator(&installation));
    until("the machine runs again", PATIENCE, || {
        self::uid(&installation) != uid && phase(&installation) == "Running"
    });
    installation
        .kubectl(&["delete", "vm", "apart", "--wait", "--timeout", "60s"])
        .expect("deleting the machine");
    until("its Pod is gone", PATIENCE, || installation.list("pods").is_empty());
}

fn phase(installation: &Installation) -> String {
    let instance = installation.get("vmi", "default", "apart").unwrap_or_default();
    instance["status"]["phase"].as_str().unwrap_or_default().to_owned()
}

fn uid(installation: &Installation) -> String {
    let instance = installation.get("vmi", "default", "apart").unwrap_or_default();
    instance["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}
