//! Long and rough lives, for `make soak`: machines made, killed and deleted at every moment, and nothing left behind.
//!
//! Built with `SOAK_SECONDS`, `SOAK_MACHINES` and `SOAK_SEED` in the environment, the second one lasts longer, juggles with
//! more machines, or throws other dice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use e2e::claims::{claim, claimed};
use e2e::rough::{end, hypervisors, processes, runs};
use e2e::{BLANK, blank, container_disk, machine};
use kit::{Descriptors, Installation, MachineState, Options, program, until, until_none};

const PATIENCE: Duration = Duration::from_secs(120);

/// Label of the machines' Services, which tells them from the installation's own.
const SERVED: &str = "rough-lives";

/// Whom an accident strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    ControlPlane,
    Launcher,
    Both,
}

#[test]
#[ignore = "takes minutes; `make soak` runs it"]
fn a_machine_reaches_its_state_whenever_somebody_is_killed() {
    let installation = installation();
    for victim in [Victim::ControlPlane, Victim::Launcher, Victim::Both] {
        for after in [0, 30, 80, 150, 300, 600, 1200].map(Duration::from_millis) {
            let when = format!("{victim:?} after {after:?}");
            installation.apply(&machine("victim", &container_disk(BLANK)));
            std::thread::sleep(after);
            strike(&installation, victim, "victim");
            until(&format!("{when}: the machine runs"), PATIENCE, || runs(&installation, "victim"));
            assert_eq!(hypervisors("victim"), 1, "{when}: one hypervisor");
            let pods = installation.list("pods");
            assert_eq!(pods.len(), 1, "{when}: one Pod: {pods:#?}");
            installation.kubectl(&["delete", "vm", "victim", "--wait=false"]).expect("deleting the machine");
            std::thread::sleep(after);
            strike(&installation, victim, "victim");
            until(&format!("{when}: the machine is gone"), PATIENCE, || is_empty(&installation));
            assert_eq!(hypervisors("victim"), 0, "{when}: no hypervisor");
        }
    }
}

#[test]
#[ignore = "takes minutes; `make soak` runs it"]
fn machines_that_come_and_go_leave_nothing_behind() {
    let seconds = option_env!("SOAK_SECONDS").and_then(|text| text.parse().ok()).unwrap_or(60);
    let machines = option_env!("SOAK_MACHINES").and_then(|text| text.parse().ok()).unwrap_or(20);
    let seed: u64 = option_env!("SOAK_SEED").and_then(|text| text.parse().ok()).unwrap_or(1);
    let installation = installation();
    let nodes = installation.data_dir().join("nodes");
    // The first machines also make what the node keeps for all: the bridge, the NAT table, unpacked images.
    for name in ["first-0", "first-1", "first-2", "first-3"] {
        installation.apply(&dressed(name));
        until(&format!("{name} runs"), PATIENCE, || runs(&installation, name));
    }
    empty(&installation);
    let before = MachineState::take(&[&nodes]);
    let open = Descriptors::of(installation.pid());

    let mut dice = Dice(seed.max(1));
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut deeds = BTreeMap::<&str, u32>::new();
    let mut lived = BTreeSet::new();
    while Instant::now() < deadline {
        let name = format!("rough-{}", dice.below(machines));
        let deed = match dice.below(100) {
            0..45 => {
                installation.apply(&dressed(&name));
                lived.insert(name);
                "applied"
            }
            45..75 => {
                let how = if dice.below(2) == 0 { "--grace-period=0" } else { "--wait=false" };
                installation.kubectl(&["delete", "vm", &name, "--wait=false", "--ignore-not-found", how]);
                "deleted"
            }
            75..82 => {
                // Refused where the machine is not there, or not in a state for it.
                let verb = ["stop", "start", "restart", "pause", "unpause"][dice.below(5) as usize];
                let mut virtctl = installation.client_program(&program("virtctl"));
                virtctl.arg(verb).args(verb.ends_with("pause").then_some("vm")).arg(&name);
                drop(virtctl.output().expect("virtctl starts"));
                "told to stop, start or pause"
            }
            82..90 => {
                strike(&installation, Victim::Launcher, &name);
                "launchers killed"
            }
            90..98 => {
                let hypervisor = processes(&installation, &name).and_then(|processes| processes.hypervisor());
                hypervisor.into_iter().for_each(end);
                "hypervisors killed"
            }
            _ => {
                strike(&installation, Victim::ControlPlane, &name);
                "control planes killed"
            }
        };
        *deeds.entry(deed).or_default() += 1;
        std::thread::sleep(Duration::from_millis(u64::from(dice.below(200))));
    }
    println!("seed {seed}: {} machines lived; {deeds:?}", lived.len());
    empty(&installation);
    until_none("nothing is left on the machine, and nothing open", PATIENCE, || {
        let mut left = Descriptors::of(installation.pid()).beyond(&open, 4);
        left.extend(MachineState::take(&[&nodes]).left_behind(&before));
        left.extend(
            installation.list("pv").iter().map(|volume| format!("volume: {}", volume["metadata"]["name"])),
        );
        left
    });
}

