//! The part of a machine that its controller looks at, and that of a pool it belongs to.

use std::collections::BTreeMap;

use api::names::{annotation, condition as kind, finalizer, label, printable_status as printable};
use jiff::Timestamp;
use kube_ext::{Meta, resources};
use plan::condition;
use plan::pool::{Member, Pool};
use plan::vm::named::{Named, Policy};
use plan::vm::{RunStrategy, Status, Vm};
use serde::Deserialize;

use super::InstanceFacts;

/// A machine as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct MachineView {
    pub(crate) metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    run_strategy: Option<String>,
    running: Option<bool>,
    instancetype: Option<Named>,
    preference: Option<Named>,
    template: Template,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    metadata: TemplateMeta,
    spec: TemplateSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TemplateMeta {
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TemplateSpec {
    node_selector: Option<BTreeMap<String, String>>,
    volumes: Vec<Volume>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    persistent_volume_claim: Option<Claim>,
    data_volume: Option<DataVolume>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Claim {
    claim_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct DataVolume {
    name: String,
}

kube_ext::view!(MachineView => resources::VIRTUAL_MACHINE);

/// A machine as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MachineFacts {
    /// What its controller looks at.
    pub(crate) vm: Vm,
    /// Claims that its template names.
    pub(crate) claims: Vec<String>,
    /// What a pool looks at; nothing for a machine that has nothing to do with one.
    pooled: Option<Box<Pooled>>,
}

/// What a pool looks at beside the machine itself.
#[derive(Clone, Debug, PartialEq)]
struct Pooled {
    /// Name and identity of the pool that controls it.
    pool: Option<(String, String)>,
    created: Timestamp,
    labels: BTreeMap<String, String>,
    /// Labels of its template.
    template: BTreeMap<String, String>,
    /// What its template asks of nodes.
    nodes: BTreeMap<String, String>,
}

/// What a machine says while it is in a state that does not end by itself.
const FAILING: [&str; 6] = [
    printable::CRASH_LOOP_BACK_OFF,
    printable::UNSCHEDULABLE,
    printable::DATA_VOLUME_ERROR,
    printable::PVC_NOT_FOUND,
    printable::ERR_IMAGE_PULL,
    printable::IMAGE_PULL_BACK_OFF,
];

impl MachineFacts {
    /// Returns name and identity of the pool that controls it.
    pub(crate) fn pool(&self) -> Option<&(String, String)> {
        self.pooled.as_ref()?.pool.as_ref()
    }

    /// Tells whether a pool has to let it go before it is gone.
    pub(crate) fn is_held(&self) -> bool {
        self.vm.has_finalizer(finalizer::POOL)
    }

    /// Returns the revision of its pool's template that it was made from.
    pub(crate) fn revision(&self) -> Option<&String> {
        self.pooled.as_ref()?.labels.get(label::POOL_REVISION)
    }

    /// Returns what a pool looks at, if it controls the machine.
    pub(crate) fn for_pool(&self, pool: &Pool, instance: Option<&InstanceFacts>) -> Option<Member> {
        let (vm, own) = (&self.vm, self.pooled.as_deref()?);
        own.pool.as_ref().filter(|(_, uid)| *uid == pool.uid)?;
        let instance = instance.filter(|instance| instance.owner_uid.as_ref() == Some(&vm.uid));
        // Whoever labels a machine means it, too; where both say something, its template does.
        let text = |name: &str| own.template.get(name).or_else(|| own.labels.get(name)).map(String::as_str);
        let node = |name: &str| own.nodes.get(name).map(String::as_str);
        let ready = condition::find(&vm.status.conditions, kind::READY);
        let fails = FAILING.contains(&vm.status.printable_status.as_deref().unwrap_or_default());
        let away = ready.filter(|ready| fails && ready.is_false());
        let failures = vm.status.start_failure.as_ref().map_or(0, |failure| failure.consecutive_fail_count);
        Some(Member {
            name: vm.name.clone(),
            uid: vm.uid.clone(),
            created: own.created,
            deleting: vm.deleting,
            selected: pool.selector.matches_labels(|name| own.labels.get(name).map(String::as_str)),
            may_go: pool.scale_in.lets_go(text, node),
            may_change: pool.update.lets_change(text, node),
            revision: self.revision().cloned(),
            ready: ready.is_some_and(condition::Condition::is_true),
            rests: plan::vm::rests(vm, instance.map(|instance| instance.for_machine(&vm.uid)).as_ref()),
            halted: matches!(vm.strategy, RunStrategy::Halted | RunStrategy::WaitAsReceiver),
            asked: !vm.status.state_change_requests.is_empty(),
            failures: u32::try_from(failures).unwrap_or(0),
            failing_since: away.and_then(|ready| ready.last_transition_time.or(ready.last_probe_time)),
            instance: instance.map(InstanceFacts::for_pool),
        })
    }
}

impl Pooled {
    /// Keeps what matters of a machine that a pool controls or holds.
    fn of(meta: &Meta, template: &mut Template) -> Option<Box<Self>> {
        let owner = meta.controller().filter(|owner| owner.kind == "VirtualMachinePool");
        if owner.is_none() && !meta.finalizers.iter().any(|name| name == finalizer::POOL) {
            return None;
        }
        Some(Box::new(Self {
            pool: owner.map(|owner| (owner.name.clone(), owner.uid.clone())),
            created: meta.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH),
            labels: meta.labels.clone(),
            template: template.metadata.labels.take().unwrap_or_default(),
            nodes: template.spec.node_selector.take().unwrap_or_default(),
        }))
    }
}

impl From<MachineView> for MachineFacts {
    fn from(view: MachineView) -> Self {
        let meta = view.metadata;
        let mut spec = view.spec;
        let pooled = Pooled::of(&meta, &mut spec.template);
        let claims = spec.template.spec.volumes.into_iter().filter_map(|volume| {
            let claim = volume.persistent_volume_claim.map(|claim| claim.claim_name);
            claim.or_else(|| volume.data_volume.map(|filled| filled.name))
        });
        let claims = claims.collect();
        let restore = meta.annotations.get(annotation::RESTORE_RUN_STRATEGY).map(String::as_str);
        let vm = Vm {
            deleting: meta.is_deleting(),
            name: meta.name,
            uid: meta.uid,
            generation: meta.generation.unwrap_or(1),
            marked: plan::version::is_marked(&meta.annotations),
            places: meta.annotations.get(annotation::PLACES).cloned(),
            finalizers: meta.finalizers,
            strategy: RunStrategy::from_spec(spec.run_strategy.as_deref(), spec.running),
            by_running: spec.run_strategy.is_none() && spec.running.is_some(),
            restore: restore.map(|word| RunStrategy::from_spec(Some(word), None)),
            unbound_claims: false,
            policy: Policy::default(),
            instancetype: spec.instancetype,
            preference: spec.preference,
            status: view.status,
        };
        Self { vm, claims, pooled }
    }
}
