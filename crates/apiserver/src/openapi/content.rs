//! What a document tells: paths, and the schemas that they need.

use serde_json::Value;

use super::built_in::Needed;
use super::custom;
use super::form::Form;
use super::operations::{self, PathItem, Shown};
use crate::ApiServer;
use crate::registry::{Group, GroupVersion, ResourceRef, Snapshot};

/// Paths, and what they need.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) items: Vec<PathItem>,
    pub(super) schemas: Schemas,
}

/// Schemas that are written when their turn comes: all at once they would be large.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    needed: Needed,
    custom: Vec<ResourceRef>,
}

impl Schemas {
    /// Writes the schemas, one by one.
    pub(super) fn each(&self, server: &ApiServer, form: Form, put: &mut dyn FnMut(&str, Value)) {
        self.needed.each(form, put);
        for resource in &self.custom {
            for (name, schema) in custom::schemas(server, resource, form) {
                put(&name, schema);
            }
        }
    }

    /// Takes in what another document needs.
    pub(super) fn join(&mut self, other: Self) {
        self.needed.join(other.needed);
        self.custom.extend(other.custom);
    }

    fn gather(&mut self, items: &[PathItem]) {
        for operation in items.iter().flat_map(|item| &item.operations) {
            let shown = operation.answers.iter().filter_map(|(_, shown)| match shown {
                Shown::Text => None,
                Shown::Object(name) => Some(name),
            });
            for name in shown.chain(operation.sent.as_ref().map(|sent| &sent.schema)) {
                self.needed.need(name);
            }
        }
    }
}

/// Whether the server answers a group itself, and not by definitions that come and go.
fn is_built_in(group: &Group) -> bool {
    group.versions.iter().flat_map(|version| &version.resources).any(|resource| !resource.custom)
}

/// The names of all documents that this server writes.
pub(super) fn documents(snapshot: &Snapshot) -> Vec<String> {
    let of_server = operations::of_server();
    let mut names: Vec<String> =
        of_server.iter().map(|item| item.path.trim_matches('/').to_owned()).collect();
    for group in &snapshot.groups {
        if is_built_in(group) && !group.name.is_empty() {
            names.push(format!("apis/{}", group.name));
        }
        let own = group.versions.iter().filter(|version| version.remote.is_none());
        names.extend(own.map(|version| place(&group.name, &version.version)));
    }
    names
}

/// What a document is of.
enum Subject<'a> {
    Server(PathItem),
    Group(&'a str),
    Version(&'a str, &'a GroupVersion),
}

fn subject<'a>(snapshot: &'a Snapshot, name: &'a str) -> Option<Subject<'a>> {
    let of_server = operations::of_server().into_iter().find(|item| item.path.trim_matches('/') == name);
    if let Some(item) = of_server {
        return Some(Subject::Server(item));
    }
    let (group, version) = match name.split('/').collect::<Vec<_>>().as_slice() {
        ["apis", group] if !group.is_empty() => {
            let found = snapshot.group(group).filter(|group| is_built_in(group))?;
            return Some(Subject::Group(&found.name));
        }
        ["api", version] => ("", *version),
        ["apis", group, version] if !group.is_empty() => (*group, *version),
        _ => return None,
    };
    let versions = &snapshot.group(group)?.versions;
    let found = versions.iter().find(|own| *own.version == *version && own.remote.is_none())?;
    Some(Subject::Version(group, found))
}

/// The resources that the document `name` tells of; nothing where there is no such document.
pub(super) fn resources<'a>(snapshot: &'a Snapshot, name: &'a str) -> Option<&'a [ResourceRef]> {
    match subject(snapshot, name)? {
        Subject::Version(_, version) => Some(&version.resources),
        Subject::Server(_) | Subject::Group(_) => Some(&[]),
    }
}

/// The name of a version's document.
pub(super) fn place(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

impl Content {
    /// What the document of this name tells; nothing where there is none.
    pub(super) fn named(snapshot: &Snapshot, name: &str) -> Option<Self> {
        let mut content = Self::default();
        match subject(snapshot, name)? {
            Subject::Server(item) => content.add(vec![item]),
            Subject::Group(group) => content.add(vec![operations::of_group(group)]),
            Subject::Version(group, version) => content.add_version(group, version),
        }
        Some(content)
    }

    /// Takes in a version of a group.
    fn add_version(&mut self, group: &str, version: &GroupVersion) {
        let mut items = Vec::new();
        if version.resources.iter().any(|resource| !resource.custom) {
            items.push(operations::of_version(group, &version.version));
        }
        for resource in &version.resources {
            let (schema, list) = match resource.schema.definition() {
                Some(name) => (name.to_owned(), format!("{name}List")),
                None if resource.custom => {
                    for name in custom::SHARED {
                        self.schemas.needed.need(name);
                    }
                    self.schemas.custom.push(ResourceRef::clone(resource));
                    let name = |kind| custom::name(resource, kind);
                    (name(resource.kind()), name(&resource.list_kind))
                }
                None => continue,
            };
            items.extend(operations::of_resource(resource, &schema, &list));
        }
        items.sort_by(|a, b| a.path.cmp(&b.path));
        self.add(items);
    }

    fn add(&mut self, items: Vec<PathItem>) {
        self.schemas.gather(&items);
        self.items.extend(items);
    }
}
