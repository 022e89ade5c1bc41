//! Stories of instances.

use super::teller::{Story, after};
use plan::condition::Condition;
use plan::vmi::{Action, Gate, Instance, Observed, Pod, PodPhase, Refusal, Waiting, step};

struct World {
    observed: Observed,
    story: Story,
}

impl World {
    fn new() -> Self {
        let instance = Instance {
            name: "web".into(),
            uid: "vmi-1".into(),
            created: after(0),
            finalizers: vec!["kubevirt.io/foregroundDeleteVirtualMachine".into()],
            grace_seconds: 30,
            ..Instance::default()
        };
        let observed = Observed {
            instance,
            pods: Vec::new(),
            refusals: Vec::new(),
            pod_refused: None,
            node_problems: Vec::new(),
            launcher_version: "1.0".into(),
        };
        let mut world = Self { observed, story: Story::default() };
        world.observed.instance.facts.status.phase = Some("Pending".into());
        world
    }

    /// The world once its agent has the machine.
    fn handed_over() -> Self {
        let mut world = Self::new();
        world.scene("An instance is created", 0);
        world.runs();
        world.scene("It is handed over", 1);
        world
    }

    /// Its Pod ends in the fiftieth second.
    fn pod_ends(&mut self, why: &str) {
        let pod = self.pod();
        pod.phase = PodPhase::Failed;
        pod.launcher_runs = false;
        pod.ended = Some(why.into());
        pod.ended_at = Some(after(50));
    }

    fn scene(&mut self, title: &str, second: i64) {
        let plan = step(&self.observed, after(second));
        self.story.scene(title, &self.observed, &plan);
        for action in &plan.actions {
            match action {
                Action::CreatePod { name } => self.observed.pods.push(Pod {
                    name: name.clone(),
                    uid: "pod-1".into(),
                    created: after(second),
                    ..Pod::default()
                }),
                Action::SetGate { open, reason, .. } => {
                    self.observed.pods[0].gate = Some(Gate { open: *open, reason: reason.clone() });
                }
                Action::DeletePod { .. } => self.observed.pods[0].deleting = true,
                Action::Write { patch } => {
                    let mut facts = serde_json::to_value(&self.observed.instance.facts).unwrap();
                    merge(&mut facts, patch);
                    self.observed.instance.facts = serde_json::from_value(facts).unwrap();
                    let again = step(&self.observed, after(second));
                    assert!(
                        !again.actions.iter().any(|action| matches!(action, Action::Write { .. })),
                        "what was just written is written again: {again}"
                    );
                }
                _ => {}
            }
        }
    }

    fn pod(&mut self) -> &mut Pod {
        &mut self.observed.pods[0]
    }

    fn runs(&mut self) {
        let pod = self.pod();
        pod.node = "node-a".into();
        pod.phase = PodPhase::Running;
        pod.launcher_runs = true;
        pod.gate = Some(Gate { open: true, reason: String::new() });
        pod.qos_class = Some("Burstable".into());
        pod.conditions = vec![Condition::new("Ready", true, "", "")];
    }

    fn phase(&mut self, phase: &str) {
        self.observed.instance.facts.status.phase = Some(phase.into());
    }

    fn deleted(&mut self, second: i64) {
        self.observed.instance.deleting_since = Some(after(second));
    }
}

fn merge(target: &mut serde_json::Value, patch: &serde_json::Value) {
    let Some(changes) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    for (name, change) in changes {
        if change.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], change);
        }
    }
}

#[test]
fn a_guest_that_stands_still_closes_the_gate_of_its_pod() {
    let mut world = World::new();
    world.scene("An instance is created", 0);
    world.runs();
    world.pod().gate = None;
    world.scene("A kubelet that knows nothing of gates that are open from the start", 1);
    world.phase("Running");
    let paused = Condition::new("Paused", true, "PausedByUser", "");
    plan::condition::set(&mut world.observed.instance.facts.status.conditions, paused, after(5));
    world.scene("Somebody pauses the machine", 5);
    world.scene("Nothing new", 6);
    plan::condition::remove(&mut world.observed.instance.facts.status.conditions, "Paused");
    world.scene("And resumes it", 7);
    world.phase("Failed");
    world.pod().gate = None;
    world.scene("An end is no business of the gate", 8);
    world.story.ends_as("instance-gate");
}

#[test]
fn a_receiver_waits_without_a_pod() {
    let mut world = World::new();
    world.observed.instance.receiver = true;
    world.scene("An instance is to receive a machine", 0);
    world.scene("It waits", 60);
    world.deleted(100);
    world.scene("It is deleted", 100);
    world.story.ends_as("instance-receiver");
}

