//! Stories of workloads that nobody makes Pods for.

use std::fmt;

use plan::workloads::{Action, Kind, Observed, Spec, Status, step};
use serde_json::Value;

use super::teller::{Story, after, noon};

struct Shown<'a>(&'a Observed);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Observed { kind, deleting, generation, spec, status, .. } = self.0;
        write!(f, "a {kind} of generation {generation}{}", if *deleting { ", being deleted" } else { "" })?;
        let Spec { replicas, parallelism, suspend, managed_by } = spec;
        write!(
            f,
            "\n  replicas {replicas:?}, parallelism {parallelism:?}, rests {suspend}, of {managed_by:?}"
        )?;
        status.conditions.iter().try_for_each(|condition| write!(f, "\n  {condition}"))
    }
}

fn workload(kind: Kind) -> Observed {
    let (spec, status) = (Spec::default(), Status::default());
    Observed { kind, name: "web".into(), deleting: false, generation: 1, spec, status }
}

/// Returns the workload after its status was written.
fn written(observed: &Observed) -> Observed {
    let mut status = serde_json::to_value(&observed.status).unwrap();
    for action in step(observed, noon()).actions {
        if let Action::Report(Value::Object(change)) = action {
            let fields = status.as_object_mut().unwrap();
            fields.extend(change);
            fields.retain(|_, value| !value.is_null());
        }
    }
    Observed { status: serde_json::from_value(status).unwrap(), ..observed.clone() }
}

#[test]
fn each_kind_says_why_nothing_happens() {
    use Kind::{CronJob, DaemonSet, Deployment, Job, ReplicaSet, ReplicationController, StatefulSet};
    let mut story = Story::default();
    for kind in [Deployment, ReplicaSet, ReplicationController, StatefulSet, DaemonSet, Job, CronJob] {
        let new = workload(kind);
        story.scene(&format!("A new {kind}"), &Shown(&new), &step(&new, noon()));
        let said = written(&new);
        let again = step(&said, after(60));
        if kind == CronJob {
            assert!(again.actions.iter().all(|action| matches!(action, Action::Tell(_))), "{again}");
        } else {
            assert_eq!(again.actions, [], "{kind} says it once");
        }
    }
    story.ends_as("workloads-new");
}

#[test]
fn what_wants_no_pods_is_content() {
    let mut story = Story::default();
    let mut tell = |title: &str, observed: &Observed| {
        story.scene(title, &Shown(observed), &step(observed, after(60)));
        written(observed)
    };
    let none = |observed: Observed| Observed {
        spec: Spec { replicas: Some(0), ..Spec::default() },
        generation: 2,
        ..observed
    };
    let some = |observed: Observed| Observed { spec: Spec::default(), generation: 3, ..observed };
    for kind in [Kind::Deployment, Kind::ReplicaSet] {
        let down = tell("It is scaled to nothing", &none(written(&workload(kind))));
        tell("It is scaled up again", &some(down));
    }
    let resting = Spec { suspend: true, ..Spec::default() };
    let rests = tell("A Job that rests", &Observed { spec: resting.clone(), ..workload(Kind::Job) });
    let failed = tell("It is to go on", &Observed { spec: Spec::default(), ..rests });
    tell("It has failed", &failed);
    tell("A CronJob that rests", &Observed { spec: resting, ..workload(Kind::CronJob) });
    let elsewhere = Spec { managed_by: Some("example.test/queue".into()), ..Spec::default() };
    tell("A Job of somebody else", &Observed { spec: elsewhere, ..workload(Kind::Job) });
    tell("It goes", &Observed { deleting: true, ..workload(Kind::Deployment) });
    story.ends_as("workloads-content");
}
