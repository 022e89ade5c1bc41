//! The `APIService` objects of what this server answers itself: they order groups and versions in discovery, and say who
//! answers.

use serde_json::{Value, json};

use crate::registry::Snapshot;

/// Who keeps an object: the server, from its start on (`onstart`) or while a definition stands (`true`).
pub(super) const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Priority of groups that definitions of kinds, and parts of this process, bring.
const ADDED: i64 = 1000;

/// `groupPriorityMinimum` of the groups that every server has.
const GROUPS: [(&str, i64); 24] = [
    ("", 18000),
    ("apiregistration.k8s.io", 18000),
    ("apps", 17800),
    ("events.k8s.io", 17750),
    ("authentication.k8s.io", 17700),
    ("authorization.k8s.io", 17600),
    ("autoscaling", 17500),
    ("batch", 17400),
    ("certificates.k8s.io", 17300),
    ("networking.k8s.io", 17200),
    ("policy", 17100),
    ("rbac.authorization.k8s.io", 17000),
    ("storage.k8s.io", 16800),
    ("admissionregistration.k8s.io", 16700),
    ("apiextensions.k8s.io", 16700),
    ("scheduling.k8s.io", 16600),
    ("coordination.k8s.io", 16500),
    ("node.k8s.io", 16300),
    ("discovery.k8s.io", 16200),
    ("resource.k8s.io", 16200),
    ("flowcontrol.apiserver.k8s.io", 16100),
    ("internal.apiserver.k8s.io", 16000),
    ("storagemigration.k8s.io", 15700),
    ("apidiscovery.k8s.io", 15600),
];

/// Priority of a group that is answered here.
pub(crate) fn priority(group: &str) -> i64 {
    GROUPS.iter().find(|(name, _)| *name == group).map_or(ADDED, |(_, priority)| *priority)
}

/// The objects of all versions that this server answers; names and contents.
pub(super) fn objects(snapshot: &Snapshot) -> Vec<(String, Value)> {
    let mut objects = Vec::new();
    for group in snapshot.groups.iter().filter(|group| &*group.name != super::GROUP) {
        let own = group.versions.iter().filter(|version| version.remote.is_none());
        let built_in = GROUPS.iter().any(|(name, _)| *name == &*group.name);
        for (at, version) in own.enumerate() {
            let custom = version.resources.first().is_some_and(|resource| resource.custom);
            let place = match (&*group.name, &*version.version) {
                ("", _) => 1,
                ("autoscaling", "v2") => 30,
                _ if custom => 100,
                _ if built_in => i64::try_from(15_usize.saturating_sub(at)).unwrap_or_default().max(1),
                _ => 15,
            };
            let mut spec = json!({"version": *version.version, "groupPriorityMinimum": priority(&group.name),
                "versionPriority": place});
            if !group.name.is_empty() {
                spec["group"] = (*group.name).into();
            }
            let managed = if custom { "true" } else { "onstart" };
            let content = json!({"metadata": {"labels": {MANAGED: managed}}, "spec": spec});
            objects.push((format!("{}.{}", version.version, group.name), content));
        }
    }
    objects
}
