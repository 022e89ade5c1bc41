//! The documents that each show one level: versions, groups, one group, one group's version.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::registry::{Group, Resource, Snapshot, Subresource, Verb};

/// `/api`.
pub(super) fn versions(snapshot: &Snapshot) -> Value {
    let versions = snapshot.group("").map_or(&[][..], |group| group.versions.as_slice());
    json!({
        "kind": "APIVersions",
        "versions": versions.iter().map(|version| &*version.version).collect::<Vec<_>>(),
        "serverAddressByClientCIDRs": [],
    })
}

/// `/apis`.
pub(super) fn groups(snapshot: &Snapshot) -> Value {
    let groups = snapshot.groups.iter().filter(|group| !group.name.is_empty());
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.map(describe).collect::<Vec<_>>()})
}

/// `/apis/GROUP`.
pub(super) fn group(snapshot: &Snapshot, name: &str) -> Option<Value> {
    let group = snapshot.group(name).filter(|group| !group.name.is_empty())?;
    let mut document = json!({"kind": "APIGroup", "apiVersion": "v1"});
    let described = describe(group);
    for (key, value) in described.as_object().into_iter().flatten() {
        document[key.as_str()] = value.clone();
    }
    Some(document)
}

fn describe(group: &Group) -> Value {
    let version = |name: &str| json!({"groupVersion": format!("{}/{name}", group.name), "version": name});
    let versions: Vec<Value> = group.versions.iter().map(|own| version(&own.version)).collect();
    json!({"name": *group.name, "versions": versions, "preferredVersion": versions.first()})
}

/// `/api/VERSION` and `/apis/GROUP/VERSION`.
pub(super) fn resources(snapshot: &Snapshot, group: &str, version: &str) -> Option<Value> {
    let versions = &snapshot.group(group)?.versions;
    let found = versions.iter().find(|own| &*own.version == version)?;
    if !found.foreign.is_empty() || found.remote.is_some() {
        let version = format!("{group}/{version}");
        let listed = &found.foreign;
        return Some(
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}),
        );
    }
    let mut listed = Vec::new();
    for resource in &found.resources {
        listed.push(main(resource));
        listed.extend(resource.subresources.iter().map(|sub| subresource(resource, sub)));
    }
    listed.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    Some(if group.is_empty() {
        json!({"kind": "APIResourceList", "groupVersion": version, "resources": listed})
    } else {
        let version = format!("{group}/{version}");
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed})
    })
}

fn verbs(verbs: &[Verb]) -> Vec<&'static str> {
    verbs.iter().map(|verb| verb.as_str()).collect()
}

fn main(resource: &Resource) -> Value {
    let mut shown = json!({
        "name": resource.plural(), "singularName": *resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind(), "verbs": verbs(&resource.verbs),
    });
    if !resource.short_names.is_empty() {
        shown["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        shown["categories"] = json!(resource.categories);
    }
    if resource.allows(Verb::Watch) {
        shown["storageVersionHash"] = storage_version_hash(resource).into();
    }
    shown
}

fn subresource(resource: &Resource, sub: &Subresource) -> Value {
    let mut shown = json!({
        "name": format!("{}/{}", resource.plural(), sub.name), "singularName": "",
        "namespaced": resource.namespaced, "kind": sub.gvk.kind.as_str(), "verbs": verbs(&sub.verbs),
    });
    if (sub.gvk.group.as_str(), sub.gvk.version.as_str()) != (resource.group(), resource.version()) {
        shown["group"] = sub.gvk.group.as_str().into();
        shown["version"] = sub.gvk.version.as_str().into();
    }
    shown
}

/// The hash that names the version in which a kind is stored: clients see by it when that changes.
pub fn storage_version_hash(resource: &Resource) -> String {
    let version = match (resource.group(), resource.plural()) {
        // Kubernetes names these by the version that they were first stored in.
        ("apiextensions.k8s.io", "customresourcedefinitions")
        | ("storage.k8s.io", "volumeattributesclasses") => "v1beta1",
        _ => &resource.storage_version,
    };
    let text = format!("{}/{version}/{}", resource.group(), resource.kind());
    STANDARD.encode(&Sha256::digest(text.as_bytes())[..8])
}
