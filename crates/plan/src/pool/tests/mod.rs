//! What pools do, situation by situation.

mod machine;
mod update;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use machinery::selector::LabelSelector;
use serde_json::{Value, json};

use super::*;

const NOON: i64 = 1_767_614_400;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(NOON + second).unwrap()
}

fn pool(wanted: usize) -> Pool {
    Pool {
        name: "web".into(),
        uid: "uid-web".into(),
        created: at(-600),
        generation: 3,
        deleting: false,
        wanted,
        paused: false,
        selector: LabelSelector::parse("tier in (b,a),app=web").unwrap(),
        fits: true,
        may_be_away: Limit::of(None),
        scale_in: ScaleIn::of(None),
        update: Update::of(None),
        healing: None,
        status: Status::default(),
    }
}

/// A machine that runs, made from the template as it is.
fn member(index: usize) -> Member {
    Member {
        name: format!("web-{index}"),
        uid: format!("uid-{index}"),
        created: at(-600),
        deleting: false,
        selected: true,
        may_go: true,
        may_change: true,
        revision: Some("web-2".into()),
        ready: true,
        rests: false,
        halted: false,
        asked: false,
        failures: 0,
        failing_since: None,
        instance: Some(instance("web-2")),
    }
}

fn instance(revision: &str) -> Instance {
    Instance {
        uid: "instance".into(),
        revision: Some(revision.into()),
        deleting: false,
        ended: false,
        ready: true,
    }
}

/// A template whose instance has so much memory and whose machine has such a disk.
fn template(memory: &str, disk: &str, label: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": label}},
        "spec": {
            "dataVolumeTemplates": [{"metadata": {"name": disk}}],
            "template": {"spec": {"domain": {"memory": {"guest": memory}}}},
        },
    })
}

fn observed(pool: Pool, members: Vec<Member>) -> Observed {
    let current = template("2Gi", "new", "web");
    let kept = [("web-2", current.clone())].map(|(name, template)| (name.to_owned(), template)).into();
    let revisions = Arc::new(Revisions { current, kept });
    Observed { pool, members, taken: BTreeSet::new(), revisions, trouble: None }
}

/// The plan in words, without what is told.
fn words(observed: &Observed) -> Vec<String> {
    let plan = step(observed, at(0));
    let actions = plan.actions.iter().filter(|action| !matches!(action, Action::Tell(_)));
    actions.map(|action| action.to_string().lines().next().unwrap_or_default().to_owned()).collect()
}

fn scale_in(given: Value) -> ScaleIn {
    ScaleIn::of(Some(&serde_json::from_value(given).unwrap()))
}

#[test]
fn as_many_as_wanted() {
    let create = |index: usize| format!("create machine web-{index} from web-2");
    let going = |index| Member { deleting: true, ..member(index) };
    let deletes = |index: usize| format!("delete machine web-{index} (uid-{index})");
    let status = || vec!["write status".to_owned()];
    let new = Pool { generation: 1, ..pool(2) };
    let mut without_revision = observed(new, vec![]);
    without_revision.revisions =
        Arc::new(Revisions { current: template("2Gi", "new", "web"), ..Revisions::default() });
    let kept = |keeps: &str| {
        let strategy = scale_in(json!({"proactive": {"statePreservation": keeps}}));
        observed(Pool { scale_in: strategy, ..pool(0) }, vec![member(0)])
    };
    let table = [
        ("none yet", observed(pool(2), vec![]), vec![create(0), create(1)]),
        (
            "the first revision",
            without_revision,
            vec![
                "keep revision web-1".to_owned(),
                "create machine web-0 from web-1".to_owned(),
                "create machine web-1 from web-1".to_owned(),
            ],
        ),
        ("gaps are filled", observed(pool(3), vec![member(0), member(2)]), vec![create(1)]),
        (
            "names of others are left out",
            Observed { taken: ["web-1".to_owned()].into(), ..observed(pool(2), vec![member(0)]) },
            vec![create(2)],
        ),
        ("one that goes keeps its place", observed(pool(1), vec![going(0)]), status()),
        ("enough", observed(pool(1), vec![member(0)]), status()),
        ("too many", observed(pool(0), vec![member(0)]), vec![deletes(0)]),
        ("some go already", observed(pool(1), vec![going(0), member(1)]), status()),
        ("disks stay", kept("Offline"), vec!["keep the disks of machine web-0 (uid-0)".into(), deletes(0)]),
        (
            "disks stay, memory does not",
            kept("Online"),
            vec!["keep the disks of machine web-0 (uid-0)".into(), deletes(0)],
        ),
        ("disks go", kept("Disabled"), vec![deletes(0)]),
        (
            "opportunistic",
            observed(Pool { scale_in: scale_in(json!({"opportunistic": {}})), ..pool(0) }, vec![member(0)]),
            status(),
        ),
        (
            "unmanaged",
            observed(Pool { scale_in: scale_in(json!({"unmanaged": {}})), ..pool(0) }, vec![member(0)]),
            status(),
        ),
        ("paused", observed(Pool { paused: true, ..pool(3) }, vec![member(0)]), status()),
        ("being deleted", observed(Pool { deleting: true, ..pool(3) }, vec![member(0)]), status()),
        (
            "a selector that would never be content",
            observed(Pool { fits: false, ..pool(3) }, vec![]),
            status(),
        ),
        (
            "a label was taken off",
            observed(pool(2), vec![member(0), Member { selected: false, ..member(1) }]),
            vec!["release machine web-1 (uid-1)".to_owned()],
        ),
    ];
    for (situation, observed, expected) in table {
        assert_eq!(words(&observed), expected, "{situation}");
    }
}

