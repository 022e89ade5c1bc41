//! A node whose kubelet and agent are processes of their own, go, and come back.

use std::process::Child;
use std::time::Duration;

use e2e::{BLANK, blank, container_disk, machine};
use kit::{Installation, Options, Processes, until, until_some};

const PATIENCE: Duration = Duration::from_secs(120);
const NODE: &str = "node-0";

/// One component of the node.
struct Component<'a> {
    installation: &'a Installation,
    name: &'static str,
    process: Child,
}

impl<'a> Component<'a> {
    fn start(installation: &'a Installation, name: &'static str) -> Self {
        Self { installation, name, process: Self::spawn(installation, name) }
    }

    fn spawn(installation: &Installation, name: &str) -> Child {
        let path = installation.data_dir().join(format!("logs/{name}.log"));
        let log = std::fs::File::options().create(true).append(true).open(path).expect("a log");
        installation.component(&[name, "--node-name", NODE], log)
    }

    fn kill(&mut self) {
        self.process.kill().expect("killing a component");
        self.process.wait().expect("it ends");
    }

    fn again(&mut self) {
        self.process = Self::spawn(self.installation, self.name);
    }
}

impl Drop for Component<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path = self.installation.data_dir().join(format!("logs/{}.log", self.name));
            eprintln!("{}:\n{}", self.name, std::fs::read_to_string(path).unwrap_or_default());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn field(installation: &Installation, name: &str, pointer: &str) -> Option<String> {
    let instance = installation.get("vmi", "default", name)?;
    instance.pointer(pointer)?.as_str().map(str::to_owned)
}

#[test]
fn a_node_goes_and_comes_back() {
    let installation = Installation::start(Options { nodes: 0, images: false, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    // A control plane without nodes leaves open what its nodes can do.
    let emulate = r#"{"spec":{"configuration":{"developerConfiguration":{"useEmulation":true}}}}"#;
    installation
        .kubectl(&["patch", "kubevirt", "kubevirt", "-n", "kubevirt", "--type", "merge", "-p", emulate])
        .expect("the installation is configured");
    let mut kubelet = Component::start(&installation, "kubelet");
    let mut agent = Component::start(&installation, "virt-handler");

    let runs = |name: &str| field(&installation, name, "/status/phase").as_deref() == Some("Running");
    installation.apply(&machine("vm", &container_disk(BLANK)));
    until("the machine runs", PATIENCE, || runs("vm"));
    let uid = field(&installation, "vm", "/metadata/uid").expect("the instance is there");
    let processes = Processes::of(&uid).expect("its Pod runs");
    let hypervisor = processes.hypervisor();
    assert!(hypervisor.is_some(), "its hypervisor runs");

    // Without its agent the machine goes on, and what is asked meanwhile waits.
    agent.kill();
    installation.apply(&machine("meanwhile", &container_disk(BLANK)));
    until_some("the new machine gets as far as it can without an agent", PATIENCE, || {
        field(&installation, "meanwhile", "/status/phase").filter(|phase| phase == "Scheduled")
    });
    assert!(runs("vm"));
    agent.again();
    until("the new machine runs", PATIENCE, || runs("meanwhile"));

    // Neither end of the node is there; a machine is deleted meanwhile.
    agent.kill();
    kubelet.kill();
    installation.kubectl(&["delete", "vm", "meanwhile", "--wait=false"]).expect("deleting a machine");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(processes.hypervisor(), hypervisor, "the machine goes on");
    kubelet.again();
    agent.again();
    until("the deleted machine is gone", PATIENCE, || {
        installation.get("vmi", "default", "meanwhile").is_none()
            && installation.get("vm", "default", "meanwhile").is_none()
    });
    assert!(runs("vm"));
    assert_eq!(field(&installation, "vm", "/metadata/uid").as_ref(), Some(&uid), "the instance is the same");
    assert_eq!(processes.hypervisor(), hypervisor, "and so is its machine");
    let beat = installation.get("node", "default", NODE).expect("the node is there");
    assert!(beat["metadata"]["annotations"]["kubevirt.io/heartbeat"].is_string(), "{beat}");
    installation.kubectl(&["delete", "vm", "vm", "--timeout", "60s"]).expect("the machine goes");
    until("no Pod is left", PATIENCE, || installation.list("pods").is_empty());
}
