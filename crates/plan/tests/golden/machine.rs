//! Stories of machines.

use super::teller::{Story, after, noon};
use plan::condition::Condition;
use plan::vm::{
    Action, Instance, Observed, Ownership, Rollout, RunStrategy, StateChange, Status, Trouble, Vm, step,
};

/// A machine in a world where plans are carried out at once.
struct World {
    observed: Observed,
    story: Story,
    instances: u32,
}

impl World {
    fn new(strategy: RunStrategy) -> Self {
        let vm = Vm {
            name: "web".into(),
            uid: "vm-1".into(),
            generation: 1,
            finalizers: vec!["kubevirt.io/virtualMachineControllerFinalize".into()],
            marked: true,
            strategy,
            ..Vm::default()
        };
        let observed = Observed { vm, instance: None, rollout: Rollout::default(), trouble: None };
        Self { observed, story: Story::default(), instances: 0 }
    }

    /// Shows the plan for the present and carries it out.
    fn scene(&mut self, title: &str, second: i64) {
        let plan = step(&self.observed, after(second));
        self.story.scene(title, &self.observed, &plan);
        for action in &plan.actions {
            self.perform(action, second);
        }
    }

    fn perform(&mut self, action: &Action, second: i64) {
        match action {
            Action::CreateInstance { .. } => {
                self.instances += 1;
                self.observed.instance = Some(Instance {
                    uid: format!("vmi-{}", self.instances),
                    owner: Ownership::Ours,
                    created: after(second),
                    phase: "Pending".into(),
                    generation: Some(self.observed.vm.generation),
                    ..Instance::default()
                });
            }
            Action::ClaimInstance { .. } => {
                if let Some(instance) = &mut self.observed.instance {
                    instance.owner = Ownership::Ours;
                }
            }
            Action::UpdateInstance { .. } => self.observed.rollout.follow = None,
            Action::DeleteInstance { .. } => {
                if let Some(instance) = &mut self.observed.instance {
                    instance.deleting = true;
                }
            }
            Action::Adopt { places } => {
                let vm = &mut self.observed.vm;
                if vm.finalizers.is_empty() {
                    vm.finalizers.push("kubevirt.io/virtualMachineControllerFinalize".into());
                }
                vm.places = places.clone().or_else(|| vm.places.take());
            }
            Action::SetStrategy(strategy) => self.observed.vm.strategy = *strategy,
            Action::WriteStatus { patch } => {
                let mut status = serde_json::to_value(&self.observed.vm.status).unwrap();
                for (name, value) in patch.as_object().unwrap() {
                    if value.is_null() {
                        status.as_object_mut().unwrap().remove(name);
                    } else if let (Some(old), Some(new)) = (status.get_mut(name), value.as_object()) {
                        for (name, value) in new {
                            old[name] = value.clone();
                        }
                    } else {
                        status[name] = value.clone();
                    }
                }
                self.observed.vm.status = serde_json::from_value(status).unwrap();
            }
            _ => {}
        }
        let plan = step(&self.observed, after(second));
        assert!(
            !matches!(action, Action::WriteStatus { .. })
                || self.observed.trouble.is_some()
                || !plan.actions.iter().any(|next| matches!(next, Action::WriteStatus { .. })),
            "a status that was just written is written again: {plan}"
        );
    }

    fn instance(&mut self) -> &mut Instance {
        self.observed.instance.as_mut().unwrap()
    }

    fn phase(&mut self, phase: &str) {
        self.instance().phase = phase.into();
        self.instance().ran |= phase == "Running";
    }

    fn condition(&mut self, condition: Condition) {
        let conditions = &mut self.instance().conditions;
        plan::condition::set(conditions, condition, noon());
    }

    fn gone(&mut self) {
        self.observed.instance = None;
    }

    fn request(&mut self, action: &str, uid: Option<&str>) {
        let request = StateChange { action: action.into(), data: None, uid: uid.map(str::to_owned) };
        self.observed.vm.status.state_change_requests.push(request);
    }
}

fn not_running() -> Condition {
    Condition::new("Ready", false, "GuestNotRunning", "The guest is not reported as running")
}