#[test]
fn many_come_and_go_in_turns() {
    let turn = |wanted: usize, there: usize| {
        let plan = step(&observed(pool(wanted), (0..there).map(member).collect()), at(0));
        let moves = |action: &&Action| matches!(action, Action::Create { .. } | Action::Delete { .. });
        (plan.actions.iter().filter(moves).count(), plan.again.map(|again| again.after))
    };
    let at_once = Some(Duration::ZERO);
    for (wanted, there, expected) in
        [(10, 0, (10, None)), (25, 0, (10, at_once)), (0, 10, (10, None)), (1, 25, (10, at_once))]
    {
        assert_eq!(turn(wanted, there), expected, "{there} of {wanted}");
    }
}

#[test]
fn who_goes_first() {
    let members = || {
        let aged = |index: usize, age: i64| Member { created: at(-age), ..member(index) };
        vec![aged(0, 100), aged(10, 300), aged(2, 200)]
    };
    let gone = |policy: Value, members: Vec<Member>, wanted: usize| -> Vec<String> {
        let strategy = scale_in(json!({"proactive": {"selectionPolicy": policy}}));
        let all = words(&observed(Pool { scale_in: strategy, ..pool(wanted) }, members));
        all.iter()
            .filter_map(|line| Some(line.strip_prefix("delete machine ")?.split_once(' ')?.0.to_owned()))
            .collect()
    };
    for (order, expected) in [
        ("AscendingOrder", ["web-0", "web-2"]),
        ("DescendingOrder", ["web-10", "web-2"]),
        ("Newest", ["web-0", "web-2"]),
        ("Oldest", ["web-10", "web-2"]),
    ] {
        assert_eq!(gone(json!({"sortPolicy": order}), members(), 1), expected, "{order}");
    }
    for policy in [json!({"sortPolicy": "Random"}), json!({})] {
        let first = gone(policy.clone(), members(), 1);
        assert_eq!(
            (first.len(), gone(policy.clone(), members(), 1)),
            (2, first),
            "{policy}: by lot, and the same again"
        );
    }
    let mut silent = members();
    silent[1].instance = None;
    assert_eq!(gone(json!({}), silent, 2), ["web-10"], "what serves nobody is missed least");
}

#[test]
fn selectors_choose_who_may_go() {
    let policy =
        |selectors: Value| scale_in(json!({"proactive": {"selectionPolicy": {"selectors": selectors}}}));
    let labels = json!({"matchLabels": {"drain": "yes"}});
    let nodes = json!([{"key": "zone", "operator": "In", "values": ["a", "b"]}, {"key": "cores", "operator": "Gt", "values": ["4"]}]);
    let strange = json!([{"key": "zone", "operator": "Like", "values": ["a"]}]);
    for (selectors, drain, zone, expected) in [
        (json!({}), "no", "c", true),
        (json!({"labelSelector": labels}), "yes", "c", true),
        (json!({"labelSelector": labels}), "no", "a", false),
        (json!({"nodeSelectorRequirementMatcher": nodes}), "no", "a", true),
        (json!({"nodeSelectorRequirementMatcher": nodes}), "yes", "c", false),
        (json!({"labelSelector": labels, "nodeSelectorRequirementMatcher": nodes}), "yes", "b", true),
        (json!({"labelSelector": labels, "nodeSelectorRequirementMatcher": nodes}), "yes", "c", false),
        (json!({"nodeSelectorRequirementMatcher": strange}), "yes", "a", false),
    ] {
        let found = policy(selectors.clone()).lets_go(
            |name| (name == "drain").then_some(drain),
            |name| match name {
                "zone" => Some(zone),
                "cores" => Some("8"),
                _ => None,
            },
        );
        assert_eq!(found, expected, "{selectors} {drain} {zone}");
    }
    let stays = Member { may_go: false, ..member(1) };
    let one = observed(pool(0), vec![member(0), stays.clone()]);
    assert_eq!(words(&one), ["delete machine web-0 (uid-0)"], "only who may go goes");
    let stuck = step(&observed(pool(0), vec![stays]), at(0)).to_string();
    assert!(
        stuck.contains("condition ReplicaFailure=True FailedScaleIn: 1 machines are too many"),
        "{stuck}"
    );
}

