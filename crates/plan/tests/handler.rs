//! What the node's agent decides, situation by situation. The golden files are the documentation.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should fail")]

use std::time::Duration;

use jiff::Timestamp;
use plan::condition::Condition;
use plan::handler::{
    Credentials, Given, GuestInterface, Instance, Launcher, Machine, MachinePhase, Observed, Stall, Status,
    Topology, Trouble, Volume, step,
};
use plan::room::Room;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn instance(phase: &str) -> Instance {
    let ready = Condition::new("Ready", false, "GuestNotRunning", "The guest is not reported as running");
    Instance {
        name: "web".to_owned(),
        deleting: false,
        grace_seconds: 30,
        probed: false,
        links: [("default".to_owned(), true)].into(),
        places: (phase == "Running").then(|| "{}".to_owned()),
        status: Status { phase: Some(phase.to_owned()), conditions: vec![ready], ..Status::default() },
    }
}

fn machine(phase: MachinePhase) -> Machine {
    Machine {
        phase,
        machine_type: "pc-q35-10.0".to_owned(),
        memory: 256 << 20,
        topology: Topology { sockets: 1, cores: 2, threads: 1 },
        interfaces: vec![GuestInterface {
            name: "default".to_owned(),
            mac: "02:00:00:00:00:01".to_owned(),
            addresses: vec!["10.244.1.7".to_owned()],
            pod_interface: "eth0".to_owned(),
            sources: vec!["domain".to_owned()],
            link_up: true,
            ..GuestInterface::default()
        }],
        volumes: vec![Volume {
            name: "root".to_owned(),
            target: "vda".to_owned(),
            size: 1 << 30,
            ..Volume::default()
        }],
        executed_at: Some(now()),
        shows_life: true,
        changed_at: Some(now()),
        places: (phase == MachinePhase::Running || phase == MachinePhase::Paused).then(|| "{}".to_owned()),
        ..Machine::default()
    }
}

fn observed(phase: &str, machine_phase: MachinePhase) -> Observed {
    Observed {
        instance: instance(phase),
        launcher: Launcher::Connected(machine(machine_phase)),
        trouble: None,
        stall: Stall::default(),
        credentials: Credentials::default(),
        accelerated: false,
        boot_patience: Duration::from_secs(180),
    }
}

fn story(observed: &Observed) -> String {
    format!("{observed}\n\n--- plan ---\n{}", step(observed, now()))
}

#[test]
fn handed_over() {
    insta::assert_snapshot!(story(&observed("Scheduled", MachinePhase::Idle)));
}

#[test]
fn handed_over_but_the_launcher_is_not_up_yet() {
    let observed = Observed { launcher: Launcher::Silent, ..observed("Scheduled", MachinePhase::Idle) };
    insta::assert_snapshot!(story(&observed));
}

#[test]
fn started() {
    insta::assert_snapshot!(story(&observed("Scheduled", MachinePhase::Running)));
}

#[test]
fn guest_agent_answers() {
    let mut observed = settled();
    if let Launcher::Connected(machine) = &mut observed.launcher {
        machine.agent_connected = true;
        machine.guest_os = Some(serde_json::json!({"id": "debian", "prettyName": "Debian"}));
        machine.interfaces[0].guest_name = "eth0".to_owned();
        machine.interfaces[0].sources.push("guest-agent".to_owned());
    }
    insta::assert_snapshot!(story(&observed));
}

#[test]
fn paused() {
    let mut observed = settled();
    observed.launcher = Launcher::Connected(machine(MachinePhase::Paused));
    insta::assert_snapshot!(story(&observed));
}

#[test]
fn a_cable_is_pulled_while_the_guest_runs() {
    let mut observed = settled();
    observed.instance.links = [("default".to_owned(), false)].into();
    insta::assert_snapshot!("cable_pulled", story(&observed));
    // The launcher is of an earlier release, for example: it is told, and tried again later.
    observed.trouble = Some(Trouble {
        reason: "LauncherFailed".to_owned(),
        message: "the launcher cannot do that".to_owned(),
        retry_at: now() + Duration::from_secs(2),
    });
    insta::assert_snapshot!("cable_refused", story(&observed));
    observed.trouble = None;
    if let Launcher::Connected(machine) = &mut observed.launcher {
        machine.interfaces[0].link_up = false;
    }
    insta::assert_snapshot!("cable_is_out", story(&observed));
}

