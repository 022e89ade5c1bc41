//! Every component killed in every phase of a machine, alone and together, for `make soak`. Beside the machine that goes
//! through the phases, another one runs all the time: its uptime and a TCP session go on.

#![allow(clippy::panic, reason = "helpers of tests")]

use std::net::TcpListener;
use std::time::Duration;

use e2e::agents::{Agent, administrator, handler_kubeconfig};
use e2e::alive::{self, Session};
use e2e::rough::{end, hypervisors, processes, runs};
use e2e::{BLANK, blank, configure, container_disk, machine};
use kit::{Installation, Options, Processes, until, until_some};

const PATIENCE: Duration = Duration::from_secs(120);
const NODE: &str = "node-0";

/// What a machine is at when the accident happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Pending,
    Scheduling,
    Scheduled,
    Running,
    Stopping,
}

/// Whom the accident strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// API server and controllers.
    ControlPlane,
    Kubelet,
    Handler,
    Launcher,
    All,
}

const PHASES: [Phase; 5] =
    [Phase::Pending, Phase::Scheduling, Phase::Scheduled, Phase::Running, Phase::Stopping];
const VICTIMS: [Victim; 5] =
    [Victim::ControlPlane, Victim::Kubelet, Victim::Handler, Victim::Launcher, Victim::All];

#[test]
#[ignore = "slow: make soak"]
fn whoever_is_killed_in_whatever_phase_the_machine_reaches_its_state() {
    // Agents apart find the API server where it was.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let installation = Installation::start(Options { nodes: 0, port, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    let settings = r#"{
        "developerConfiguration":{"useEmulation":true},"network":{"defaultNetworkInterface":"masquerade"}}"#;
    configure(&installation, settings);
    let kubelet = Agent::start(&installation, "kubelet", NODE, &administrator(&installation));
    let handler = Agent::start(&installation, "virt-handler", NODE, &handler_kubeconfig(&installation));
    let mut components = Components { installation: &installation, kubelet, handler };
    let mut steady = Steady::begin(&installation);

    for victim in VICTIMS {
        for phase in PHASES {
            let when = format!("{victim:?} killed while {phase:?}");
            println!("{when}");
            installation.apply(
                &machine("walker", &container_disk(BLANK))
                    // The steady one is behind masquerade.
                    .replace("masquerade: {}", "bridge: {}")
                    .replace("terminationGracePeriodSeconds: 0", "terminationGracePeriodSeconds: 3"),
            );
            reach(&installation, phase, &when);
            components.strike(victim);
            if phase != Phase::Stopping {
                until(&format!("{when}: it runs"), PATIENCE, || runs(&installation, "walker"));
                assert_eq!(hypervisors("walker"), 1, "{when}: one hypervisor");
                assert_eq!(installation.list("pods").len(), 2, "{when}: one Pod for each machine");
                delete(&installation);
            }
            until(&format!("{when}: it is gone"), PATIENCE, || {
                installation.get("vm", "default", "walker").is_none()
                    && installation.get("vmi", "default", "walker").is_none()
                    && installation.list("pods").len() == 1
            });
            assert_eq!(hypervisors("walker"), 0, "{when}: no hypervisor");
            steady.check(&when);
        }
    }
    installation.kubectl(&["delete", "vm", "hello", "--wait", "--timeout", "60s"]).expect("deleting it");
    until("its Pod is gone", PATIENCE, || installation.list("pods").is_empty());
}

/// The processes that may be killed.
struct Components<'a> {
    installation: &'a Installation,
    kubelet: Agent,
    handler: Agent,
}

