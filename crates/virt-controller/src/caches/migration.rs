//! The part of a migration that the controllers look at.

use kube_ext::{Meta, resources};
use plan::migration::{Migration, Status};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A migration as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct MigrationView {
    pub(crate) metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    vmi_name: String,
    receive: Option<IgnoredAny>,
}

kube_ext::view!(MigrationView => resources::VIRTUAL_MACHINE_INSTANCE_MIGRATION);

/// A migration as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MigrationFacts {
    /// Identity.
    pub(crate) uid: String,
    /// Name of the instance that shall move.
    pub(crate) instance: String,
    /// Whether the machine arrives from another cluster.
    pub(crate) receives: bool,
    /// Its state.
    pub(crate) migration: Migration,
}

impl From<MigrationView> for MigrationFacts {
    fn from(view: MigrationView) -> Self {
        Self {
            instance: view.spec.vmi_name,
            receives: view.spec.receive.is_some(),
            migration: Migration {
                deleting: view.metadata.deletion_timestamp.is_some(),
                finalizers: view.metadata.finalizers,
                status: view.status,
            },
            uid: view.metadata.uid,
        }
    }
}
