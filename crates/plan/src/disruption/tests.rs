//! Budgets of all forms, and what evictions leave behind.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn pods(ready: usize, unready: usize) -> Vec<Pod> {
    let pod = |at: usize, ready| Pod { name: format!("p{at}"), ready, deleting: false };
    (0..ready).map(|at| pod(at, true)).chain((ready..ready + unready).map(|at| pod(at, false))).collect()
}

fn observed(bounds: Value, pods: Vec<Pod>, wanted: i64) -> Observed {
    Observed {
        name: "b".to_owned(),
        generation: 1,
        bounds: serde_json::from_value(bounds).unwrap(),
        status: Status::default(),
        pods,
        wanted: Ok(Wanted { pods: wanted, unmanaged: Vec::new() }),
    }
}

/// The status after a step.
fn after(observed: &Observed, now: Timestamp) -> Status {
    let mut status = serde_json::to_value(&observed.status).unwrap();
    for action in step(observed, now).actions {
        if let Action::Report(change) = action {
            merge(&mut status, &change);
        }
    }
    serde_json::from_value(status).unwrap()
}

fn merge(object: &mut Value, change: &Value) {
    let Value::Object(fields) = change else { return change.clone_into(object) };
    for (name, value) in fields {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut object[name], value);
        }
    }
}

#[test]
fn what_is_allowed_follows_from_bounds_and_pods() {
    // Bounds, ready and other Pods, what owners want: expected, desired, allowed.
    for (bounds, ready, unready, wanted, expected) in [
        (json!({"minAvailable": 1}), 2, 0, 0, (2, 1, 1)),
        (json!({"minAvailable": 2}), 2, 1, 0, (3, 2, 0)),
        (json!({"minAvailable": 3}), 2, 0, 0, (2, 3, 0)),
        (json!({"minAvailable": 0}), 2, 0, 0, (2, 0, 2)),
        (json!({"minAvailable": "50%"}), 4, 0, 5, (5, 3, 1)),
        (json!({"minAvailable": "100%"}), 4, 0, 4, (4, 4, 0)),
        (json!({"maxUnavailable": 1}), 3, 0, 3, (3, 2, 1)),
        (json!({"maxUnavailable": 1}), 2, 1, 3, (3, 2, 0)),
        (json!({"maxUnavailable": 5}), 3, 0, 3, (3, 0, 3)),
        (json!({"maxUnavailable": "30%"}), 10, 0, 10, (10, 7, 3)),
        (json!({"maxUnavailable": "1%"}), 3, 0, 3, (3, 2, 1)),
        (json!({"minAvailable": 0}), 0, 0, 0, (0, 0, 0)),
        (json!({}), 2, 0, 0, (0, 0, 0)),
    ] {
        let seen = observed(bounds.clone(), pods(ready, unready), wanted);
        let status = after(&seen, at(0));
        let counted = (status.expected_pods, status.desired_healthy, status.disruptions_allowed);
        assert_eq!(counted, expected, "{bounds} with {ready} of {}", ready + unready);
        assert_eq!(status.current_healthy, i64::try_from(ready).unwrap());
        assert_eq!(status.observed_generation, Some(1));
        let condition = &status.conditions[0];
        let said = if expected.2 > 0 { ("True", ENOUGH) } else { ("False", TOO_FEW) };
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), said);
        // What is said once is not said again.
        assert_eq!(step(&Observed { status, ..seen }, at(5)).actions, []);
    }
}

#[test]
fn pods_that_go_do_not_count() {
    let mut seen = observed(json!({"minAvailable": 1}), pods(3, 0), 0);
    seen.pods[0].deleting = true;
    assert_eq!(after(&seen, at(0)).disruptions_allowed, 1);
    // An eviction has taken one, which is still there.
    seen.status.disrupted_pods.insert("p1".to_owned(), at(0));
    // One that is on its way is none any more.
    seen.status.disrupted_pods.insert("p0".to_owned(), at(0));
    let plan = step(&seen, at(20));
    assert_eq!(plan.again.unwrap().after, Duration::from_secs(100));
    let status = after(&seen, at(20));
    assert_eq!((status.current_healthy, status.disruptions_allowed), (1, 0));
    assert_eq!(status.disrupted_pods.into_keys().collect::<Vec<_>>(), ["p1"]);
    // After two minutes it counts again, and somebody is told.
    let status = after(&seen, at(120));
    assert_eq!((status.current_healthy, status.disruptions_allowed), (2, 1));
    assert!(status.disrupted_pods.is_empty());
    let told = step(&seen, at(120)).actions;
    assert!(
        told.iter().any(|action| matches!(action, Action::Tell(notice) if notice.reason == "NotDeleted"))
    );
}

#[test]
fn who_does_not_know_lets_none_go() {
    let mut seen = observed(json!({"maxUnavailable": 1}), pods(3, 0), 3);
    seen.status = after(&seen, at(0));
    seen.wanted = Err("nobody knows".to_owned());
    let status = after(&seen, at(7));
    assert_eq!((status.disruptions_allowed, status.current_healthy), (0, 3));
    let condition = &status.conditions[0];
    assert_eq!((condition.reason.as_str(), condition.message.as_str()), ("SyncFailed", "nobody knows"));
    assert_eq!(condition.last_transition_time, Some(at(7)));
    // A budget that speaks of numbers alone has no need to know.
    let seen = Observed { bounds: serde_json::from_value(json!({"minAvailable": 1})).unwrap(), ..seen };
    assert_eq!(after(&seen, at(8)).disruptions_allowed, 2);
}

#[test]
fn conditions_of_others_stay() {
    let mut seen = observed(json!({"minAvailable": 1}), pods(2, 0), 0);
    seen.status.conditions.push(Condition { kind: "Theirs".to_owned(), ..Condition::default() });
    let kinds: Vec<String> = after(&seen, at(0)).conditions.into_iter().map(|one| one.kind).collect();
    assert_eq!(kinds, ["Theirs", ALLOWED]);
}

proptest! {
    /// Whoever takes as many as are allowed leaves as many as have to be, and the second look says nothing new.
    #[test]
    fn what_is_allowed_leaves_enough(
        ready in 0_usize..12, unready in 0_usize..4, deleting in 0_usize..4, wanted in 0_i64..14,
        amount in 0_i64..13, form in 0_usize..4,
    ) {
        let bounds = match form {
            0 => json!({"minAvailable": amount}),
            1 => json!({"maxUnavailable": amount}),
            2 => json!({"minAvailable": format!("{}%", amount * 8)}),
            _ => json!({"maxUnavailable": format!("{}%", amount * 8)}),
        };
        let mut there = pods(ready, unready);
        for pod in there.iter_mut().take(deleting) {
            pod.deleting = true;
        }
        let seen = observed(bounds, there, wanted);
        let status = after(&seen, at(0));
        prop_assert!(status.disruptions_allowed >= 0);
        if status.disruptions_allowed > 0 {
            prop_assert!(status.current_healthy - status.disruptions_allowed >= status.desired_healthy);
        }
        prop_assert_eq!(step(&Observed { status, ..seen }, at(1)).actions, vec![]);
    }
}
