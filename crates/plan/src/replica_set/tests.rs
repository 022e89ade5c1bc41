use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use machinery::selector::LabelSelector;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOON: i64 = 1_767_614_400;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(NOON + second).unwrap()
}

fn set(wanted: usize) -> Set {
    Set {
        name: "web".into(),
        uid: "uid-web".into(),
        created: at(-60),
        generation: 1,
        deleting: false,
        marked: true,
        wanted,
        paused: false,
        selector: LabelSelector::parse("tier in (b,a),app=web").unwrap(),
        fits: true,
        base: "web".into(),
        status: Status::default(),
    }
}

fn member(name: &str, phase: &str) -> Member {
    Member {
        name: name.into(),
        uid: format!("uid-{name}"),
        ours: true,
        selected: true,
        created: at(-60),
        deleting: false,
        phase: phase.into(),
        ready: phase == "Running",
        losing_pod: false,
    }
}

fn observed(wanted: usize, members: Vec<Member>) -> Observed {
    let taken = members.iter().map(|member| member.name.clone()).collect();
    Observed { set: set(wanted), members, taken, trouble: None }
}

/// The plan in words, without what is told.
fn words(observed: &Observed) -> Vec<String> {
    let plan = step(observed, at(0));
    let actions = plan.actions.iter().filter(|action| !matches!(action, Action::Tell(_)));
    actions.map(|action| action.to_string().lines().next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn as_many_as_wanted() {
    let running = |name| member(name, "Running");
    let place = |place| name::replica("web", "uid-web", 1, place);
    let create = |at| format!("create instance {}", place(at));
    let table = [
        ("none yet", observed(2, vec![]), vec![create(0), create(1)]),
        ("one is missing", observed(2, vec![running("a")]), vec![create(0)]),
        ("a name that is taken is left out", observed(2, vec![running(&place(0))]), vec![create(1)]),
        (
            "one that goes is replaced at once",
            observed(1, vec![Member { deleting: true, ..running("a") }]),
            vec![create(0)],
        ),
        ("enough", observed(1, vec![running("a")]), vec!["write status".to_owned()]),
        (
            "a Pod that goes takes its instance along",
            observed(1, vec![Member { losing_pod: true, ..running("a") }]),
            vec!["delete instance a (uid-a)".to_owned(), create(0)],
        ),
        (
            "what ended is replaced",
            observed(1, vec![member("a", "Failed")]),
            vec!["delete instance a (uid-a)".to_owned(), create(0)],
        ),
        (
            "what ended is removed where it is not missed",
            observed(1, vec![running("a"), member("b", "Succeeded")]),
            vec!["delete instance b (uid-b)".to_owned()],
        ),
        (
            "paused",
            Observed { set: Set { paused: true, ..set(3) }, ..observed(3, vec![member("a", "Failed")]) },
            vec!["write status".to_owned()],
        ),
        (
            "being deleted",
            Observed { set: Set { deleting: true, ..set(3) }, ..observed(3, vec![]) },
            vec!["write status".to_owned()],
        ),
        (
            "a selector that would never be content",
            Observed { set: Set { fits: false, ..set(3) }, ..observed(3, vec![]) },
            vec!["write status".to_owned()],
        ),
        (
            "nobody looked yet",
            Observed { set: Set { marked: false, ..set(0) }, ..observed(0, vec![]) },
            vec!["write status".to_owned(), "add the observed API version".to_owned()],
        ),
    ];
    for (situation, observed, expected) in table {
        assert_eq!(words(&observed), expected, "{situation}");
    }
}

#[test]
fn what_has_come_least_far_goes_first_and_then_the_youngest() {
    let young = Member { created: at(-5), ..member("young", "Running") };
    let members = vec![
        member("old", "Running"),
        Member { ready: false, ..member("silent", "Running") },
        member("scheduled", "Scheduled"),
        young,
        member("pending", "Pending"),
    ];
    let order = ["pending", "scheduled", "silent", "young", "old"];
    for wanted in 0..=5 {
        let gone = words(&observed(wanted, members.clone()));
        let expected =
            order.iter().take(5 - wanted).map(|name| format!("delete instance {name} (uid-{name})"));
        let expected: Vec<_> = if wanted == 5 { vec!["write status".to_owned()] } else { expected.collect() };
        assert_eq!(gone, expected, "{wanted} wanted");
    }
}

#[test]
fn belonging_is_settled_before_anything_is_counted() {
    let stranger = Member { ours: false, ..member("stranger", "Running") };
    let lost = Member { selected: false, ..member("lost", "Running") };
    let with = |member: Member| words(&observed(2, vec![member]));
    assert_eq!(with(stranger.clone()), ["claim instance stranger (uid-stranger)"]);
    assert_eq!(with(lost.clone()), ["release instance lost (uid-lost)"]);
    let paused =
        Observed { set: Set { paused: true, ..set(2) }, ..observed(2, vec![stranger.clone(), lost.clone()]) };
    assert_eq!(words(&paused).len(), 2, "a paused set knows its own, too");
    for left_alone in [
        Member { deleting: true, ..stranger.clone() },
        Member { phase: "Succeeded".into(), ..stranger.clone() },
        Member { selected: false, ..stranger.clone() },
        Member { deleting: true, ..lost.clone() },
    ] {
        let name = left_alone.name.clone();
        assert!(!with(left_alone).iter().any(|line| line.contains(&name)), "{name}");
    }
    let going = Observed { set: Set { deleting: true, ..set(2) }, ..observed(2, vec![stranger, lost]) };
    assert_eq!(words(&going), ["write status"], "a set that goes takes and gives nothing");
}

#[test]
fn guests_that_end_at_once_are_replaced_slowly() {
    let young = Member { created: at(-4), ..member("a", "Failed") };
    let plan = step(&observed(1, vec![young.clone()]), at(0));
    assert_eq!(plan.again.map(|again| again.after), Some(Duration::from_secs(6)));
    assert_eq!(words(&observed(1, vec![young.clone()])), ["write status"]);
    assert_eq!(words(&observed(0, vec![young])), ["delete instance a (uid-a)"], "unless none is wanted");
}

#[test]
fn the_status_tells_numbers_selector_and_trouble() {
    let mut one = observed(2, vec![member("a", "Running"), member("b", "Scheduling")]);
    let told = |observed: &Observed| {
        let plan = step(observed, at(0));
        plan.actions.into_iter().find_map(|action| match action {
            Action::WriteStatus { patch } => Some(patch),
            _ => None,
        })
    };
    let numbers = json!({"replicas": 2, "readyReplicas": 1, "labelSelector": "app=web,tier in (a,b)"});
    assert_eq!(told(&one), Some(numbers.clone()));
    one.set.status = serde_json::from_value(numbers).unwrap();
    assert_eq!(told(&one), None, "nothing new");
    // What was refused is told as long as it is tried again.
    one.trouble = Some(Trouble::new("FailedCreate", "exceeded quota"));
    assert_eq!(told(&one), None, "nothing is tried");
    one.set.wanted = 3;
    let plan = step(&one, at(0)).to_string();
    let lines: Vec<&str> = plan.lines().collect();
    assert_eq!(lines[1].trim(), "condition ReplicaFailure=True FailedCreate: exceeded quota", "{plan}");
    assert!(lines[2].starts_with("warning FailedCreate: exceeded quota"), "{plan}");
    assert!(lines[3].starts_with("create instance web"), "{plan}");
}

#[test]
fn what_a_new_set_does_is_reported_together() {
    let mut new = observed(1, vec![member("a", "Pending")]);
    new.set.created = at(0);
    new.set.marked = false;
    let plan = step(&new, at(0));
    assert_eq!((plan.actions.len(), plan.again.map(|again| again.after)), (0, Some(Duration::from_secs(1))));
    assert_eq!(step(&new, at(1)).actions.len(), 2, "its status, and its mark");
    new.members.clear();
    assert_eq!(words(&new).len(), 1, "it begins at once");
    let mut idle = observed(0, Vec::new());
    idle.set.created = at(0);
    let plan = step(&idle, at(1));
    assert_eq!((plan.actions.len(), plan.again.map(|again| again.after)), (0, Some(Duration::from_secs(4))));
    assert_eq!(step(&idle, at(5)).actions.len(), 1, "its status");
    new.trouble = Some(Trouble::new("FailedCreate", "exceeded quota"));
    assert!(words(&new)[0].starts_with("write status"), "trouble does not wait");
}

#[test]
fn resting_is_told_in_a_condition_and_events() {
    let mut resting = observed(1, vec![member("a", "Running")]);
    resting.set.paused = true;
    let plan = step(&resting, at(0)).to_string();
    assert!(
        plan.contains("condition ReplicaPaused=True Paused") && plan.contains("event SuccessfulPaused"),
        "{plan}"
    );
    resting.set.status = replicas::status(&seen(&resting, None), &WORDS, at(0));
    resting.set.paused = false;
    let plan = step(&resting, at(0)).to_string();
    assert!(plan.contains("conditions removed") && plan.contains("event SuccessfulResumed"), "{plan}");
}

/// A world that does what plans say, at once or after a while; what is created anew gets the time of its creation.
fn carry_out(observed: &mut Observed, action: &Action, now: i64) {
    let of = |uid: &str, members: &[Member]| members.iter().position(|member| member.uid == uid);
    match action {
        Action::Mark => observed.set.marked = true,
        Action::Claim { uid, .. } => {
            let one = of(uid, &observed.members).unwrap();
            observed.members[one].ours = true;
        }
        Action::Release { uid, .. } => {
            let one = of(uid, &observed.members).unwrap();
            observed.members[one].ours = false;
        }
        Action::Create { name } => {
            assert!(observed.taken.insert(name.clone()), "{name} is taken");
            observed.members.push(Member { created: at(now), ..member(name, "Pending") });
        }
        Action::Delete { uid, .. } => {
            let one = of(uid, &observed.members).unwrap();
            observed.members[one].deleting = true;
        }
        Action::WriteStatus { patch } => {
            let mut status = serde_json::to_value(&observed.set.status).unwrap();
            let fields = status.as_object_mut().unwrap();
            fields.extend(patch.as_object().unwrap().clone());
            fields.retain(|_, value| *value != Value::Null);
            observed.set.status = serde_json::from_value(status).unwrap();
        }
        Action::Tell(_) => {}
    }
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    let phase = prop::sample::select(vec![
        "",
        "Pending",
        "Scheduling",
        "Scheduled",
        "Running",
        "Succeeded",
        "Failed",
        "Unknown",
    ]);
    let one = (phase, any::<[bool; 5]>(), -100..0_i64);
    prop::collection::vec(one, 0..25).prop_map(|all| {
        let mut members = Vec::new();
        for (number, (phase, [ours, selected, deleting, ready, losing_pod], created)) in
            all.into_iter().enumerate()
        {
            let created = at(created);
            let like = member(&format!("m{number}"), phase);
            members.push(Member { ours, selected, created, deleting, ready, losing_pod, ..like });
        }
        members
    })
}

proptest! {
    /// Wherever it begins, and wherever it is interrupted, a set comes to the number that is wanted, and makes none too many.
    #[test]
    fn any_state_comes_to_the_number_that_is_wanted(
        members in members(), wanted in 0..25_usize, cuts in prop::collection::vec(0..8_usize, 0..6),
    ) {
        let mut world = observed(wanted, members);
        let mut cuts = cuts.into_iter();
        for now in 0..60 {
            // A controller that is killed does the beginning of its plan.
            let most = cuts.next().unwrap_or(usize::MAX);
            for action in step(&world, at(now)).actions.iter().take(most) {
                carry_out(&mut world, action, now);
                let makes = matches!(action, Action::Create { .. });
                prop_assert!(!makes || world.active().count() <= wanted, "{} of {wanted}", world.active().count());
            }
            // What is deleted goes after a while.
            let gone = |member: &Member| member.deleting && now % 3 == 2;
            let names: BTreeSet<String> = world.members.iter().filter(|m| gone(m)).map(|m| m.name.clone()).collect();
            world.members.retain(|member| !gone(member));
            world.taken.retain(|name| !names.contains(name));
        }
        prop_assert_eq!(world.active().count(), wanted);
        prop_assert_eq!(world.set.status.replicas, Some(wanted));
        prop_assert!(world.members.iter().all(|member| !member.ours || member.selected && member.is_active()));
        prop_assert_eq!(step(&world, at(60)).actions, vec![]);
    }
}