#[test]
fn always() {
    let mut world = World::new(RunStrategy::Always);
    world.observed.vm.finalizers.clear();
    world.scene("A machine is created", 0);
    world.scene("Its instance was created: too early for news", 1);
    world.phase("Running");
    world.instance().running_since = Some(after(1));
    world.instance().places = Some("{}".to_owned());
    world.condition(Condition::new("Ready", true, "", ""));
    world.scene("A quick start: one status, and the finalizer when nothing is urgent", 1);
    world.scene("Nothing new", 60);
    world.condition(Condition::new("Paused", true, "PausedByUser", "VMI was paused by user"));
    world.scene("Somebody pauses the machine", 61);
    plan::condition::remove(&mut world.instance().conditions, "Paused");
    world.scene("And resumes it", 62);
    world.phase("Succeeded");
    world.instance().conditions = vec![not_running()];
    world.scene("The guest shuts itself down", 100);
    world.scene("The old instance goes", 101);
    world.gone();
    world.scene("It is gone: the machine starts again", 102);
    world.scene("A slow start is reported", 105);
    world.observed.vm.strategy = RunStrategy::Halted;
    world.observed.vm.generation = 2;
    world.phase("Running");
    world.scene("The machine is halted", 110);
    world.scene("While it goes", 111);
    world.gone();
    world.scene("It is gone", 120);
    world.scene("Nothing new", 500);
    world.story.ends_as("machine-always");
}

#[test]
fn crash_loop() {
    let mut world = World::new(RunStrategy::Always);
    world.scene("A machine is created", 0);
    let mut second = 0;
    for attempt in 1..=3 {
        world.phase("Failed");
        world.instance().why = "The hypervisor was killed by signal 9".into();
        world.scene(&format!("Attempt {attempt} fails: that is recorded first"), second + 1);
        world.scene("Then the instance goes", second + 1);
        world.gone();
        world.scene("Its instance is gone; the next start waits", second + 2);
        second += i64::from(attempt * attempt) * 15 + 3;
        world.scene("The wait is over", second);
    }
    world.phase("Running");
    world.instance().running_since = Some(after(second));
    world.scene("This time it runs", second + 1);
    world.scene("After 300 s the failures are forgotten", second + 301);
    world.story.ends_as("machine-crash-loop");
}

#[test]
fn manual() {
    let mut world = World::new(RunStrategy::Manual);
    world.scene("A machine is created", 0);
    world.request("Start", None);
    world.scene("A start is requested", 10);
    world.phase("Scheduling");
    world.scene("The instance is there: the request is met", 11);
    world.phase("Running");
    world.scene("It runs", 12);
    world.request("Stop", Some("vmi-1"));
    world.request("Start", None);
    world.scene("A restart is requested", 20);
    world.scene("The old instance goes", 21);
    world.gone();
    world.scene("It is gone", 22);
    world.phase("Running");
    world.scene("The new one runs", 23);
    world.phase("Succeeded");
    world.scene("The guest shuts itself down: it stays that way", 30);
    world.story.ends_as("machine-manual");
}

#[test]
fn rerun_on_failure() {
    let mut world = World::new(RunStrategy::RerunOnFailure);
    world.scene("A machine is created", 0);
    world.phase("Running");
    world.scene("It runs", 2);
    world.phase("Failed");
    world.scene("It fails: that and a start request are recorded before the old instance goes", 10);
    world.scene("The old instance is deleted", 11);
    world.gone();
    world.scene("The next start waits", 12);
    world.scene("The wait is over", 30);
    world.phase("Running");
    world.scene("It runs", 31);
    world.phase("Succeeded");
    world.scene("The guest shuts itself down", 40);
    world.gone();
    world.scene("It stays down", 41);
    world.story.ends_as("machine-rerun-on-failure");
}

#[test]
fn an_instance_that_goes_before_its_guest_ran_is_a_start_that_failed() {
    let mut world = World::new(RunStrategy::RerunOnFailure);
    world.scene("A machine is created", 0);
    world.phase("Scheduling");
    world.scene("Its instance waits for a node", 5);
    world.request("Stop", Some("vmi-1"));
    world.scene("A stop is requested", 6);
    world.scene("The instance goes", 6);
    world.gone();
    world.scene("It is gone: nothing asks for another", 7);
    world.request("Start", None);
    world.scene("A start is requested too early", 10);
    world.scene("Now is the time", 30);
    world.phase("Running");
    world.instance().running_since = Some(after(31));
    world.scene("The guest runs", 31);
    world.request("Stop", Some("vmi-2"));
    world.scene("A stop is requested", 40);
    world.scene("The instance goes", 40);
    world.gone();
    world.scene("A guest that ran leaves nothing to wait for", 41);
    world.story.ends_as("machine-stopped-early");
}

#[test]
fn receiver() {
    let mut world = World::new(RunStrategy::WaitAsReceiver);
    world.observed.vm.restore = Some(RunStrategy::RerunOnFailure);
    world.scene("A machine is to receive", 0);
    world.instance().receiver = true;
    world.phase("WaitingForSync");
    world.scene("Its instance waits for its state", 1);
    world.instance().receiver = false;
    world.phase("Running");
    world.scene("It runs, but nothing says that it arrived", 9);
    world.instance().received = true;
    world.scene("It has arrived", 10);
    world.scene("From now on it is like any other", 11);
    world.story.ends_as("machine-receiver");
}

