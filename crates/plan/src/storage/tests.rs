//! Claims and volumes side by side: steps are carried out until nothing is left to do.

use super::claim::{self, Action as ForClaim};
use super::volume::{self, Action as ForVolume};
use super::*;
use crate::Plan;

/// A world in which plans are carried out at once.
#[derive(Default)]
struct World {
    claims: Vec<Claim>,
    volumes: Vec<Volume>,
    classes: Vec<Class>,
    places: Vec<Place>,
    users: Vec<String>,
    told: Vec<String>,
}

fn claim(name: &str) -> Claim {
    Claim {
        namespace: "shop".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        finalizers: vec![finalizer::CLAIM_PROTECTION.into()],
        modes: vec!["ReadWriteOnce".into()],
        request: 1 << 30,
        request_text: "1Gi".into(),
        phase: "Pending".into(),
        ..Claim::default()
    }
}

fn by_hand(name: &str, capacity: u64) -> Volume {
    Volume {
        name: name.into(),
        uid: format!("uid-{name}"),
        finalizers: vec![finalizer::VOLUME_PROTECTION.into()],
        modes: vec!["ReadWriteOnce".into()],
        capacity,
        capacity_text: capacity.to_string(),
        reclaim: "Retain".into(),
        ..Volume::default()
    }
}

fn local() -> Class {
    Class {
        name: DEFAULT_CLASS.into(),
        provisioner: PROVISIONER.into(),
        delayed: true,
        reclaim: "Delete".into(),
        expandable: true,
        is_default: true,
        created: None,
    }
}

fn place() -> Place {
    Place { node: "a".into(), directory: Some("/volumes".into()), ..Place::default() }
}

impl World {
    fn claim(&mut self, name: &str) -> &mut Claim {
        self.claims.iter_mut().find(|claim| claim.name == name).unwrap()
    }

    fn volume(&mut self, name: &str) -> &mut Volume {
        self.volumes.iter_mut().find(|volume| volume.name == name).unwrap()
    }

    fn plan_claim(&self, index: usize) -> Plan<ForClaim> {
        claim::step(&claim::Observed {
            claim: self.claims[index].clone(),
            volumes: self.volumes.clone(),
            classes: self.classes.clone(),
            places: self.places.clone(),
            users: self.users.clone(),
        })
    }

    /// Carries out plans until they only tell things.
    fn settle(&mut self) {
        for _ in 0..50 {
            let mut quiet = true;
            for index in 0..self.claims.len() {
                for action in self.plan_claim(index).actions {
                    quiet &= matches!(action, ForClaim::Tell(_));
                    self.do_claim(index, action);
                }
            }
            for volume in self.volumes.clone() {
                let owner = volume.claim.clone().unwrap_or_default();
                let claim = self.claims.iter().find(|claim| owner.names(claim)).cloned();
                for action in volume::step(&volume::Observed { volume: volume.clone(), claim }).actions {
                    quiet = false;
                    let changed = self.volume(&volume.name);
                    match action {
                        ForVolume::Phase { phase } => changed.phase = phase.into(),
                        ForVolume::Delete => changed.deleting = true,
                        ForVolume::RemoveProtection => changed.finalizers.clear(),
                    }
                }
            }
            self.claims.retain(|claim| !(claim.deleting && claim.finalizers.is_empty()));
            self.volumes.retain(|volume| !(volume.deleting && volume.finalizers.is_empty()));
            self.check();
            if quiet {
                return;
            }
        }
        panic!("it never settles");
    }