#[test]
fn deleted_while_it_runs() {
    let mut observed = settled();
    observed.instance.deleting = true;
    insta::assert_snapshot!(story(&observed));
}

#[test]
fn deleted_before_it_started() {
    let mut observed = observed("Scheduled", MachinePhase::Idle);
    observed.instance.deleting = true;
    insta::assert_snapshot!(story(&observed));
}

#[test]
fn guest_powered_off() {
    let mut observed = settled();
    observed.launcher = Launcher::Connected(Machine {
        message: "The guest shut down".to_owned(),
        ..machine(MachinePhase::ShutOff)
    });
    insta::assert_snapshot!(story(&observed));
}

#[test]
fn hypervisor_died() {
    let mut observed = settled();
    observed.launcher = Launcher::Connected(Machine {
        message: "The hypervisor was killed by signal 9".to_owned(),
        ..machine(MachinePhase::Crashed)
    });
    insta::assert_snapshot!(story(&observed));
}

#[test]
fn something_is_missing() {
    let trouble = Trouble {
        reason: "SeedFailed".to_owned(),
        message: "volume cloudinit: the Secret seed does not exist; create it, or correct the name"
            .to_owned(),
        retry_at: now() + Duration::from_secs(2),
    };
    let observed = Observed { trouble: Some(trouble), ..observed("Scheduled", MachinePhase::Idle) };
    insta::assert_snapshot!(story(&observed));
}

#[test]
fn a_start_failed_and_is_tried_again_when_its_wait_is_over() {
    let trouble = Trouble {
        reason: "HypervisorNotExecuted".to_owned(),
        message: "cannot execute /usr/bin/qemu-system-x86_64: No such file or directory".to_owned(),
        retry_at: now(),
    };
    let observed = Observed { trouble: Some(trouble), ..observed("Scheduled", MachinePhase::Failed) };
    insta::assert_snapshot!(story(&observed));
}

#[test]
fn deleted_while_its_start_fails() {
    let mut observed = observed("Scheduled", MachinePhase::Failed);
    observed.instance.deleting = true;
    insta::assert_snapshot!(story(&observed));
}

#[test]
fn what_kept_it_from_starting_is_no_news_once_it_is_deleted() {
    let trouble = Trouble {
        reason: "SecretMissing".to_owned(),
        message: "the secret is not there".to_owned(),
        retry_at: now(),
    };
    let mut observed = Observed { trouble: Some(trouble), ..observed("Scheduled", MachinePhase::Idle) };
    observed.instance.deleting = true;
    let told = step(&observed, now()).to_string();
    assert!(!told.contains("SyncFailed") && !told.contains("the secret"), "{told}");
}

#[test]
fn what_kept_it_from_starting_is_over_once_it_runs() {
    let trouble = Trouble {
        reason: "SecretMissing".to_owned(),
        message: "the secret is not there".to_owned(),
        retry_at: now(),
    };
    let mut observed = Observed { trouble: Some(trouble), ..observed("Scheduled", MachinePhase::Running) };
    let told = step(&observed, now()).to_string();
    assert!(told.contains("Running") && !told.contains("the secret"), "{told}");
    // What goes wrong with a machine that runs is told.
    observed.instance.status.phase = Some("Running".to_owned());
    assert!(step(&observed, now()).to_string().contains("the secret"), "{told}");
}

#[test]
fn a_probe_says_when_it_is_ready() {
    let mut observed = observed("Scheduled", MachinePhase::Running);
    assert!(step(&observed, now()).to_string().contains("Ready=True"));
    observed.instance.probed = true;
    assert!(!step(&observed, now()).to_string().contains("Ready=True"));
}

