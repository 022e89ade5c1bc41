//! How a changed template reaches machines and their instances.

use super::*;

/// A pool whose template changed since `before`, which was kept as `web-1`.
fn changed(pool: Pool, before: Value, members: Vec<Member>) -> Observed {
    let mut observed = observed(pool, members);
    Arc::make_mut(&mut observed.revisions).kept.insert("web-1".into(), before);
    observed
}

fn of(index: usize, machine: &str, found: &str) -> Member {
    Member { revision: Some(machine.into()), instance: Some(instance(found)), ..member(index) }
}

fn strategy(given: Value) -> Update {
    Update::of(Some(&serde_json::from_value(given).unwrap()))
}

#[test]
fn what_a_change_means() {
    let (memory, disk, label) =
        (template("1Gi", "new", "web"), template("2Gi", "old", "web"), template("2Gi", "new", "shop"));
    let update = "update machine web-0 (uid-0) to web-2";
    let again = "restart machine web-0 (instance instance)";
    let with = |given: Value, before: &Value, member: Member| {
        let pool = Pool { update: strategy(given), ..pool(1) };
        let mut lines = words(&changed(pool, before.clone(), vec![member]));
        lines.retain(|line| line != "write status" && !line.starts_with("forget"));
        lines
    };
    let proactive = || json!({"proactive": {}});
    let bare = Member { instance: Some(Instance { revision: None, ..instance("") }), ..member(0) };
    let lost = Member { revision: None, ..member(0) };
    let halted = Member { halted: true, ..of(0, "web-2", "web-1") };
    let asked = Member { asked: true, ..of(0, "web-2", "web-1") };
    let ended = Member { instance: Some(Instance { ended: true, ..instance("web-1") }), ..member(0) };
    let kept_out = Member { may_change: false, ..of(0, "web-1", "web-1") };
    let table: Vec<(&str, Value, &Value, Member, Vec<&str>)> = vec![
        ("the machine comes first", proactive(), &memory, of(0, "web-1", "web-1"), vec![update]),
        ("then its instance", proactive(), &memory, of(0, "web-2", "web-1"), vec![again]),
        ("which is there", proactive(), &memory, of(0, "web-2", "web-2"), vec![]),
        (
            "what does not reach instances restarts none",
            proactive(),
            &label,
            of(0, "web-2", "web-1"),
            vec!["label instance web-0 with web-2"],
        ),
        (
            "other disks need another machine",
            proactive(),
            &disk,
            of(0, "web-2", "web-1"),
            vec!["delete machine web-0 (uid-0) after what it owns"],
        ),
        ("opportunistic", json!({"opportunistic": {}}), &memory, of(0, "web-1", "web-1"), vec![update]),
        ("and no more", json!({"opportunistic": {}}), &memory, of(0, "web-2", "web-1"), vec![]),
        ("nobody knows what it was", proactive(), &memory, lost, vec![update]),
        ("nor what its revision was", proactive(), &memory, of(0, "web-0", "web-2"), vec![update]),
        ("nor what its instance was", proactive(), &memory, of(0, "web-2", "web-0"), vec![again]),
        ("nor whether it had one", proactive(), &memory, bare, vec![again]),
        ("a machine that is off stays so", proactive(), &memory, halted, vec![]),
        ("somebody restarts it already", proactive(), &memory, asked, vec![]),
        ("a guest that ended stays so", proactive(), &memory, ended, vec![]),
        ("the policy leaves it out", proactive(), &memory, kept_out, vec![]),
    ];
    for (situation, given, before, member, expected) in table {
        assert_eq!(with(given, before, member), expected, "{situation}");
    }
    let unmanaged = strategy(json!({"unmanaged": {}}));
    assert!(!unmanaged.lets_change(|_| None, |_| None), "the pool has no say in it");
}

#[test]
fn few_are_away_at_once() {
    let restarts = |limit: Limit, members: Vec<Member>| {
        let pool = Pool { may_be_away: limit, ..pool(members.len()) };
        let lines = words(&changed(pool, template("1Gi", "new", "web"), members));
        lines.iter().filter(|line| line.starts_with("restart")).count()
    };
    let old = |count: usize| (0..count).map(|index| of(index, "web-2", "web-1")).collect::<Vec<_>>();
    assert_eq!(restarts(Limit::Count(1), old(4)), 1);
    assert_eq!(restarts(Limit::Count(3), old(4)), 3);
    assert_eq!(restarts(Limit::of(None), old(4)), 4);
    let percent = |text: &str| Limit::of(Some(&serde_json::from_value(json!(text)).unwrap()));
    assert_eq!(restarts(percent("50%"), old(4)), 2);
    assert_eq!(restarts(percent("10%"), old(4)), 1, "one at least");
    let with = |change: &dyn Fn(&mut Member)| {
        let mut members = old(4);
        change(&mut members[3]);
        restarts(Limit::Count(1), members)
    };
    let absent = |member: &mut Member| member.instance = None;
    assert_eq!(with(&absent), 0, "one is away");
    let stopped = |member: &mut Member| (member.instance, member.rests) = (None, true);
    assert_eq!(with(&stopped), 1, "one is away for good");
    assert_eq!(with(&|member| member.asked = true), 0, "one is about to go");
    assert_eq!(with(&|member| member.deleting = true), 0, "one is going");
    let silent = |member: &mut Member| member.instance.as_mut().unwrap().ready = false;
    assert_eq!(with(&silent), 1, "one serves nobody: it comes first, and for nothing");
}

#[test]
fn revisions_go_that_nobody_needs() {
    let (old, new) = (template("1Gi", "new", "web"), template("2Gi", "new", "web"));
    let mut one = changed(pool(1), old.clone(), vec![of(0, "web-2", "web-2")]);
    assert_eq!(words(&one), ["write status", "forget revision web-1"]);
    one.members[0].instance = Some(instance("web-1"));
    assert!(!words(&one).iter().any(|line| line.starts_with("forget")), "its instance is of it");
    // Of two that say the same, the newer one counts; a template that returns finds its revision again.
    let kept = [("web-2", &new), ("web-10", &new), ("web-7", &old)];
    let kept = kept.map(|(name, template)| (name.to_owned(), template.clone())).into();
    let revisions = Revisions { current: new, kept };
    assert_eq!(revisions.in_force(), Some("web-10"));
    assert!(!revisions.is_outdated(Some("web-2")) && revisions.is_outdated(Some("web-7")));
    assert_eq!(Revisions { current: old, ..revisions }.in_force(), Some("web-7"));
}
