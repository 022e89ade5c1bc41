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
    /// Resources of the version.
    pub resources: Vec<ResourceRef>,
    /// What discovery lists for a version that another component answers.
    pub foreign: Vec<Value>,
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

    /// Returns the groups that others answer.
    fn foreign(&self) -> Vec<Group> {
        let others = |group: &&Group| group.versions.iter().any(|version| !version.foreign.is_empty());
        self.groups.iter().filter(others).cloned().collect()
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
                });
                versions.len() - 1
            },
        );
        versions[at].resources.push(Arc::clone(&resource));
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
        let snapshot =
            assemble(facts::resources().into_iter().map(Arc::new).collect(), Vec::new(), Vec::new(), 1);
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
        });
        let added = Group { name: group.into(), versions: versions.collect() };
        self.change(|current| {
            let (custom, built_in) = current.resources().cloned().partition(|resource| resource.custom);
            let mut foreign = current.foreign();
            foreign.retain(|other| *other.name != *group);
            foreign.push(added);
            (built_in, custom, foreign)
        });
    }

    /// Replaces the resources of one custom collection; an empty list unregisters it.
    pub fn set_custom(&self, collection: &Collection, resources: Vec<ResourceRef>) {
        self.change(|current| {
            let (mut built_in, mut custom) = (Vec::new(), Vec::new());
            for resource in current.resources() {
                match resource.custom {
                    false => built_in.push(Arc::clone(resource)),
                    true if resource.collection != *collection => custom.push(Arc::clone(resource)),
                    true => {}
                }
            }
            custom.extend(resources);
            (built_in, custom, current.foreign())
        });
    }

    /// Makes the next snapshot of built-in resources, custom ones, and groups that others answer.
    fn change(&self, parts: impl FnOnce(&Snapshot) -> (Vec<ResourceRef>, Vec<ResourceRef>, Vec<Group>)) {
        let mut current = self.current.write();
        let (built_in, custom, foreign) = parts(&current);
        let generation = current.generation + 1;
        *current = Arc::new(assemble(built_in, custom, foreign, generation));
        drop(current);
        self.generation.send_replace(generation);
    }
}

/// Builds a snapshot: built-in groups as the facts order them, then custom groups by name with their versions by priority,
/// then the groups that others answer.
fn assemble(
    built_in: Vec<ResourceRef>,
    mut custom: Vec<ResourceRef>,
    foreign: Vec<Group>,
    generation: u64,
) -> Snapshot {
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
    snapshot.groups.extend(foreign);
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
}
