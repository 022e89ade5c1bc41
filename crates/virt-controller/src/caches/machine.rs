//! The part of a machine that its controller looks at.

use api::names::annotation;
use kube_ext::{Meta, resources};
use plan::vm::named::{Named, Policy};
use plan::vm::{RunStrategy, Status, Vm};
use serde::Deserialize;

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
    spec: TemplateSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TemplateSpec {
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
}

impl From<MachineView> for MachineFacts {
    fn from(view: MachineView) -> Self {
        let meta = view.metadata;
        let spec = view.spec;
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
        Self { vm, claims }
    }
}