/// Returns the manifest of a machine in one of four dresses, by its name: a disk of an image alone, and its Pod's
/// own address; one over a claim
/// of its own; one with the seed and the disk that the node makes; one that is served, guarded, and boots by UEFI.
fn dressed(name: &str) -> String {
    let number: u32 = name.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default();
    let image = container_disk(BLANK);
    // Many at once: each asks for little.
    let modest = |manifest: String| {
        manifest.replace(
            "        memory: {guest: 64Mi}",
            "        memory: {guest: 64Mi}\n        resources: {requests: {cpu: 1m}}",
        )
    };
    match number % 4 {
        0 => modest(machine(name, &image)).replace("masquerade: {}", "bridge: {}"),
        1 => format!("{}{}", claim(name), modest(claimed(name, name))),
        2 => {
            let seeds = "\n        - {name: e, emptyDisk: {capacity: 16Mi}}\n        \
                         - {name: s, cloudInitNoCloud: {userData: '#cloud-config'}}";
            let disks = "disks: [{name: d, disk: {bus: virtio}}, {name: e, disk: {bus: scsi}}, {name: s, cdrom: {bus: sata}}]";
            modest(machine(name, &format!("{image}{seeds}")))
                .replace("disks: [{name: d, disk: {bus: virtio}}]", disks)
        }
        _ => format!(
            "{}
apiVersion: v1
kind: Service
metadata: {{name: {name}, labels: {{{SERVED}: ''}}}}
spec:
  selector: {{vm.kubevirt.io/name: {name}}}
  ports: [{{port: 80}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}}}
spec:
  podSelector: {{matchLabels: {{vm.kubevirt.io/name: {name}}}}}
  ingress: [{{from: [{{podSelector: {{}}}}]}}]
",
            modest(machine(name, &image)).replace(
                "      domain:\n",
                "      domain:\n        firmware: {bootloader: {efi: {secureBoot: false}}}\n"
            )
        ),
    }
}

fn installation() -> Installation {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    installation
}

fn empty(installation: &Installation) {
    let kinds = "vm,pvc,networkpolicies.networking.k8s.io";
    installation.kubectl(&["delete", kinds, "--all", "--wait=false"]).expect("deleting all machines");
    installation.kubectl(&["delete", "service", "-l", SERVED]).expect("deleting their services");
    until("all machines are gone", PATIENCE, || is_empty(installation));
}

fn is_empty(installation: &Installation) -> bool {
    ["vm", "vmi", "pods", "pvc"].iter().all(|kind| installation.list(kind).is_empty())
}

fn strike(installation: &Installation, victim: Victim, name: &str) {
    if victim != Victim::ControlPlane
        && let Some(pid) = processes(installation, name).and_then(|processes| processes.launcher())
    {
        end(pid);
    }
    if victim != Victim::Launcher {
        installation.kill();
        installation.up();
    }
}

/// A small sequence that a seed determines.
struct Dice(u64);

impl Dice {
    /// Throws a number below `bound`.
    fn below(&mut self, bound: u32) -> u32 {
        // Marsaglia's xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % u64::from(bound.max(1))) as u32
    }
}
