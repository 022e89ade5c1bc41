//! Processes that are killed, and a hypervisor that is not there.

use std::time::Duration;

use e2e::{BLANK, blank, container_disk, example, machine};
use kit::{Installation, Options, Processes, kill, until, until_some};

const PATIENCE: Duration = Duration::from_secs(120);
const HYPERVISOR: &str = "/usr/bin/qemu-system-x86_64";

fn phase(installation: &Installation, name: &str) -> Option<String> {
    let instance = installation.get("vmi", "default", name)?;
    instance["status"]["phase"].as_str().map(str::to_owned)
}

fn uid(installation: &Installation, name: &str) -> Option<String> {
    let instance = installation.get("vmi", "default", name)?;
    instance["metadata"]["uid"].as_str().map(str::to_owned)
}

fn runs(installation: &Installation, name: &str) {
    until(&format!("{name} runs"), PATIENCE, || phase(installation, name).as_deref() == Some("Running"));
}

#[test]
fn a_killed_supervisor_is_replaced_and_a_killed_hypervisor_is_started_anew() {
    let installation = Installation::start(Options::default());
    let manifest = example("hello.yaml");
    // The guest counts, and asks for its address again with every step: `obtained` comes with an answer only.
    let count = "(while sleep 1; do echo alive > /dev/console; udhcpc -f -n -q -t 3 -i eth0 2>&1 | grep obtained > /dev/console; done) &";
    installation.apply(&manifest.replace(r#"echo "GREETING" > /dev/console"#, count));
    let counted = |word: &str| installation.console("default", "hello").matches(word).count();
    until("the guest counts", PATIENCE, || counted("alive") > 0 && counted("obtained") > 0);

    let uid = uid(&installation, "hello").expect("the instance is there");
    let processes = Processes::of(&uid).expect("its Pod runs");
    let launcher = processes.launcher().expect("its supervisor runs");
    let hypervisor = processes.hypervisor().expect("its hypervisor runs");
    kill(launcher);
    until("another supervisor runs", PATIENCE, || processes.launcher().is_some_and(|pid| pid != launcher));
    let (alive, obtained) = (counted("alive"), counted("obtained"));
    until("the console goes on and addresses are given", PATIENCE, || {
        counted("alive") > alive + 2 && counted("obtained") > obtained + 2
    });
    assert_eq!(processes.hypervisor(), Some(hypervisor), "the hypervisor is the same");
    assert_eq!(phase(&installation, "hello").as_deref(), Some("Running"));
    assert_eq!(installation.condition("vmi", "hello", "Synchronized"), None);

    kill(hypervisor);
    // First what lasts for ten seconds; all of it by one look.
    let machine = until_some("the machine keeps saying it while its instance is gone", PATIENCE, || {
        let [machine] = <[_; 1]>::try_from(installation.list("vm,vmi")).ok()?;
        (machine["status"]["printableStatus"] == "CrashLoopBackOff").then_some(machine)
    });
    let conditions = machine["status"]["conditions"].as_array().into_iter().flatten();
    let mut failures = conditions.filter(|condition| condition["type"] == "Failure");
    let told = failures.next().and_then(|failure| failure["message"].as_str());
    assert!(told.is_some_and(|told| told.contains("SIGKILL")), "{machine}");
    assert_eq!(machine["status"]["startFailure"]["consecutiveFailCount"], 1, "{machine}");
    until("an event says how the machine ended", PATIENCE, || {
        installation.events("hello", "Stopped").iter().any(|message| message.contains("SIGKILL"))
    });
    until("another instance runs", PATIENCE, || {
        phase(&installation, "hello").as_deref() == Some("Running")
            && self::uid(&installation, "hello").is_some_and(|other| other != uid)
    });
    until("nothing is said of the failure any more", PATIENCE, || {
        installation.condition("vm", "hello", "Failure").is_none()
    });
}

#[test]
fn a_missing_hypervisor_is_named_and_found_again() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can hide a program from the installation");
        return;
    }
    let options = Options { images: false, covered: Some(HYPERVISOR), ..Options::default() };
    let installation = Installation::start(options);
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    installation.apply(&machine("early", &container_disk(BLANK)));
    until("the instance says that no node takes it, and where to look", PATIENCE, || {
        installation
            .condition("vmi", "early", "PodScheduled")
            .is_some_and(|told| told.contains("ironclad doctor") && told.contains("install QEMU"))
    });
    let node = || installation.condition("node", "node-0", "HypervisorAvailable");
    until("the node names it and the remedy", PATIENCE, || {
        node().is_some_and(|told| told.contains("QEMU") && told.contains("apt-get install"))
    });
    installation.uncover(HYPERVISOR);
    runs(&installation, "early");
    assert_eq!(node().as_deref(), Some("QEMU can be used"));

    // It goes while the node's agent runs.
    installation.cover(HYPERVISOR);
    installation.apply(&machine("late", &container_disk(BLANK)));
    let told = until_some("the instance names the hypervisor", PATIENCE, || {
        installation.condition("vmi", "late", "Synchronized")
    });
    assert!(told.contains(HYPERVISOR), "{told}");
    until("an event says the same", PATIENCE, || installation.events("late", "SyncFailed") == [told.clone()]);
    assert_eq!(phase(&installation, "early").as_deref(), Some("Running"), "what runs is not touched");
    installation.uncover(HYPERVISOR);
    // What covers the program went into the Pod with everything else that it sees; a new Pod sees it uncovered.
    installation.kubectl(&["delete", "vmi", "late"]).expect("deleting the instance");
    runs(&installation, "late");
}

#[test]
fn a_killed_installation_goes_on_in_every_phase() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    let missing = "test.local/later:1";
    let seed = "cloudInitNoCloud: {secretRef: {name: seed}}";
    installation
        .apply(&machine("scheduling", &container_disk(missing).replace("'}", "', imagePullPolicy: Never}")));
    installation.apply(&machine("scheduled", seed));
    installation.apply(&machine("running", &container_disk(BLANK)));
    installation.apply(&machine("deleted", &container_disk(BLANK)));
    for name in ["scheduling", "scheduled"] {
        until(&format!("{name} says what it lacks"), PATIENCE, || {
            installation.condition("vmi", name, "Synchronized").is_some()
        });
    }
    runs(&installation, "running");
    runs(&installation, "deleted");
    let uid = uid(&installation, "running");
    installation.kubectl(&["delete", "vm", "deleted", "--wait=false"]).expect("deleting a machine");
    // One that nobody has looked at yet.
    installation.apply(&machine("pending", &container_disk(BLANK)));
    installation.kill();
    installation.up();

    installation.load(missing, &[("disk/disk.img", &blank())]);
    installation
        .kubectl(&["create", "secret", "generic", "seed", "--from-literal", "userdata=x"])
        .expect("a secret");
    for name in ["scheduling", "scheduled", "pending"] {
        runs(&installation, name);
    }
    assert_eq!(phase(&installation, "running").as_deref(), Some("Running"));
    assert_eq!(self::uid(&installation, "running"), uid, "the instance is the same");
    until("the deleted machine is gone", PATIENCE, || installation.get("vm", "default", "deleted").is_none());

    let all = ["delete", "vm", "--all", "--wait=false"];
    installation.kubectl(&all).expect("deleting all machines");
    installation.kill();
    installation.up();
    until("all machines are gone", PATIENCE, || {
        installation.list("vm").is_empty()
            && installation.list("vmi").is_empty()
            && installation.list("pods").is_empty()
    });
}
