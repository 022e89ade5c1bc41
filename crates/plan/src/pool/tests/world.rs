//! A world that does what plans say, at once or after a while: whatever it begins with, and wherever a controller is
//! interrupted, what must never happen does not, and in the end all is as it should be.

use proptest::prelude::*;

use super::*;

struct World {
    observed: Observed,
    serial: usize,
}

impl World {
    fn revisions(&mut self) -> &mut Revisions {
        Arc::make_mut(&mut self.observed.revisions)
    }

    fn member(&mut self, uid: &str) -> &mut Member {
        self.observed.members.iter_mut().find(|member| member.uid == uid).unwrap()
    }

    fn away(&self) -> usize {
        self.observed.members.iter().filter(|member| member.is_away()).count()
    }

    fn carry_out(&mut self, action: &Action, now: i64) {
        match action {
            Action::Release { name, uid } => {
                self.observed.members.retain(|member| member.uid != *uid);
                self.observed.taken.insert(name.clone());
            }
            Action::KeepRevision { name } => {
                let current = self.observed.revisions.current.clone();
                assert!(self.revisions().kept.insert(name.clone(), current).is_none(), "{name} is there");
            }
            Action::ForgetRevision { name } => {
                let uses = |member: &Member| {
                    let instance = member.instance.as_ref().and_then(|instance| instance.revision.as_ref());
                    member.revision.as_ref() == Some(name) || instance == Some(name)
                };
                assert!(!self.observed.members.iter().any(uses), "{name} is in use");
                self.revisions().kept.remove(name);
            }
            Action::Create { name, index, revision } => {
                let taken = self.observed.members.iter().any(|member| member.name == *name);
                assert!(!taken && !self.observed.taken.contains(name), "{name} is taken");
                assert!(self.observed.revisions.kept.contains_key(revision), "{revision} is not kept");
                self.serial += 1;
                let uid = format!("new-{}", self.serial);
                let revision = Some(revision.clone());
                let made = Member {
                    uid,
                    revision,
                    created: at(now),
                    ready: false,
                    instance: None,
                    ..member(*index)
                };
                self.observed.members.push(made);
                let (count, wanted) = (self.observed.members.len(), self.observed.pool.wanted);
                assert!(count <= wanted, "{count} of {wanted}");
            }
            Action::Delete { uid, .. } => self.member(uid).deleting = true,
            Action::Update { uid, revision, .. } => self.member(uid).revision = Some(revision.clone()),
            Action::Restart { uid, .. } => self.member(uid).asked = true,
            Action::Relabel { name, revision, .. } => {
                let named = self.observed.members.iter_mut().find(|member| member.name == *name).unwrap();
                named.instance.as_mut().unwrap().revision = Some(revision.clone());
            }
            Action::WriteStatus { patch } => {
                let mut status = serde_json::to_value(&self.observed.pool.status).unwrap();
                status.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
                status.as_object_mut().unwrap().retain(|_, value| *value != Value::Null);
                self.observed.pool.status = serde_json::from_value(status).unwrap();
            }
            Action::KeepDisks { .. } | Action::Tell(_) => {}
        }
    }

    /// Time goes by: what is to go is gone, what is asked to restart has a new instance, and what has an instance is ready.
    fn live(&mut self) {
        self.observed.members.retain(|member| !member.deleting);
        for member in &mut self.observed.members {
            let restarts = member.asked || member.instance.as_ref().is_none_or(|instance| instance.deleting);
            if restarts || member.halted {
                let fresh = Instance { revision: member.revision.clone(), ready: false, ..instance("") };
                member.instance = (!member.halted).then_some(fresh);
                (member.ready, member.asked, member.rests) = (false, false, member.halted);
            } else if let Some(instance) = member.instance.as_mut().filter(|instance| !instance.ended) {
                (instance.ready, member.ready) = (true, true);
            }
        }
    }
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    let revision = || prop::sample::select(vec![None, Some("web-1"), Some("web-2"), Some("web-0")]);
    let one = (any::<[bool; 6]>(), revision(), prop::option::of(revision()), -100..0_i64);
    prop::collection::vec(one, 0..25).prop_map(|all| {
        let mut members = Vec::new();
        for (index, ([selected, deleting, halted, asked, ready, gap], machine, found, created)) in
            all.into_iter().enumerate()
        {
            let instance =
                found.map(|found| Instance { revision: found.map(str::to_owned), ready, ..instance("") });
            let like = member(if gap { index * 2 + 30 } else { index });
            members.push(Member {
                created: at(created),
                selected,
                deleting,
                halted,
                asked,
                ready: ready && instance.is_some(),
                rests: halted && instance.is_none(),
                revision: machine.map(str::to_owned),
                instance,
                ..like
            });
        }
        members
    })
}

proptest! {
    #[test]
    fn any_state_comes_to_what_is_wanted(
        members in members(),
        wanted in 0..25_usize,
        limit in 1..6_usize,
        cuts in prop::collection::vec(0..8_usize, 0..8),
    ) {
        let limit = Limit::Count(limit);
        let mut start = observed(Pool { may_be_away: limit, ..pool(wanted) }, members);
        Arc::make_mut(&mut start.revisions).kept.insert("web-1".into(), template("1Gi", "new", "web"));
        let mut world = World { observed: start, serial: 0 };
        let mut cuts = cuts.into_iter();
        for now in 0..120 {
            // A controller that is killed does the beginning of its plan.
            let most = cuts.next().unwrap_or(usize::MAX);
            let before = world.away();
            let plan = step(&world.observed, at(now));
            for action in plan.actions.iter().take(most) {
                world.carry_out(action, now);
            }
            let changes = |action: &Action| matches!(action, Action::Restart { .. } | Action::Delete { clean: true, .. });
            if plan.actions.iter().any(changes) {
                prop_assert!(world.away() <= before.max(limit.count(wanted)), "{} away", world.away());
            }
            let names: BTreeSet<&str> = world.observed.members.iter().map(|member| member.name.as_str()).collect();
            prop_assert_eq!(names.len(), world.observed.members.len());
            if now % 2 == 1 {
                world.live();
            }
        }
        let end = &world.observed;
        prop_assert_eq!(end.members.len(), wanted);
        prop_assert_eq!(end.pool.status.replicas, Some(wanted));
        prop_assert_eq!(end.revisions.kept.keys().collect::<Vec<_>>(), ["web-2"]);
        for member in &end.members {
            prop_assert_eq!(member.revision.as_deref(), Some("web-2"));
            let found = member.instance.as_ref().map(|instance| instance.revision.as_deref());
            prop_assert!(member.halted || found == Some(Some("web-2")), "{}", member.name);
        }
        prop_assert_eq!(step(end, at(120)).actions, vec![]);
    }
}
