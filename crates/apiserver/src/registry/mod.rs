//! The one registry of kinds: built-in kinds from facts files, and CustomResourceDefinitions as they come and go.
//!
//! Readers take a [`Snapshot`] and keep it for the length of a request; a change makes a new snapshot.

pub mod convert;
pub mod crd;
pub mod facts;
pub mod kind;
pub mod schema;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::watch;

use crate::aggregation::local;
use crate::extension::ServedVersion;
use machinery::gvk::version_priority;

pub use kind::{Collection, Column, Gvk, Gvr, Resource, ResourceRef, Subresource, Verb, api_version};

/// All kinds that the server answers for.
#[derive(Debug)]
pub struct Registry {
    current: RwLock<Arc<Snapshot>>,
    generation: watch::Sender<u64>,
}

/// One version of an API group, with its resources in discovery order.
#[derive(Clone, Debug)]
pub struct GroupVersion {
    /// Version name.
    pub version: Box<str>,
    /// Resources of the version that are stored here, whoever answers for them.
    pub resources: Vec<ResourceRef>,
    /// What discovery lists for a version that another component or program answers.
    pub foreign: Vec<Value>,
    /// What is known of a version that another program answers.
    pub remote: Option<RemoteFacts>,
}

/// What is known of a version that another program answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFacts {
    /// Whether the program does not answer at present.
    pub stale: bool,
    /// Where its OpenAPI document is, relative to the server, if it has one.
    pub openapi: Option<Box<str>>,
}

/// A version that another program answers, and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteVersion {
    /// Group name.
    pub group: Box<str>,
    /// Version name.
    pub version: Box<str>,
    /// Priorities of the group among groups, and of the version among the group's versions.
    pub priority: (i64, i64),
    /// The entries of its `APIResourceList`.
    pub resources: Vec<Value>,
    /// What is known of it.
    pub remote: RemoteFacts,
}

/// One API group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Group name; empty for the core group.
    pub name: Box<str>,
    /// Versions, the preferred one first.
    pub versions: Vec<GroupVersion>,
}

/// The kinds at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Groups in discovery order, the core group first, groups of custom resources last.
    pub groups: Vec<Group>,
    /// Grows with every change.
    pub generation: u64,
    own: Vec<ResourceRef>,
    in_process: Vec<Group>,
    remote: Vec<RemoteVersion>,
    by_path: HashMap<Box<str>, ResourceRef>,
    by_kind: HashMap<Gvk, ResourceRef>,
}