#[test]
fn a_disk_is_full() {
    let mut observed = settled();
    observed.launcher = Launcher::Connected(Machine {
        reason: "IOError".to_owned(),
        message: "disk root: No space left on device".to_owned(),
        ..machine(MachinePhase::Paused)
    });
    let room = Room { mount: "/var/lib/ironclad".to_owned(), free: 0, needed: 16 << 20 };
    observed.stall.rooms = vec![room];
    insta::assert_snapshot!(story(&observed));
    // Space is back.
    observed.stall.rooms[0].free = 1 << 30;
    if let Launcher::Connected(machine) = &mut observed.launcher {
        machine.changed_at = Some(now() - Duration::from_secs(15));
    }
    assert!(step(&observed, now()).actions.contains(&plan::handler::Action::Resume));
}

#[test]
fn a_guest_that_shows_no_sign_of_life() {
    let mut observed = settled();
    let since = |seconds| {
        Launcher::Connected(Machine {
            executed_at: Some(now() - Duration::from_secs(seconds)),
            shows_life: false,
            ..machine(MachinePhase::Running)
        })
    };
    observed.launcher = since(170);
    let early = step(&observed, now());
    assert!(early.actions.is_empty(), "{early}");
    assert_eq!(early.again.map(|again| again.after), Some(Duration::from_secs(10)));
    observed.launcher = since(180);
    insta::assert_snapshot!(story(&observed));
    observed.accelerated = true;
    insta::assert_snapshot!("the_accelerator_is_suspect", story(&observed));
}

#[test]
fn nothing_is_written_without_a_change() {
    let plan = step(&settled(), now());
    assert!(plan.actions.is_empty(), "{plan}");
}

#[test]
fn a_silent_launcher_changes_nothing() {
    let observed = Observed { launcher: Launcher::Silent, ..settled() };
    assert!(step(&observed, now()).actions.is_empty());
}

/// A machine that runs and whose status says so.
fn settled() -> Observed {
    let mut observed = observed("Scheduled", MachinePhase::Running);
    let plan = step(&observed, now());
    for action in plan.actions {
        if let plan::handler::Action::Write { patch } = action {
            let mut status = serde_json::to_value(&observed.instance.status).unwrap();
            merge(&mut status, &patch["status"]);
            observed.instance.status = serde_json::from_value(status).unwrap();
        }
    }
    observed.instance.places = Some("{}".to_owned());
    observed
}

/// RFC 7396, without removals, which none of these patches has.
fn merge(target: &mut serde_json::Value, patch: &serde_json::Value) {
    match (target, patch) {
        (serde_json::Value::Object(target), serde_json::Value::Object(patch)) => {
            for (name, value) in patch {
                merge(target.entry(name.clone()).or_insert(serde_json::Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// A machine with credentials for its agent to set.
fn credentials(agent_connected: bool, last: Option<Given>) -> Observed {
    let mut observed = settled();
    if let Launcher::Connected(machine) = &mut observed.launcher {
        machine.agent_connected = agent_connected;
    }
    observed.credentials = Credentials::Wanted { under_way: false, last };
    observed
}

#[test]
fn credentials_wait_for_the_agent() {
    insta::assert_snapshot!(story(&credentials(false, None)));
}

#[test]
fn credentials_are_given_to_an_agent_that_answers() {
    insta::assert_snapshot!(story(&credentials(true, None)));
}

#[test]
fn credentials_were_given() {
    insta::assert_snapshot!(story(&credentials(true, Some(Given { at: now(), problem: None }))));
}

#[test]
fn credentials_that_a_guest_refuses_are_told_of() {
    let problem = Some("set the password of ann: the guest agent refuses".to_owned());
    insta::assert_snapshot!(story(&credentials(true, Some(Given { at: now(), problem }))));
}

#[test]
fn a_grace_that_became_shorter_is_told_while_the_guest_shuts_down() {
    let ending = |granted_seconds| {
        let mut observed = settled();
        observed.instance.deleting = true;
        observed.instance.grace_seconds = 5;
        observed.launcher =
            Launcher::Connected(Machine { granted_seconds, ..machine(MachinePhase::ShuttingDown) });
        let shutdown = plan::handler::Action::Shutdown { grace_seconds: 5 };
        step(&observed, now()).actions.contains(&shutdown)
    };
    assert!(ending(Some(600)), "it is shorter now");
    assert!(ending(None), "an agent that was started anew does not know");
    assert!(!ending(Some(5)));
    assert!(!ending(Some(0)), "it is over already");
}