    fn do_claim(&mut self, index: usize, action: ForClaim) {
        let claim = self.claims[index].clone();
        let changed = &mut self.claims[index];
        match action {
            ForClaim::SetClass { class } => changed.class = Some(class),
            ForClaim::AskProvisioner { provisioner } => changed.provisioner = Some(provisioner),
            ForClaim::BindClaim { volume } => {
                changed.volume = volume;
                changed.bind_completed = true;
            }
            ForClaim::Status { phase, of } => {
                changed.phase = phase.into();
                changed.capacity_text = of.map(|(capacity, _)| capacity).unwrap_or_default();
            }
            ForClaim::Grow { volume, capacity } => {
                let request = claim.request;
                let grown = self.volume(&volume);
                (grown.capacity, grown.capacity_text) = (request, capacity);
            }
            ForClaim::RemoveProtection => changed.finalizers.clear(),
            ForClaim::BindVolume { volume } => {
                let owner = ClaimRef { namespace: claim.namespace, name: claim.name, uid: claim.uid };
                self.volume(&volume).claim = Some(owner);
            }
            ForClaim::Provision(new) => self.volumes.push(Volume {
                class: new.class,
                claim: Some(ClaimRef { namespace: claim.namespace, name: claim.name, uid: claim.uid }),
                provisioned_by: Some(PROVISIONER.into()),
                reclaim: new.reclaim,
                capacity_text: new.capacity,
                ..by_hand(&new.name, claim.request)
            }),
            ForClaim::Tell(notice) => self.told.push(format!("{}: {}", notice.reason, notice.message)),
        }
    }

    /// No volume belongs to two claims.
    fn check(&self) {
        for volume in &self.volumes {
            let owners =
                self.claims.iter().filter(|claim| claim.volume == volume.name && claim.phase == "Bound");
            assert!(owners.count() <= 1, "{} has two claims", volume.name);
        }
    }

    fn was_told(&self, text: &str) -> bool {
        self.told.iter().any(|told| told.contains(text))
    }
}

#[test]
fn a_claim_waits_for_its_consumer_and_takes_its_volume_along_when_it_goes() {
    let mut world = World { classes: vec![local()], places: vec![place()], ..World::default() };
    world.claims.push(claim("data"));
    world.settle();
    assert_eq!(world.claim("data").class.as_deref(), Some(DEFAULT_CLASS));
    assert!(world.was_told("WaitForFirstConsumer") && world.volumes.is_empty());

    world.claim("data").selected_node = Some("a".into());
    world.settle();
    let bound = world.claim("data").clone();
    assert!(bound.is_bound() && bound.capacity_text == "1Gi", "{bound:?}");
    assert_eq!(world.volume("pvc-uid-data").phase, "Bound");

    world.users = vec!["virt-launcher-web".into()];
    world.claim("data").deleting = true;
    world.volume("pvc-uid-data").deleting = true;
    world.settle();
    assert_eq!((world.claims.len(), world.volumes.len()), (1, 1), "both are in use");
    world.users.clear();
    world.settle();
    assert!(world.claims.is_empty() && world.volumes.is_empty());
}

#[test]
fn a_claim_grows_where_its_class_allows_it() {
    for expandable in [true, false] {
        let class = Class { expandable, ..local() };
        let mut world = World { classes: vec![class], places: vec![place()], ..World::default() };
        world.claims.push(Claim { selected_node: Some("a".into()), ..claim("data") });
        world.settle();
        let claim = world.claim("data");
        (claim.request, claim.request_text) = (2 << 30, "2Gi".into());
        world.settle();
        let shown = if expandable { "2Gi" } else { "1Gi" };
        assert_eq!(world.claim("data").capacity_text, shown);
        assert_eq!(world.volume("pvc-uid-data").capacity_text, shown);
        assert_eq!(world.was_told("VolumeResizeSuccessful"), expandable);
        assert_eq!(world.was_told("does not say allowVolumeExpansion"), !expandable);
    }
}

