//! The part of an instance that the controllers look at.

use std::collections::BTreeMap;

use api::names::{annotation, condition, label, phase, reason};
use jiff::Timestamp;
use kube_ext::{Meta, resources};
use plan::condition::Condition;
use plan::pool;
use plan::replica_set::{Member, Selector, Set};
use plan::vm::{self, Ownership};
use plan::vmi::launcher::DEFAULT_GRACE;
use plan::vmi::{Facts, Instance, Labels, Status};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// An instance as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct InstanceView {
    pub(crate) metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: StatusView,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    termination_grace_period_seconds: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusView {
    #[serde(flatten)]
    status: Status,
    migration_state: Option<MigrationState>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MigrationState {
    completed: bool,
    start_timestamp: Option<IgnoredAny>,
}

kube_ext::view!(InstanceView => resources::VIRTUAL_MACHINE_INSTANCE);

/// An instance as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InstanceFacts {
    /// What its own controller looks at.
    pub(crate) instance: Instance,
    /// Identity of the machine that owns it.
    pub(crate) owner_uid: Option<String>,
    /// Whether anything controls it.
    controlled: bool,
    /// Generation of the machine that it was made from.
    machine_generation: Option<i64>,
    migrating: bool,
    /// Whether a machine of another cluster arrived in it.
    received: bool,
    /// Where its devices stand.
    places: Option<String>,
    /// The revision of a pool's template that its machine was made from at the time.
    revision: Option<Box<str>>,
    /// What decides which replica set it belongs to; nothing for what something else controls.
    belonging: Option<Box<Belonging>>,
}

/// What decides which replica set an instance belongs to.
#[derive(Clone, Debug, PartialEq)]
struct Belonging {
    /// Name and identity of the set that controls it.
    set: Option<(String, String)>,
    labels: BTreeMap<String, String>,
}

impl InstanceFacts {
    /// Returns the node that the instance was handed to.
    pub(crate) fn node(&self) -> Option<String> {
        self.instance.facts.status.node_name.clone()
    }

    /// Returns what the machine's controller looks at.
    pub(crate) fn for_machine(&self, machine_uid: &str) -> vm::Instance {
        let instance = &self.instance;
        let status = &instance.facts.status;
        let running = status.phase_transition_timestamps.iter().find(|time| time.phase == phase::RUNNING);
        vm::Instance {
            uid: instance.uid.clone(),
            owner: match self.owner_uid.as_deref() {
                Some(uid) if uid == machine_uid => Ownership::Ours,
                None if !self.controlled => Ownership::Nobodys,
                _ => Ownership::Others,
            },
            created: instance.created,
            deleting: instance.deleting_since.is_some(),
            phase: instance.facts.phase().to_owned(),
            why: status.reason.clone().unwrap_or_default(),
            conditions: status.conditions.clone(),
            generation: self.machine_generation,
            running_since: running
                .filter(|_| instance.facts.phase() == phase::RUNNING)
                .and_then(|time| time.phase_transition_timestamp),
            migrating: self.migrating,
            ran: running.is_some(),
            receiver: instance.receiver,
            received: self.received,
            places: self.places.clone(),
        }
    }

    /// Returns the name of the replica set that controls it.
    pub(crate) fn set(&self) -> Option<&str> {
        self.belonging.as_ref()?.set.as_ref().map(|(name, _)| name.as_str())
    }

    /// Tells whether a replica set may claim it.
    pub(crate) fn is_claimable(&self, selector: &Selector) -> bool {
        self.belonging.as_ref().is_some_and(|own| own.set.is_none() && own.fits(selector))
    }

    /// Returns what a replica set looks at, if it controls the instance or might do so.
    pub(crate) fn for_set(&self, set: &Set) -> Option<Member> {
        let own = self.belonging.as_ref()?;
        if own.set.as_ref().is_some_and(|(_, uid)| *uid != set.uid) {
            return None;
        }
        let (instance, status) = (&self.instance, &self.instance.facts.status);
        let ready = plan::condition::find(&status.conditions, condition::READY);
        Some(Member {
            name: instance.name.clone(),
            uid: instance.uid.clone(),
            ours: own.set.is_some(),
            selected: own.fits(&set.selector),
            created: instance.created,
            deleting: instance.deleting_since.is_some(),
            phase: status.phase.clone().unwrap_or_default(),
            ready: ready.is_some_and(Condition::is_true),
            losing_pod: ready
                .is_some_and(|ready| ready.is_false() && ready.reason() == reason::POD_TERMINATING),
        })
    }

    /// Returns what the pool of its machine looks at.
    pub(crate) fn for_pool(&self) -> pool::Instance {
        let (instance, status) = (&self.instance, &self.instance.facts.status);
        let phase = instance.facts.phase();
        pool::Instance {
            uid: instance.uid.clone(),
            revision: self.revision.as_deref().map(str::to_owned),
            deleting: instance.deleting_since.is_some(),
            ended: matches!(phase, phase::SUCCEEDED | phase::FAILED),
            ready: phase == phase::RUNNING && plan::condition::is_true(&status.conditions, condition::READY),
        }
    }

    /// Returns the generation of the machine that the instance was made from.
    pub(crate) fn machine_generation(&self) -> Option<i64> {
        self.machine_generation
    }
}

impl Belonging {
    /// Keeps what matters of an instance that a replica set controls, or nobody.
    fn of(meta: &Meta) -> Option<Box<Self>> {
        let set = match meta.controller() {
            None => None,
            Some(owner) if owner.kind == "VirtualMachineInstanceReplicaSet" => {
                Some((owner.name.clone(), owner.uid.clone()))
            }
            Some(_) => return None,
        };
        Some(Box::new(Self { set, labels: meta.labels.clone() }))
    }

    fn fits(&self, selector: &Selector) -> bool {
        selector.matches_labels(|name| self.labels.get(name).map(String::as_str))
    }
}

impl From<InstanceView> for InstanceFacts {
    fn from(view: InstanceView) -> Self {
        let mut meta = view.metadata;
        let belonging = Belonging::of(&meta);
        let grace = view.spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE);
        let node = meta.labels.remove_entry(label::NODE_NAME);
        let revision = meta.labels.remove(label::POOL_REVISION).map(String::into_boxed_str);
        let owner = meta.controller().filter(|owner| owner.kind == "VirtualMachine");
        let migration = view.status.migration_state.unwrap_or_default();
        let receiver =
            meta.annotations.get(annotation::CREATE_MIGRATION_TARGET).is_some_and(|text| text == "true");
        Self {
            owner_uid: owner.map(|owner| owner.uid.clone()),
            controlled: meta.controller().is_some(),
            machine_generation: meta
                .annotations
                .get(annotation::VM_GENERATION)
                .and_then(|text| text.parse().ok()),
            migrating: migration.start_timestamp.is_some() && !migration.completed,
            belonging,
            received: migration.completed,
            places: meta.annotations.get(annotation::PLACES).cloned(),
            revision,
            instance: Instance {
                created: meta.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH),
                deleting_since: meta.deletion_timestamp,
                name: meta.name,
                uid: meta.uid,
                finalizers: meta.finalizers,
                grace_seconds: u64::try_from(grace).unwrap_or(0),
                receiver,
                facts: Facts {
                    metadata: Labels {
                        labels: node.into_iter().collect::<BTreeMap<_, _>>(),
                        annotations: plan::version::keep(&meta.annotations),
                    },
                    status: view.status.status,
                },
            },
        }
    }
}