#[test]
fn machines_that_do_not_start_are_replaced() {
    let given = json!({"startUpFailureThreshold": 2, "minFailingToStartDuration": "1m30s"});
    let healing = Healing::of(&serde_json::from_value(given).unwrap());
    let defaults = Healing::of(&serde_json::from_value(json!({})).unwrap());
    assert_eq!(defaults, Healing { threshold: 3, patience: Duration::from_secs(300) });
    let heals = |member: Member| {
        let pool = Pool { healing: Some(healing.clone()), ..pool(1) };
        let plan = step(&observed(pool, vec![member]), at(0));
        let deletes = plan.actions.iter().any(|action| matches!(action, Action::Delete { .. }));
        (deletes, plan.again.map(|again| again.after.as_secs()))
    };
    let failing = |since: i64| Member { failing_since: Some(at(-since)), ..member(0) };
    for (situation, member, expected) in [
        ("all is well", member(0), (false, None)),
        ("one failure", Member { failures: 1, ..member(0) }, (false, None)),
        ("two failures", Member { failures: 2, ..member(0) }, (true, None)),
        ("failing for a while", failing(60), (false, Some(30))),
        ("failing for long", failing(90), (true, None)),
        ("it is young", Member { failures: 9, created: at(-4), ..member(0) }, (false, Some(6))),
        ("it goes already", Member { failures: 9, deleting: true, ..member(0) }, (false, None)),
    ] {
        assert_eq!(heals(member), expected, "{situation}");
    }
    let paused = Pool { healing: Some(healing), paused: true, ..pool(1) };
    assert_eq!(words(&observed(paused, vec![failing(900)])), ["write status"]);
    assert_eq!(words(&observed(pool(1), vec![failing(900)])), ["write status"], "pools heal when told to");
}

#[test]
fn the_status_tells_numbers_selector_and_trouble() {
    let starting = Member { ready: false, instance: None, ..member(1) };
    let mut one = observed(pool(2), vec![member(0), starting]);
    let told = |observed: &Observed| {
        let plan = step(observed, at(0));
        plan.actions.into_iter().find_map(|action| match action {
            Action::WriteStatus { patch } => Some(patch),
            _ => None,
        })
    };
    let numbers = json!({"replicas": 2, "readyReplicas": 1, "labelSelector": "app=web,tier in (a,b)"});
    assert_eq!(told(&one), Some(numbers.clone()));
    one.pool.status = serde_json::from_value(numbers).unwrap();
    assert_eq!(told(&one), None, "nothing new");
    one.trouble =
        Some(Trouble { reason: "FailedScaleOut", event: "FailedCreate", message: "no quota".into() });
    assert_eq!(told(&one), None, "nothing is tried");
    one.pool.wanted = 3;
    let plan = step(&one, at(0)).to_string();
    let lines: Vec<&str> = plan.lines().map(str::trim).collect();
    assert_eq!(
        lines[1..5],
        [
            "condition ReplicaFailure=True FailedScaleOut: no quota",
            "warning FailedCreate: no quota",
            "warning FailedScaleOut: no quota",
            "create machine web-2 from web-2",
        ]
    );
    one.pool.paused = true;
    let plan = step(&one, at(0)).to_string();
    assert!(plan.contains("condition ReplicaPaused=True SuccessfulPaused"), "{plan}");
    assert!(plan.contains("event SuccessfulPaused"), "{plan}");
}

#[test]
fn what_a_new_pool_does_is_reported_together() {
    let new = Pool { created: at(0), ..pool(1) };
    let plan = step(&observed(new.clone(), vec![member(0)]), at(0));
    assert_eq!((plan.actions.len(), plan.again.map(|again| again.after.as_secs())), (0, Some(1)));
    assert_eq!(words(&observed(new, vec![])), ["create machine web-0 from web-2"], "it begins at once");
}

#[test]
fn a_machine_goes_when_its_pool_lets_it() {
    let opportunistic = |keeps: &str| Pool {
        scale_in: scale_in(json!({"opportunistic": {"statePreservation": keeps}})),
        ..pool(1)
    };
    let proactive =
        Pool { scale_in: scale_in(json!({"proactive": {"statePreservation": "Offline"}})), ..pool(1) };
    let going = |pool: Pool| Pool { deleting: true, ..pool };
    let farewell = |keeps_disks: bool| Some(Farewell { keeps_disks });
    for (situation, deleting, pool, expected) in [
        ("it lives", false, Some(pool(1)), None),
        ("somebody deleted it", true, Some(pool(1)), farewell(false)),
        ("with disks that stay", true, Some(opportunistic("Offline")), farewell(true)),
        ("with disks that go", true, Some(opportunistic("Disabled")), farewell(false)),
        ("the pool chose whose disks stay", true, Some(proactive), farewell(false)),
        ("the pool goes as well", true, Some(going(opportunistic("Online"))), farewell(false)),
        ("the pool goes", false, Some(going(pool(1))), None),
        ("a paused pool holds nobody", true, Some(Pool { paused: true, ..pool(1) }), farewell(false)),
        ("its owner was taken off, or is gone", false, None, farewell(false)),
    ] {
        assert_eq!(leave(deleting, pool.as_ref()), expected, "{situation}");
    }
}
