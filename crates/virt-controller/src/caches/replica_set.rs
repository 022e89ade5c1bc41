//! The part of a replica set that its controller looks at.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube_ext::{Meta, resources};
use plan::replica_set::{Selector, Set, Status};
use serde::Deserialize;
use serde_json::Value;

/// A set as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SetView {
    pub(crate) metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    replicas: Option<i64>,
    paused: Option<bool>,
    selector: Value,
    template: Template,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    metadata: TemplateMeta,
}

/// Template metadata names what it makes, in one way or the other.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TemplateMeta {
    name: Option<String>,
    generate_name: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

kube_ext::view!(SetView => resources::VIRTUAL_MACHINE_INSTANCE_REPLICA_SET);

/// A set as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SetFacts {
    /// What its controller looks at.
    pub(crate) set: Set,
}

impl From<SetView> for SetFacts {
    fn from(view: SetView) -> Self {
        let (meta, spec) = (view.metadata, view.spec);
        // Without a selector that can be read, nothing is selected, and nothing made.
        let selector = Selector::from_object(&spec.selector).unwrap_or_else(|_| Selector::nothing());
        let TemplateMeta { name, generate_name, labels } = spec.template.metadata;
        let labels = labels.unwrap_or_default();
        let given = [name, generate_name].into_iter().flatten().find(|name| !name.is_empty());
        Self {
            set: Set {
                deleting: meta.is_deleting(),
                uid: meta.uid,
                created: meta.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH),
                generation: meta.generation.unwrap_or(1),
                marked: plan::version::is_marked(&meta.annotations),
                wanted: usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0),
                paused: spec.paused.unwrap_or(false),
                fits: selector.matches_labels(|name| labels.get(name).map(String::as_str)),
                selector,
                base: given.unwrap_or_else(|| meta.name.clone()),
                name: meta.name,
                status: view.status,
            },
        }
    }
}
