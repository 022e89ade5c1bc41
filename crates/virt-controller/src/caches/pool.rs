//! The part of a pool that its controller looks at.

use std::collections::BTreeMap;

use api::pool::v1beta1::{
    VirtualMachinePoolAutohealingStrategy, VirtualMachinePoolScaleInStrategy,
    VirtualMachinePoolUpdateStrategy,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube_ext::{Meta, resources};
use plan::pool::{Healing, Limit, Pool, ScaleIn, Status, Update};
use plan::replica_set::Selector;
use serde::Deserialize;
use serde_json::Value;

/// A pool as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PoolView {
    pub(crate) metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    replicas: Option<i64>,
    paused: Option<bool>,
    selector: Value,
    max_unavailable: Option<IntOrString>,
    scale_in_strategy: Option<VirtualMachinePoolScaleInStrategy>,
    update_strategy: Option<VirtualMachinePoolUpdateStrategy>,
    autohealing: Option<VirtualMachinePoolAutohealingStrategy>,
    virtual_machine_template: Template,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    metadata: TemplateMeta,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TemplateMeta {
    labels: Option<BTreeMap<String, String>>,
}

kube_ext::view!(PoolView => resources::VIRTUAL_MACHINE_POOL);

/// A pool as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PoolFacts {
    /// What its controller looks at.
    pub(crate) pool: Pool,
}

impl From<PoolView> for PoolFacts {
    fn from(view: PoolView) -> Self {
        let (meta, spec) = (view.metadata, view.spec);
        // Without a selector that can be read, nothing is selected, and nothing made.
        let selector = Selector::from_object(&spec.selector).unwrap_or_else(|_| Selector::nothing());
        let labels = spec.virtual_machine_template.metadata.labels.unwrap_or_default();
        Self {
            pool: Pool {
                deleting: meta.is_deleting(),
                uid: meta.uid,
                created: meta.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH),
                generation: meta.generation.unwrap_or(1),
                wanted: usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0),
                paused: spec.paused.unwrap_or(false),
                fits: selector.matches_labels(|name| labels.get(name).map(String::as_str)),
                selector,
                may_be_away: Limit::of(spec.max_unavailable.as_ref()),
                scale_in: ScaleIn::of(spec.scale_in_strategy.as_ref()),
                update: Update::of(spec.update_strategy.as_ref()),
                healing: spec.autohealing.as_ref().map(Healing::of),
                name: meta.name,
                status: view.status,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{InstanceFacts, MachineFacts};
    use super::*;

    fn pool(spec: Value) -> Pool {
        let written = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "p", "generation": 4}, "spec": spec});
        PoolFacts::from(serde_json::from_value::<PoolView>(written).unwrap()).pool
    }

    fn machine(labels: Value, status: Value) -> MachineFacts {
        let owner = json!({"apiVersion": "pool.kubevirt.io/v1beta1", "kind": "VirtualMachinePool", "name": "web", "uid": "p",
            "controller": true, "blockOwnerDeletion": true});
        let written = json!({
            "metadata": {"name": "web-3", "namespace": "shop", "uid": "m", "labels": labels, "ownerReferences": [owner]},
            "spec": {"runStrategy": "Manual", "template": {
                "metadata": {"labels": {"tier": "front"}}, "spec": {"nodeSelector": {"zone": "a"}},
            }},
            "status": status,
        });
        MachineFacts::from(serde_json::from_value::<super::super::MachineView>(written).unwrap())
    }

    fn instance(status: Value) -> InstanceFacts {
        let owner = json!({"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "web-3", "uid": "m",
            "controller": true, "blockOwnerDeletion": true});
        let labels = json!({"kubevirt.io/vm-pool-revision-name": "web-1"});
        let metadata = json!({"name": "web-3", "namespace": "shop", "uid": "i", "labels": labels, "ownerReferences": [owner]});
        let written = json!({"metadata": metadata, "spec": {}, "status": status});
        InstanceFacts::from(serde_json::from_value::<super::super::InstanceView>(written).unwrap())
    }

    #[test]
    fn a_pool_is_what_its_specification_says() {
        let labels = json!({"metadata": {"labels": {"app": "web"}}});
        let plain =
            pool(json!({"selector": {"matchLabels": {"app": "web"}}, "virtualMachineTemplate": labels}));
        assert!(plain.fits && !plain.paused && plain.healing.is_none());
        assert_eq!((plain.wanted, plain.may_be_away, plain.generation), (1, Limit::Percent(100), 4));
        let other = pool(json!({"replicas": 7, "paused": true, "maxUnavailable": 2, "autohealing": {},
            "selector": {"matchLabels": {"app": "shop"}}, "virtualMachineTemplate": labels}));
        assert!(!other.fits && other.paused && other.healing.is_some());
        assert_eq!((other.wanted, other.may_be_away), (7, Limit::Count(2)));
    }

    #[test]
    fn a_pool_knows_its_machines() {
        let selectors = json!({"labelSelector": {"matchLabels": {"tier": "front", "drain": "yes"}},
            "nodeSelectorRequirementMatcher": [{"key": "zone", "operator": "Exists"}]});
        let policy = json!({"proactive": {"selectionPolicy": {"selectors": selectors}}});
        let own = pool(json!({"selector": {"matchLabels": {"app": "web"}}, "scaleInStrategy": policy}));
        let conditions = |ready: &str| json!([{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-05T12:00:00Z"}]);
        let labels = json!({"app": "web", "drain": "yes", "tier": "back", "kubevirt.io/vm-pool-revision-name": "web-2"});

        let running = json!({"conditions": conditions("True"), "printableStatus": "Running"});
        let here = instance(json!({"phase": "Running", "conditions": conditions("True")}));
        let member = machine(labels.clone(), running.clone()).for_pool(&own, Some(&here)).unwrap();
        assert!(member.selected && member.ready && member.may_go && member.may_change && !member.rests);
        assert_eq!((member.index(), member.revision.as_deref()), (Some(3), Some("web-2")));
        let found = member.instance.clone().unwrap();
        assert!(found.ready && member.is_available(), "{found:?}");
        assert_eq!(found.revision.as_deref(), Some("web-1"));

        let asked = json!({"conditions": conditions("True"), "stateChangeRequests": [{"action": "Stop", "uid": "i"}]});
        let member = machine(labels.clone(), asked).for_pool(&own, Some(&here)).unwrap();
        assert!(member.asked && !member.is_available());

        let lacking = json!({"conditions": conditions("False"), "printableStatus": "ErrorPvcNotFound",
            "startFailure": {"consecutiveFailCount": 2}});
        let member = machine(json!({"app": "web"}), lacking).for_pool(&own, None).unwrap();
        assert!(!member.may_go && !member.ready && member.rests, "{member:?}");
        assert_eq!(
            (member.failures, member.failing_since.map(|since| since.to_string()).as_deref()),
            (2, Some("2026-01-05T12:00:00Z"))
        );

        let stranger = machine(labels, running);
        assert!(stranger.for_pool(&Pool { uid: "another".to_owned(), ..own }, None).is_none());
    }
}