impl Snapshot {
    /// Finds the resource that a request path names.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&ResourceRef> {
        self.by_path.get(path(group, version, plural).as_str())
    }

    /// Finds the resource whose objects are of a kind.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<&ResourceRef> {
        self.by_kind.get(&Gvk { group: group.into(), version: version.into(), kind: kind.into() })
    }

    /// Finds a group.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| &*group.name == name)
    }

    /// Whether every server has a version of a group.
    pub fn is_built_in(&self, group: &str, version: &str) -> bool {
        self.own.iter().any(|own| !own.custom && own.group() == group && own.version() == version)
    }

    /// Finds the storage-version resource of a collection, or any version of it.
    pub fn stored(&self, collection: &Collection) -> Option<&ResourceRef> {
        let mut any = None;
        for version in &self.group(&collection.group)?.versions {
            for resource in version.resources.iter().filter(|resource| resource.collection == *collection) {
                if *resource.storage_version == *resource.gvk.version {
                    return Some(resource);
                }
                any = Some(resource);
            }
        }
        any
    }

    /// Returns all resources, in discovery order.
    pub fn resources(&self) -> impl Iterator<Item = &ResourceRef> {
        self.groups.iter().flat_map(|group| &group.versions).flat_map(|version| &version.resources)
    }

    fn parts(&self) -> Parts {
        let (custom, built_in) = self.own.iter().cloned().partition(|resource| resource.custom);
        Parts { built_in, custom, in_process: self.in_process.clone(), remote: self.remote.clone() }
    }

    /// Puts a version that another program answers in the place that its priorities give it.
    fn insert_remote(&mut self, remote: &RemoteVersion) {
        let (of_group, of_version) = remote.priority;
        let at = self.groups.iter().position(|group| group.name == remote.group).unwrap_or_else(|| {
            let before = |group: &Group| {
                let others = self.remote.iter().filter(|other| other.group == group.name);
                let priority = others.map(|other| other.priority.0).max();
                let priority = priority.unwrap_or_else(|| local::priority(&group.name));
                group.name.is_empty() || (-priority, &*group.name) < (-of_group, &*remote.group)
            };
            let at = self.groups.iter().position(|group| !before(group)).unwrap_or(self.groups.len());
            self.groups.insert(at, Group { name: remote.group.clone(), versions: Vec::new() });
            at
        });
        let versions = &mut self.groups[at].versions;
        let own = versions.iter().position(|version| version.version == remote.version);
        // What is kept here stays known: it is stored, though others answer for it.
        let resources = own.map_or_else(Vec::new, |own| versions.remove(own).resources);
        let before = |version: &GroupVersion| {
            let others = self.remote.iter();
            let mut others =
                others.filter(|other| other.group == remote.group && other.version == version.version);
            let priority = others.next().map_or(100, |other| other.priority.1);
            let by_name = version_priority(&version.version, &remote.version);
            priority.cmp(&of_version).reverse().then(by_name).is_lt()
        };
        let at = versions.iter().position(|version| !before(version)).unwrap_or(versions.len());
        versions.insert(
            at,
            GroupVersion {
                version: remote.version.clone(),
                resources,
                foreign: remote.resources.clone(),
                remote: Some(remote.remote.clone()),
            },
        );
    }

    fn insert(&mut self, resource: ResourceRef) {
        let at = self.groups.iter().position(|group| *group.name == *resource.group()).unwrap_or_else(|| {
            self.groups.push(Group { name: resource.group().into(), versions: Vec::new() });
            self.groups.len() - 1
        });
        let versions = &mut self.groups[at].versions;
        let at = versions.iter().position(|version| *version.version == *resource.version()).unwrap_or_else(
            || {
                versions.push(GroupVersion {
                    version: resource.version().into(),
                    resources: Vec::new(),
                    foreign: Vec::new(),
                    remote: None,
                });
                versions.len() - 1
            },
        );
        versions[at].resources.push(Arc::clone(&resource));
        self.own.push(Arc::clone(&resource));
        self.by_path.insert(
            path(resource.group(), resource.version(), resource.plural()).into(),
            Arc::clone(&resource),
        );
        self.by_kind.entry(resource.gvk.clone()).or_insert(resource);
    }
}

fn path(group: &str, version: &str, plural: &str) -> String {
    format!("{group}/{version}/{plural}")
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// Makes a registry of the built-in kinds.
    pub fn new() -> Self {
        let built_in = facts::resources().into_iter().map(Arc::new).collect();
        let snapshot = assemble(Parts { built_in, ..Parts::default() }, 1);
        Self { current: RwLock::new(Arc::new(snapshot)), generation: watch::Sender::new(1) }
    }

    /// Returns the kinds as they are now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read())
    }

    /// Returns a receiver that sees the generation of each new snapshot.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Adds a group that another component answers.
    pub fn set_extension(&self, group: &str, versions: Vec<ServedVersion>) {
        let versions = versions.into_iter().map(|served| GroupVersion {
            version: served.version,
            resources: Vec::new(),
            foreign: served.resources,
            remote: None,
        });
        let added = Group { name: group.into(), versions: versions.collect() };
        self.change(|parts| {
            parts.in_process.retain(|other| *other.name != *group);
            parts.in_process.push(added);
        });
    }

    /// Replaces the versions that other programs answer. They go before what this server has of the same name.
    pub fn set_remote(&self, versions: Vec<RemoteVersion>) {
        if self.snapshot().remote != versions {
            self.change(|parts| parts.remote = versions);
        }
    }

    /// Replaces the resources of one custom collection; an empty list unregisters it.
    pub fn set_custom(&self, collection: &Collection, resources: Vec<ResourceRef>) {
        self.change(|parts| {
            parts.custom.retain(|resource| resource.collection != *collection);
            parts.custom.extend(resources);
        });
    }

    /// Makes the next snapshot.
    fn change(&self, change: impl FnOnce(&mut Parts)) {
        let mut current = self.current.write();
        let mut parts = current.parts();
        change(&mut parts);
        let generation = current.generation + 1;
        *current = Arc::new(assemble(parts, generation));
        drop(current);
        self.generation.send_replace(generation);
    }
}

