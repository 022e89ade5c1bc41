//! Aggregated discovery: every group, version and resource in one document.

use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::{Value, json};

use crate::registry::{Group, Gvk, Resource, Snapshot, Verb};
use crate::{body, protobuf};

/// The API group of the document.
pub(super) const GROUP: &str = "apidiscovery.k8s.io";

/// Which version of the document the client asks for, and in which media type; nothing when it does not prefer the
/// document.
pub(super) fn wanted(headers: &HeaderMap) -> Option<(&'static str, &'static str)> {
    let clauses = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    for clause in clauses.flat_map(|header| header.split(',')) {
        let mut parts = clause.split(';').map(str::trim);
        let media_type = match parts.next().unwrap_or_default() {
            "application/json" | "*/*" | "application/*" => body::JSON,
            protobuf::MEDIA_TYPE => protobuf::MEDIA_TYPE,
            _ => continue,
        };
        let parameters: Vec<&str> = parts.collect();
        let has = |wanted: &str| parameters.contains(&wanted);
        if !(has("as=APIGroupDiscoveryList") && has(&format!("g={GROUP}"))) {
            return None;
        }
        if let Some(version) = ["v2", "v2beta1"].into_iter().find(|version| has(&format!("v={version}"))) {
            return Some((version, media_type));
        }
    }
    None
}

/// The document for `/api` (the core group) or `/apis` (all others).
pub(super) fn document(snapshot: &Snapshot, core: bool, version: &str) -> Value {
    let groups = snapshot.groups.iter().filter(|group| group.name.is_empty() == core);
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("{GROUP}/{version}"), "metadata": {},
        "items": groups.map(describe).collect::<Vec<_>>(),
    })
}

fn describe(group: &Group) -> Value {
    let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": *group.name}) };
    let version = |own: &crate::registry::GroupVersion| {
        let resources = if own.foreign.is_empty() && own.remote.is_none() {
            own.resources.iter().map(|resource| resource_of(resource)).collect()
        } else {
            from_list(&own.foreign)
        };
        match &own.remote {
            Some(remote) if remote.stale && resources.is_empty() => {
                json!({"version": *own.version, "freshness": "Stale"})
            }
            Some(remote) if remote.stale => {
                json!({"version": *own.version, "resources": resources, "freshness": "Stale"})
            }
            _ => json!({"version": *own.version, "resources": resources, "freshness": "Current"}),
        }
    };
    json!({"metadata": metadata, "versions": group.versions.iter().map(version).collect::<Vec<_>>()})
}

fn resource_of(resource: &Resource) -> Value {
    let verbs = |verbs: &[Verb]| verbs.iter().map(|verb| verb.as_str()).collect::<Vec<_>>();
    let mut shown = json!({
        "resource": resource.plural(), "responseKind": kind(resource, &resource.gvk),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": *resource.singular, "verbs": verbs(&resource.verbs),
    });
    if !resource.short_names.is_empty() {
        shown["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        shown["categories"] = json!(resource.categories);
    }
    if !resource.subresources.is_empty() {
        let sub = |sub: &crate::registry::Subresource| json!({"subresource": *sub.name, "responseKind": kind(resource, &sub.gvk), "verbs": verbs(&sub.verbs)});
        shown["subresources"] = resource.subresources.iter().map(sub).collect();
    }
    shown
}

/// Groups the flat entries of an `APIResourceList`: subresources below their resource, which may have no entry itself.
fn from_list(entries: &[Value]) -> Vec<Value> {
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let kind_of = |entry: &Value| json!({"group": "", "version": "", "kind": text(entry, "kind")});
    let mut resources: Vec<Value> = Vec::new();
    for entry in entries {
        let name = text(entry, "name");
        let (plural, sub) = name.split_once('/').map_or((&*name, None), |(plural, sub)| (plural, Some(sub)));
        let at = resources.iter().position(|known| known["resource"] == plural).unwrap_or_else(|| {
            let scope = if entry["namespaced"] == true { "Namespaced" } else { "Cluster" };
            resources.push(json!({
                "resource": plural, "responseKind": json!({"group": "", "version": "", "kind": ""}),
                "scope": scope, "singularResource": "", "verbs": null,
            }));
            resources.len() - 1
        });
        let resource = &mut resources[at];
        match sub {
            None => {
                resource["responseKind"] = kind_of(entry);
                resource["singularResource"] = entry["singularName"].clone();
                resource["verbs"] = entry["verbs"].clone();
            }
            Some(sub) => {
                let shown =
                    json!({"subresource": sub, "responseKind": kind_of(entry), "verbs": entry["verbs"]});
                match resource["subresources"].as_array_mut() {
                    Some(listed) => listed.push(shown),
                    None => resource["subresources"] = json!([shown]),
                }
            }
        }
    }
    resources.sort_by(|a, b| a["resource"].as_str().cmp(&b["resource"].as_str()));
    resources
}

/// A kind of a built-in resource's own group and version leaves both empty.
fn kind(resource: &Resource, gvk: &Gvk) -> Value {
    let own = (gvk.group.as_str(), gvk.version.as_str()) == (resource.group(), resource.version());
    if own && !resource.custom {
        json!({"group": "", "version": "", "kind": gvk.kind.as_str()})
    } else {
        json!({"group": gvk.group.as_str(), "version": gvk.version.as_str(), "kind": gvk.kind.as_str()})
    }
}
