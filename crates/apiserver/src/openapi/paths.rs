//! The paths of a resource and what can be done at each.

use serde_json::{Map, Value, json};

use super::built_in::Schemas;
use crate::registry::{Gvk, Resource, Verb};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const PATCHES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// Adds the paths of `resource`, whose objects have the schema `schema`.
pub(super) fn add(paths: &mut Map<String, Value>, resource: &Resource, schema: &str, schemas: &mut Schemas) {
    for name in ["DeleteOptions", "Patch", "Status"] {
        schemas.need(&format!("{META}.{name}"));
    }
    let list = format!("{schema}List");
    schemas.need(&list);
    let root = match resource.group() {
        "" => format!("/api/{}", resource.version()),
        group => format!("/apis/{group}/{}", resource.version()),
    };
    let plural = resource.plural();
    let (collection, places): (String, &[&str]) = if resource.namespaced {
        (format!("{root}/namespaces/{{namespace}}/{plural}"), &["namespace"])
    } else {
        (format!("{root}/{plural}"), &[])
    };
    let on = |verb: Verb, shown: &str| {
        resource.allows(verb).then(|| operation(verb, &resource.gvk, shown, resource.custom))
    };
    let mut at_collection = place_item(places);
    for (method, verb, shown) in [
        ("get", Verb::List, list.as_str()),
        ("post", Verb::Create, schema),
        ("delete", Verb::DeleteCollection, "io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
    ] {
        put(&mut at_collection, method, on(verb, shown));
    }
    paths.insert(collection.clone(), at_collection);
    if resource.namespaced && resource.allows(Verb::List) {
        let mut everywhere = place_item(&[]);
        put(&mut everywhere, "get", on(Verb::List, &list));
        paths.insert(format!("{root}/{plural}"), everywhere);
    }
    let places: Vec<&str> = ["name"].into_iter().chain(places.iter().copied()).collect();
    let item = format!("{collection}/{{name}}");
    let mut at_item = place_item(&places);
    for (method, verb) in
        [("get", Verb::Get), ("put", Verb::Update), ("patch", Verb::Patch), ("delete", Verb::Delete)]
    {
        put(&mut at_item, method, on(verb, schema));
    }
    if at_item.as_object().is_some_and(|item| item.len() > 1) {
        paths.insert(item.clone(), at_item);
    }
    for sub in &resource.subresources {
        let shown = sub_schema(resource, &sub.gvk, schema, schemas);
        let mut at_sub = place_item(&places);
        for verb in &sub.verbs {
            let method = match verb {
                Verb::Get => "get",
                Verb::Create => "post",
                Verb::Update => "put",
                Verb::Patch => "patch",
                _ => continue,
            };
            put(&mut at_sub, method, Some(operation(*verb, &sub.gvk, &shown, resource.custom)));
        }
        paths.insert(format!("{item}/{}", sub.name), at_sub);
    }
}

/// The schema of a subresource's kind, as far as there is one.
fn sub_schema(resource: &Resource, gvk: &Gvk, schema: &str, schemas: &mut Schemas) -> String {
    if gvk.kind.as_str() == resource.kind() {
        return schema.to_owned();
    }
    let group = gvk.group.as_str().trim_end_matches(".k8s.io");
    let package = if group.is_empty() { "core" } else { group };
    let name = format!("io.k8s.api.{package}.{}.{}", gvk.version, gvk.kind);
    if schemas.need(&name) { name } else { format!("{META}.Status") }
}

fn put(item: &mut Value, method: &str, operation: Option<Value>) {
    if let Some(operation) = operation {
        item[method] = operation;
    }
}

/// A path item with the parameters that stand in the path.
fn place_item(places: &[&str]) -> Value {
    let parameter = |name: &&str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}});
    json!({"parameters": places.iter().map(parameter).collect::<Vec<_>>()})
}

fn operation(verb: Verb, gvk: &Gvk, schema: &str, custom: bool) -> Value {
    let (action, queries): (&str, &[(&str, &str)]) = match verb {
        Verb::Get => ("get", &[]),
        Verb::List | Verb::Watch => ("list", &LIST),
        Verb::Create => ("post", &WRITE),
        Verb::Update => ("put", &WRITE),
        Verb::Patch => ("patch", &PATCH),
        Verb::Delete => ("delete", &DELETE),
        Verb::DeleteCollection => ("deletecollection", &DELETE_COLLECTION),
    };
    let query = |(name, kind): &(&str, &str)| json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}});
    let content = json!({"schema": {"$ref": format!("#/components/schemas/{schema}")}});
    let answer =
        json!({"description": "OK", "content": {"application/json": content, "application/yaml": content}});
    let mut responses = json!({"200": answer, "401": {"description": "Unauthorized"}});
    if matches!(verb, Verb::Create | Verb::Update | Verb::Patch) {
        responses["201"] = answer;
    }
    let mut operation = json!({
        "parameters": queries.iter().map(query).collect::<Vec<_>>(),
        "responses": responses,
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind":
            {"group": gvk.group.as_str(), "version": gvk.version.as_str(), "kind": gvk.kind.as_str()},
    });
    let body = match verb {
        Verb::Create | Verb::Update => Some(json!({"*/*": content})),
        Verb::Patch => {
            let patch = json!({"schema": {"$ref": format!("#/components/schemas/{META}.Patch")}});
            let types = PATCHES.into_iter().filter(|kind| !(custom && kind.contains("strategic")));
            Some(types.map(|kind| (kind.to_owned(), patch.clone())).collect::<Map<_, _>>().into())
        }
        Verb::Delete | Verb::DeleteCollection => {
            Some(json!({"*/*": {"schema": {"$ref": format!("#/components/schemas/{META}.DeleteOptions")}}}))
        }
        _ => None,
    };
    if let Some(body) = body {
        operation["requestBody"] = json!({"content": body});
    }
    operation
}

const LIST: [(&str, &str); 10] = [
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
const WRITE: [(&str, &str); 3] =
    [("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const PATCH: [(&str, &str); 4] =
    [("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")];
const DELETE: [(&str, &str); 3] =
    [("dryRun", "string"), ("gracePeriodSeconds", "integer"), ("propagationPolicy", "string")];
const DELETE_COLLECTION: [(&str, &str); 5] = [
    ("dryRun", "string"),
    ("fieldSelector", "string"),
    ("gracePeriodSeconds", "integer"),
    ("labelSelector", "string"),
    ("propagationPolicy", "string"),
];