/// What a snapshot is made of.
#[derive(Debug, Default)]
struct Parts {
    built_in: Vec<ResourceRef>,
    custom: Vec<ResourceRef>,
    /// Groups that other components of this process answer.
    in_process: Vec<Group>,
    /// Versions that other programs answer.
    remote: Vec<RemoteVersion>,
}

/// Builds a snapshot: built-in groups as the facts order them, then custom groups by name with their versions by priority,
/// then the groups that other components answer; between them those of other programs, where their priorities put them.
fn assemble(parts: Parts, generation: u64) -> Snapshot {
    let Parts { built_in, mut custom, in_process, remote } = parts;
    let mut snapshot = Snapshot { generation, ..Snapshot::default() };
    for resource in built_in {
        snapshot.insert(resource);
    }
    custom.sort_by(|a, b| {
        let versions = version_priority(a.version(), b.version());
        a.group().cmp(b.group()).then(versions).then_with(|| a.plural().cmp(b.plural()))
    });
    for resource in custom {
        snapshot.insert(resource);
    }
    snapshot.groups.extend(in_process.iter().cloned());
    snapshot.in_process = in_process;
    snapshot.remote.clone_from(&remote);
    for version in &remote {
        snapshot.insert_remote(version);
    }
    snapshot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_kinds_are_found() {
        let snapshot = Registry::new().snapshot();
        assert_eq!(
            snapshot.resource("apps", "v1", "deployments").map(|r| r.kind().to_owned()),
            Some("Deployment".into())
        );
        assert_eq!(snapshot.kind("", "v1", "Pod").map(|r| r.plural().to_owned()), Some("pods".into()));
        assert_eq!(snapshot.groups.first().map(|group| &*group.name), Some(""));
    }

    #[test]
    fn groups_of_others_stay_when_custom_kinds_come_and_go() {
        let registry = Registry::new();
        let entry = serde_json::json!({"name": "things/poke", "namespaced": true});
        registry.set_extension(
            "sub.example",
            vec![ServedVersion { version: "v1".into(), resources: vec![entry.clone()] }],
        );
        registry.set_custom(&Collection::new("example", "things"), Vec::new());
        let snapshot = registry.snapshot();
        let group = snapshot.group("sub.example").expect("the group");
        assert_eq!(group.versions[0].foreign, [entry]);
        assert_eq!(snapshot.resources().filter(|resource| resource.group() == "sub.example").count(), 0);
    }

    #[test]
    fn versions_of_other_programs_stand_where_their_priorities_put_them() {
        let registry = Registry::new();
        let remote = |group: &str, version: &str, priority: (i64, i64)| RemoteVersion {
            group: group.into(),
            version: version.into(),
            priority,
            resources: Vec::new(),
            remote: RemoteFacts { stale: true, openapi: None },
        };
        registry.set_remote(vec![
            remote("high.example", "v1", (17760, 10)),
            remote("low.example", "v1", (500, 10)),
            remote("a.example", "v1", (2000, 10)),
            remote("a.example", "v2beta1", (2000, 30)),
        ]);
        let snapshot = registry.snapshot();
        let at = |name: &str| snapshot.groups.iter().position(|group| &*group.name == name).expect("a group");
        assert!(at("apps") < at("high.example") && at("high.example") < at("events.k8s.io"));
        assert!(at("a.example") < at("low.example"));
        let versions = &snapshot.groups[at("a.example")].versions;
        assert_eq!(versions.iter().map(|version| &*version.version).collect::<Vec<_>>(), ["v2beta1", "v1"]);
        registry.set_remote(Vec::new());
        assert!(registry.snapshot().group("a.example").is_none());
    }

    #[test]
    fn what_is_stored_here_stays_known_while_others_answer_for_it() {
        let registry = Registry::new();
        registry.set_remote(vec![RemoteVersion {
            group: "apps".into(),
            version: "v1".into(),
            priority: (17800, 15),
            resources: Vec::new(),
            remote: RemoteFacts { stale: true, openapi: None },
        }]);
        let snapshot = registry.snapshot();
        assert!(snapshot.stored(&Collection::new("apps", "deployments")).is_some());
        assert!(snapshot.is_built_in("apps", "v1") && !snapshot.is_built_in("apps", "v2"));
    }
}