#[test]
fn a_claim_that_is_not_there_is_named() {
    let mut world = World::new();
    world.scene("An instance is created", 0);
    let why = "0/1 nodes are available: persistentvolumeclaim \"data\" not found.";
    world.pod().conditions = vec![Condition::new("PodScheduled", false, "Unschedulable", why)];
    world.scene("The scheduler misses a claim", 1);
    world.pod().conditions.clear();
    world.runs();
    world.scene("The claim is there", 9);
    world.story.ends_as("instance-claim");
}

#[test]
fn quick_start() {
    let mut world = World::new();
    world.scene("An instance is created", 0);
    world.scene("Its Pod has no node yet: too early for news", 0);
    world.runs();
    world.scene("The launcher is ready: handed over in one write", 1);
    world.phase("Running");
    plan::condition::set(
        &mut world.observed.instance.facts.status.conditions,
        Condition::new("Ready", true, "", ""),
        after(2),
    );
    world.scene("The agent reports that it runs and is ready", 2);
    world.deleted(100);
    world.scene("It is deleted: the agent ends the guest", 100);
    world.phase("Succeeded");
    world.scene("The guest has ended", 105);
    world.observed.pods.clear();
    world.scene("The Pod is gone", 106);
    world.story.ends_as("instance-quick-start");
}

#[test]
fn troubled_start() {
    let mut world = World::new();
    world.scene("An instance is created", 0);
    let why = "0/1 nodes are available: 1 Insufficient memory.";
    world.pod().conditions = vec![Condition::new("PodScheduled", false, "Unschedulable", why)];
    world.scene("No node has room: news at once", 1);
    let lacking = "node node-a: QEMU cannot be used: it is not there; install QEMU";
    world.observed.node_problems = vec![lacking.into()];
    world.scene("A node says what it lacks", 30);
    world.observed.node_problems.clear();
    world.pod().conditions.clear();
    world.pod().node = "node-a".into();
    let message =
        "image quay.local/x:1 not found in the local store; load it with `ironclad image load`".to_owned();
    world.pod().waiting = Some(Waiting { reason: "ErrImagePull".into(), message });
    world.scene("There is room, but an image is missing", 60);
    world.runs();
    world.pod().waiting = None;
    world.scene("The image came", 90);
    world.story.ends_as("instance-troubled-start");
}

#[test]
fn cannot_be_had() {
    let mut world = World::new();
    world.observed.refusals = vec![Refusal {
        field: "spec.domain.launchSecurity.sev".into(),
        value: "{}".into(),
        reason: "no node of this installation offers AMD SEV".into(),
        remedy: "remove the field, or add a node with SEV".into(),
    }];
    world.scene("A field cannot be had: no Pod, and a reason", 0);
    world.scene("Nothing new", 10);
    world.observed.refusals.clear();
    world.scene("The specification was corrected", 20);

    world.observed.pods.clear();
    world.phase("Pending");
    world.observed.pod_refused =
        Some("create pods default: exceeded quota: pods=10, limited: pods=10".into());
    world.scene("A quota refuses the Pod: say so, then try again", 30);
    world.story.ends_as("instance-cannot-be-had");
}

#[test]
fn losses() {
    let mut world = World::new();
    world.scene("An instance is created", 0);
    world.pod().phase = PodPhase::Failed;
    world.pod().ended = Some("Error, exit code 1, cannot open /dev/kvm".into());
    world.scene("The launcher fails before it is ready", 2);
    world.story.ends_as("instance-launcher-fails");

    let mut world = World::handed_over();
    world.phase("Running");
    world.pod_ends("Error, exit code 1");
    world.scene("The Pod ends: the agent is given time to say how", 51);
    world.scene("The agent stays silent", 70);
    world.story.ends_as("instance-pod-ends");

    for (name, ended) in [
        ("instance-pod-killed", "it was killed by signal 9 (SIGKILL)"),
        (
            "instance-pod-starved",
            "it was killed by signal 9 (SIGKILL) for want of memory (OOMKilled), its Pod may use 96 MiB",
        ),
    ] {
        let mut world = World::handed_over();
        world.phase("Running");
        world.pod_ends(ended);
        world.pod().killed = true;
        world.scene("The Pod is killed: nobody is left who could tell more", 50);
        world.story.ends_as(name);
    }

    let mut world = World::handed_over();
    world.observed.pods.clear();
    world.scene("The Pod is gone", 50);
    world.story.ends_as("instance-pod-gone");
}

#[test]
fn deletion() {
    let mut world = World::new();
    world.scene("An instance is created", 0);
    world.deleted(1);
    world.scene("It is deleted before it was handed over", 1);
    world.scene("The Pod goes", 2);
    world.observed.pods.clear();
    world.scene("The Pod is gone", 3);
    world.story.ends_as("instance-deleted-early");

    let mut world = World::handed_over();
    world.deleted(10);
    world.scene("It is deleted, and the agent does nothing", 10);
    world.scene("Patience ends", 10 + 30 + 60);
    world.story.ends_as("instance-deleted-agent-silent");
}
