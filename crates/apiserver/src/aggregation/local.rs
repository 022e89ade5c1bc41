//! The `APIService` objects of what this server answers itself: they order groups and versions in discovery, and say who
//! answers.

use machinery::object;
use machinery::status::Status;
use serde_json::{Value, json};

use super::services;
use super::watch::unless_somebody_else_wrote;
use crate::registry::Snapshot;
use crate::resource::bootstrap;
use crate::resource::storage::{self, Intent};
use crate::{ApiServer, Result};

/// Who keeps an object: the server, from its start on (`onstart`) or while a definition stands (`true`).
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
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

/// How long the server holds on to what it wrote into an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// While a definition stands.
    Always,
    /// At each start; later changes stay until the next one.
    Starting,
    /// It may be given to others for good, as the parts of this process may be.
    Never,
}

impl Hold {
    /// What the object says of it, in Kubernetes' words.
    fn mark(self) -> &'static str {
        match self {
            Self::Always => "true",
            Self::Starting | Self::Never => "onstart",
        }
    }
}

/// The object of a version that this server answers.
#[derive(Debug)]
struct Own {
    name: String,
    spec: Value,
    hold: Hold,
}

/// The objects of all versions that this server answers.
fn objects(snapshot: &Snapshot) -> Vec<Own> {
    let mut objects = Vec::new();
    for group in snapshot.groups.iter().filter(|group| &*group.name != super::GROUP) {
        // What another program answers instead may still be kept here.
        let own = group.versions.iter();
        let own = own.filter(|version| version.remote.is_none() || !version.resources.is_empty());
        let built_in = GROUPS.iter().any(|(name, _)| *name == &*group.name);
        for (at, version) in own.enumerate() {
            let hold = match version.resources.first() {
                Some(resource) if resource.custom => Hold::Always,
                Some(_) => Hold::Starting,
                None => Hold::Never,
            };
            let place = match (&*group.name, &*version.version) {
                ("", _) => 1,
                ("autoscaling", "v2") => 30,
                _ if hold == Hold::Always => 100,
                _ if built_in => i64::try_from(15_usize.saturating_sub(at)).unwrap_or_default().max(1),
                _ => 15,
            };
            let mut spec = json!({"version": *version.version, "groupPriorityMinimum": priority(&group.name),
                "versionPriority": place});
            if !group.name.is_empty() {
                spec["group"] = (*group.name).into();
            }
            objects.push(Own { name: format!("{}.{}", version.version, group.name), spec, hold });
        }
    }
    objects
}

/// Has an object for each version that is answered here, as it should be, and none for definitions that are gone. Whoever
/// takes the mark off an object keeps it. `starting` is the first time since the server's start.
pub(super) async fn keep(server: &ApiServer, starting: bool) -> Result<()> {
    let wanted = objects(&server.registry().snapshot());
    let there = server.caches().of(&services()).snapshot("").0;
    for own in wanted.iter().filter(|own| !there.iter().any(|entry| *entry.key.name == *own.name)) {
        let content = json!({"metadata": {"labels": {MANAGED: own.hold.mark()}}, "spec": own.spec});
        let made = bootstrap::ensure(server, super::GROUP, "apiservices", "", &own.name, content).await;
        made.map_err(|error| Status::internal(error.to_string()))?;
    }
    for entry in there {
        let Ok(mut object) = entry.parse() else { continue };
        let mark = object::label(&object, MANAGED).map(str::to_owned);
        let intent = match (wanted.iter().find(|own| *entry.key.name == *own.name), mark.as_deref()) {
            (None, Some("true")) if !object["spec"]["service"].is_object() => Intent::Remove(&entry),
            (Some(own), Some("true" | "onstart")) if own.spec != object["spec"] => {
                let held = match own.hold {
                    Hold::Always => true,
                    Hold::Starting => starting,
                    Hold::Never => false,
                };
                if !held {
                    continue;
                }
                object["spec"] = own.spec.clone();
                Intent::Put(&object)
            }
            _ => continue,
        };
        let written = storage::commit(server, &services(), &entry.key, Some(entry.revision), intent).await;
        unless_somebody_else_wrote(written)?;
    }
    Ok(())
}