impl Components<'_> {
    fn strike(&mut self, victim: Victim) {
        let is = |one: Victim| victim == one || victim == Victim::All;
        if is(Victim::Launcher) {
            for name in ["walker", "hello"] {
                let processes = processes(self.installation, name);
                if let Some(launcher) = processes.and_then(|processes| processes.launcher()) {
                    end(launcher);
                }
            }
        }
        if is(Victim::Kubelet) {
            self.kubelet.kill();
        }
        if is(Victim::Handler) {
            self.handler.kill();
        }
        if is(Victim::ControlPlane) {
            self.installation.kill();
            self.installation.up();
        }
        if is(Victim::Kubelet) {
            self.kubelet.start_again(self.installation);
        }
        if is(Victim::Handler) {
            self.handler.start_again(self.installation);
        }
    }
}

/// Brings the machine into `phase`, or a little further.
fn reach(installation: &Installation, phase: Phase, when: &str) {
    let at_least: &[&str] = match phase {
        Phase::Pending => return,
        Phase::Scheduling => &["Pending", "Scheduling", "Scheduled", "Running"],
        Phase::Scheduled => &["Scheduled", "Running"],
        Phase::Running | Phase::Stopping => &["Running"],
    };
    until(&format!("{when}: it comes that far"), PATIENCE, || {
        let found = installation.get("vmi", "default", "walker").unwrap_or_default();
        found["status"]["phase"].as_str().is_some_and(|phase| at_least.contains(&phase))
    });
    if phase == Phase::Stopping {
        delete(installation);
    }
}

fn delete(installation: &Installation) {
    installation.kubectl(&["delete", "vm", "walker", "--wait=false"]).expect("deleting the machine");
}

/// The machine that nobody touches.
struct Steady<'a> {
    installation: &'a Installation,
    uid: String,
    console: std::path::PathBuf,
    hypervisor: i32,
    /// Only root reaches a guest without help.
    session: Option<Session>,
    told: usize,
}

impl<'a> Steady<'a> {
    fn begin(installation: &'a Installation) -> Self {
        installation.apply(&alive::manifest());
        until("the steady machine runs", PATIENCE, || runs(installation, "hello"));
        let instance = installation.get("vmi", "default", "hello").expect("its instance");
        let uid = instance["metadata"]["uid"].as_str().expect("an identity").to_owned();
        let pod = installation.list("pods")[0]["metadata"]["uid"].as_str().expect("an identity").to_owned();
        let console =
            format!("nodes/{NODE}/kubelet/pods/{pod}/volumes/kubernetes.io~empty-dir/private/serial0.log");
        let hypervisor = until_some("its hypervisor runs", PATIENCE, || Processes::of(&uid)?.hypervisor());
        let mut steady = Self {
            installation,
            uid,
            console: installation.data_dir().join(console),
            hypervisor,
            session: None,
            told: 0,
        };
        until("it counts", PATIENCE, || steady.uptimes().len() > 1);
        let address = instance["status"]["interfaces"][0]["ipAddress"].as_str().expect("an address");
        steady.session = rustix::process::geteuid().is_root().then(|| Session::open(address));
        steady
    }

    fn uptimes(&self) -> Vec<u32> {
        let console = std::fs::read(&self.console).unwrap_or_default();
        alive::uptimes(&String::from_utf8_lossy(&console))
    }

    fn check(&mut self, when: &str) {
        if let Some(session) = &mut self.session {
            session.check(when);
        }
        until(&format!("{when}: the steady guest counts on"), PATIENCE, || self.uptimes().len() > self.told);
        let uptimes = self.uptimes();
        assert!(uptimes.is_sorted(), "{when}: it was not started again: {uptimes:?}");
        self.told = uptimes.len();
        until(&format!("{when}: it is ready"), PATIENCE, || runs(self.installation, "hello"));
        let instance = self.installation.get("vmi", "default", "hello").unwrap_or_default();
        assert_eq!(instance["metadata"]["uid"], self.uid.as_str(), "{when}: the same instance");
        let hypervisor = Processes::of(&self.uid).and_then(|processes| processes.hypervisor());
        assert_eq!(hypervisor, Some(self.hypervisor), "{when}: the same hypervisor");
    }
}
