//! A node whose agents are killed, that counts as lost, and comes back.

use std::time::Duration;

use e2e::agents::{Agent, administrator, handler_kubeconfig};
use e2e::{BLANK, blank, container_disk, machine};
use kit::{Installation, Options, Processes, until};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);
const NODE: &str = "node-away";

#[test]
fn a_node_that_comes_back_goes_on_with_the_machines_that_were_not_given_up() {
    // Signs of life come every ten seconds, on a busy machine later.
    let installation = Installation::start(Options { images: false, node_grace: 30, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    let mut agents = [
        Agent::start(&installation, "kubelet", NODE, &administrator(&installation)),
        Agent::start(&installation, "virt-handler", NODE, &handler_kubeconfig(&installation)),
    ];
    installation.apply(&placed("kept", 300));
    installation.apply(&placed("given-up", 0));
    let machines = ["kept", "given-up"].map(|name| {
        until(&format!("{name} runs"), PATIENCE, || is_ready(&installation, "vmi", name));
        let uid = uid(&installation, name);
        let processes = Processes::of(&uid).expect("its Pod runs");
        let hypervisor = processes.hypervisor().expect("its hypervisor runs");
        (uid, processes, hypervisor)
    });
    let [(kept, kept_processes, kept_hypervisor), (given_up, lost_processes, lost_hypervisor)] = machines;

    agents.iter_mut().for_each(Agent::kill);
    until("the node counts as lost", PATIENCE, || {
        condition(&get(&installation, "node", NODE), "Ready")["reason"] == "NodeStatusUnknown"
    });
    until("its machines are not ready", PATIENCE, || {
        !is_ready(&installation, "vmi", "kept") && !is_ready(&installation, "vmi", "given-up")
    });
    let is_evicted =
        || installation.list("pods").iter().any(|pod| pod["metadata"]["deletionTimestamp"].is_string());
    until("the one that endures nothing is evicted", PATIENCE, is_evicted);
    assert_eq!(uid(&installation, "given-up"), given_up, "nothing starts while the first may run");
    assert_eq!(kept_processes.hypervisor(), Some(kept_hypervisor));
    assert_eq!(lost_processes.hypervisor(), Some(lost_hypervisor), "nobody is there to end it");

    for agent in &mut agents {
        agent.start_again(&installation);
    }
    until("the node is back", PATIENCE, || {
        let node = get(&installation, "node", NODE);
        condition(&node, "Ready")["status"] == "True" && node["spec"]["taints"].is_null()
    });
    until("the machine that was kept is ready", PATIENCE, || is_ready(&installation, "vmi", "kept"));
    assert_eq!(uid(&installation, "kept"), kept, "the same instance");
    assert_eq!(kept_processes.hypervisor(), Some(kept_hypervisor), "the same guest");
    until("the other one is started anew", PATIENCE, || {
        uid(&installation, "given-up") != given_up && is_ready(&installation, "vmi", "given-up")
    });
    assert_eq!(lost_processes.hypervisor(), None, "its first guest has ended");
    assert_eq!(installation.list("pods").len(), 2, "one Pod each");
    installation
        .kubectl(&["delete", "vm", "--all", "--wait", "--timeout", "60s"])
        .expect("deleting the machines");
    until("nothing is left", PATIENCE, || installation.list("pods").is_empty());
}

/// A machine on [`NODE`] that endures the node's silence for so many seconds.
fn placed(name: &str, seconds: u32) -> String {
    let place = format!(
        "    spec:\n      nodeSelector: {{kubernetes.io/hostname: {NODE}}}\n      tolerations: [{{key: \
         node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: {seconds}}}]\n"
    );
    machine(name, &container_disk(BLANK)).replacen("    spec:\n", &place, 1)
}

fn get(installation: &Installation, kind: &str, name: &str) -> Value {
    installation.get(kind, "default", name).unwrap_or_default()
}

fn uid(installation: &Installation, name: &str) -> String {
    get(installation, "vmi", name)["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn condition(object: &Value, kind: &str) -> Value {
    let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

fn is_ready(installation: &Installation, kind: &str, name: &str) -> bool {
    let object = get(installation, kind, name);
    object["status"]["phase"] == "Running" && condition(&object, "Ready")["status"] == "True"
}
