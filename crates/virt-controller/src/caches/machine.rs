//! The part of a machine that its controller looks at.

use api::names::annotation;
use kube_ext::{Meta, resources};
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
}

kube_ext::view!(MachineView => resources::VIRTUAL_MACHINE);

/// A machine as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MachineFacts(pub(crate) Vm);

impl From<MachineView> for MachineFacts {
    fn from(view: MachineView) -> Self {
        let meta = view.metadata;
        Self(Vm {
            deleting: meta.is_deleting(),
            name: meta.name,
            uid: meta.uid,
            generation: meta.generation.unwrap_or(1),
            marked: plan::version::is_marked(&meta.annotations),
            places: meta.annotations.get(annotation::PLACES).cloned(),
            finalizers: meta.finalizers,
            strategy: RunStrategy::from_spec(view.spec.run_strategy.as_deref(), view.spec.running),
            status: view.status,
        })
    }
}
