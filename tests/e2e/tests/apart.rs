//! Kubelet and virt-handler as processes of their own, as in a cluster: each may die alone, and an agent with the wrong rights
//! says so.

#![allow(clippy::panic, reason = "helpers of tests")]

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use e2e::{BLANK, blank, container_disk, control_plane, machine};
use kit::{Installation, Processes, kill, program, until};

const PATIENCE: Duration = Duration::from_secs(120);
const NODE: &str = "node-0";

#[test]
fn agents_apart_die_alone_and_say_what_they_may_not() {
    let installation = control_plane();
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    let settings = r#"{"spec":{"configuration":{"developerConfiguration":{"useEmulation":true}}}}"#;
    installation
        .kubectl(&["patch", "kubevirt", "kubevirt", "-n", "kubevirt", "--type", "merge", "-p", settings])
        .expect("configuring the installation");
    let mut kubelet = Agent::start(&installation, "kubelet", &installation.data_dir().join("kubeconfig"));

    // An administrator may do nearly everything, but is not the agent.
    let mut handler =
        Agent::start(&installation, "virt-handler", &installation.data_dir().join("kubeconfig"));
    installation.apply(&machine("apart", &container_disk(BLANK)));
    let told = || installation.events("apart", "StatusNotTaken");
    until("the agent says that its status is not taken", PATIENCE, || !told().is_empty());
    let account = "system:serviceaccount:kubevirt:kubevirt-handler";
    assert!(told().iter().all(|message| message.contains(account)), "{:?}", told());
    assert!(handler.log().contains("somebody else's rights"), "{}", handler.log());
    assert_ne!(phase(&installation), "Running");
    handler.kill();

    let own = own_kubeconfig(&installation);
    let mut handler = Agent::start(&installation, "virt-handler", &own);
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
    let _handler = Agent::start(&installation, "virt-handler", &own);
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
    let _kubelet = Agent::start(&installation, "kubelet", &installation.data_dir().join("kubeconfig"));
    until("the machine runs again", PATIENCE, || {
        self::uid(&installation) != uid && phase(&installation) == "Running"
    });
    installation
        .kubectl(&["delete", "vm", "apart", "--wait", "--timeout", "60s"])
        .expect("deleting the machine");
    until("its Pod is gone", PATIENCE, || installation.list("pods").is_empty());
}

/// One component of a node, killed at the end of the test.
struct Agent {
    process: Child,
    log: PathBuf,
}

impl Agent {
    fn start(installation: &Installation, component: &str, kubeconfig: &std::path::Path) -> Self {
        let log = installation.data_dir().join(format!("{component}.log"));
        let output = std::fs::File::create(&log).expect("a log");
        let mut command = installation.client_program(&program("ironclad"));
        command.args([component, "--node-name", NODE, "--kubeconfig"]).arg(kubeconfig);
        command.env("IRONCLAD_DATA_DIR", installation.data_dir());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        Self { process: command.spawn().expect("starting a component"), log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn kill(&mut self) {
        // One that has ended by itself has nothing to be killed, and the test finds out.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), self.log());
        }
        self.kill();
    }
}

/// Writes a kubeconfig with a token of the agent's own account.
fn own_kubeconfig(installation: &Installation) -> PathBuf {
    let account = ["kubevirt-handler", "-n", "kubevirt"];
    installation.kubectl(&[&["create", "serviceaccount"][..], &account].concat());
    let token = installation.kubectl(&[&["create", "token"][..], &account].concat()).expect("a token");
    let own = installation.data_dir().join("agent.kubeconfig");
    std::fs::copy(installation.data_dir().join("kubeconfig"), &own).expect("copying the kubeconfig");
    let path = own.to_str().expect("a path in UTF-8");
    let with = |words: &[&str]| {
        let words = [&["config", "--kubeconfig", path], words].concat();
        installation.kubectl(&words).expect("kubectl config");
    };
    with(&["set-credentials", "agent", "--token", token.trim()]);
    with(&["set-context", "--current", "--user", "agent"]);
    own
}

fn phase(installation: &Installation) -> String {
    let instance = installation.get("vmi", "default", "apart").unwrap_or_default();
    instance["status"]["phase"].as_str().unwrap_or_default().to_owned()
}

fn uid(installation: &Installation) -> String {
    let instance = installation.get("vmi", "default", "apart").unwrap_or_default();
    instance["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}