#[test]
fn of_volumes_made_by_hand_the_smallest_that_fits_is_taken_once() {
    let mut world = World::default();
    for (name, gibibytes) in [("small", 0), ("large", 10), ("right", 1)] {
        world.volumes.push(by_hand(name, gibibytes << 30));
    }
    for name in ["one", "two", "three"] {
        world.claims.push(Claim { class: Some(String::new()), ..claim(name) });
    }
    world.settle();
    let taken: Vec<_> = world.claims.iter().map(|claim| claim.volume.as_str()).collect();
    assert_eq!(taken, ["right", "large", ""]);
    assert!(world.was_told("FailedBinding: no persistent volumes available"));

    // A claim that asks for more than there is stays as it is, and is told so.
    world.claim("two").request = 20 << 30;
    world.settle();
    assert!(world.was_told("VolumeResizeFailed") && world.was_told("does not grow"));
    assert_eq!(world.claim("two").phase, "Bound");

    // What was kept is nobody's until somebody makes it so.
    world.claim("one").deleting = true;
    world.settle();
    assert_eq!(world.volume("right").phase, "Released");
    assert_eq!(world.claim("three").volume, "");
    world.volumes.retain(|volume| volume.name != "large");
    world.settle();
    assert_eq!(world.claim("two").phase, "Lost");
}

#[test]
fn what_cannot_be_made_is_told_with_a_remedy() {
    type Change = fn(&mut Claim);
    let cases: [(Change, &str); 6] = [
        (|claim| claim.block = true, "ask for Filesystem"),
        (|claim| claim.has_source = true, "local volumes begin empty"),
        (|claim| claim.modes = vec!["ReadWriteMany".into()], "ask for ReadWriteOnce"),
        (|claim| claim.selector = Some(machinery::selector::LabelSelector::everything()), "leave it out"),
        (|claim| claim.selected_node = Some("b".into()), "node b keeps no local volumes"),
        (|claim| claim.class = Some("none".into()), "storageclass.storage.k8s.io \"none\" not found"),
    ];
    for (change, sentence) in cases {
        let mut world = World { classes: vec![local()], places: vec![place()], ..World::default() };
        let mut wanted = Claim { selected_node: Some("a".into()), ..claim("data") };
        change(&mut wanted);
        world.claims.push(wanted);
        world.settle();
        assert!(world.volumes.is_empty() && world.was_told(sentence), "{sentence}: {:?}", world.told);
    }
}

#[test]
fn a_claim_is_hopeless_until_a_volume_fits_that_somebody_made() {
    let hopeless = |claim: &Claim, volumes: &[Volume]| claim::hopeless(claim, &local(), volumes).is_some();
    let class = local().name;
    let shared = Claim { modes: vec!["ReadWriteMany".into()], class: Some(class.clone()), ..claim("data") };
    let fitting =
        Volume { modes: vec!["ReadWriteMany".into()], class: class.clone(), ..by_hand("right", 2 << 30) };
    let owned = |name: &str| {
        let owner = ClaimRef { namespace: "shop".into(), name: name.into(), ..ClaimRef::default() };
        Volume { claim: Some(owner), ..fitting.clone() }
    };
    assert!(hopeless(&shared, &[]));
    assert!(hopeless(&shared, &[Volume { deleting: true, ..fitting.clone() }]));
    assert!(hopeless(&shared, &[owned("other")]));
    assert!(!hopeless(&shared, &[owned("data")]));
    assert!(!hopeless(&shared, &[fitting]));
    assert!(!hopeless(&Claim { class: Some(class), ..claim("data") }, &[]));
    let foreign = Class { provisioner: "example.com/disks".into(), ..local() };
    assert!(claim::hopeless(&shared, &foreign, &[]).is_none());
}

#[test]
fn other_peoples_classes_are_left_to_their_provisioners() {
    let foreign = Class { provisioner: "csi.example".into(), delayed: false, ..local() };
    let mut world = World { classes: vec![foreign], ..World::default() };
    world.claims.push(claim("data"));
    world.settle();
    assert_eq!(world.claim("data").provisioner.as_deref(), Some("csi.example"));
    assert!(world.was_told("ExternalProvisioning"));
}