#[test]
fn others() {
    let mut world = World::new(RunStrategy::Once);
    world.scene("Once: the machine starts", 0);
    world.phase("Failed");
    world.scene("Once: an instance that failed stays", 10);
    world.observed.vm.deleting = true;
    world.scene("The machine is deleted", 20);
    world.scene("Its instance goes", 21);
    world.gone();
    world.scene("Its instance is gone", 22);
    world.story.ends_as("machine-once-and-deletion");

    let mut world = World::new(RunStrategy::Halted);
    world.scene("Halted: nothing is started", 0);
    world.request("Start", None);
    world.scene("Halted: a start request makes it Always", 10);
    world.scene("The machine starts", 11);
    world.story.ends_as("machine-halted");
}

#[test]
fn orphan() {
    let mut world = World::new(RunStrategy::Manual);
    world.observed.instance =
        Some(Instance { uid: "left".into(), phase: "Running".into(), ..Instance::default() });
    world.scene("A machine of this name left its instance behind", 0);
    world.scene("It is this machine's now", 1);
    world.request("Stop", Some("left"));
    world.scene("And stops with it", 2);
    world.story.ends_as("machine-orphan");
}

#[test]
fn words() {
    let mut world = World::new(RunStrategy::Always);
    world.observed.instance = Some(Instance {
        uid: "other".into(),
        phase: "Running".into(),
        owner: Ownership::Others,
        ..Instance::default()
    });
    world.scene("Somebody else's instance has the name", 0);
    world.gone();
    world.observed.trouble = Some(Trouble {
        reason: "FailedCreate".into(),
        message: "create virtualmachineinstances default: refused: spec.domain.cpu.cores must be at least 1"
            .into(),
    });
    world.scene("The instance is refused", 10);
    world.observed.trouble = None;
    world.condition(Condition::new(
        "PodScheduled",
        false,
        "Unschedulable",
        "0/1 nodes are available: 1 Insufficient memory.",
    ));
    world.scene("No node has room", 15);
    let unbound = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
    world.condition(Condition::new("PodScheduled", false, "Unschedulable", unbound));
    world.scene("A claim that has no volume yet keeps the scheduler", 15);
    world.condition(Condition::new(
        "Synchronized",
        false,
        "FailedPvcNotFound",
        "The claim data does not exist",
    ));
    world.scene("A claim is missing", 16);
    plan::condition::remove(&mut world.instance().conditions, "PodScheduled");
    plan::condition::remove(&mut world.instance().conditions, "Synchronized");
    world.observed.vm.unbound_claims = true;
    world.scene("A claim gets its volume once the node is known", 16);
    world.observed.vm.unbound_claims = false;
    world.condition(Condition::new("Synchronized", false, "ErrImagePull", "image quay.local/x:1 not found"));
    world.scene("An image is missing", 16);
    plan::condition::remove(&mut world.instance().conditions, "Synchronized");
    world.condition(Condition::new(
        "Unsupported",
        true,
        "UnsupportedFields",
        "spec.domain.launchSecurity: no node offers it; remove it",
    ));
    world.scene("A field cannot be had", 17);
    plan::condition::remove(&mut world.instance().conditions, "Unsupported");
    world.phase("Unknown");
    world.scene("Nobody hears of the node", 18);
    world.phase("Running");
    world.observed.vm.generation = 2;
    world.observed.rollout.follow = Some(serde_json::json!({"nodeSelector": {"zone": "a"}}));
    world.scene("The template says that it may go elsewhere", 20);
    world.observed.vm.generation = 3;
    world.observed.rollout.restart_required = true;
    world.scene("The template changes while it runs", 21);
    world.story.ends_as("machine-words");
}

#[test]
fn a_stop_overtakes_a_restart() {
    let mut world = World::new(RunStrategy::Always);
    world.scene("A machine is created", 0);
    world.phase("Running");
    world.scene("It runs", 10);
    let stop = StateChange { action: "Stop".into(), uid: Some("vmi-1".into()), ..StateChange::default() };
    world.observed.vm.status.state_change_requests = vec![stop, StateChange::start()];
    world.scene("A restart is asked for", 20);
    world.observed.vm.strategy = RunStrategy::Halted;
    world.observed.vm.generation = 2;
    world.scene("It is switched off before the old instance is gone", 21);
    world.gone();
    world.scene("It is gone, and nothing replaces it", 22);
    world.scene("Nothing new", 500);
    assert_eq!(world.observed.vm.strategy, RunStrategy::Halted);
    assert_eq!(world.instances, 1);
    world.story.ends_as("machine-stop-overtakes-restart");
}

#[test]
fn a_status_that_is_right_is_not_written() {
    let status = Status { printable_status: Some("Stopped".into()), ..Status::default() };
    let mut world = World::new(RunStrategy::Halted);
    world.observed.vm.status = status;
    world.scene("", 0);
    assert_eq!(step(&world.observed, after(1)).actions, []);
}
