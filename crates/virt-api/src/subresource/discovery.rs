//! The group, as discovery shows it.

use serde_json::{Value, json};

use super::route::ROUTES;

/// The versions, the preferred one first.
pub const VERSIONS: [&str; 2] = ["v1", "v1alpha3"];

/// The entries of each version's `APIResourceList`.
pub fn resources() -> Vec<Value> {
    let listed = ROUTES.iter().filter(|route| route.listed);
    listed
        .map(|route| {
            json!({"name": route.listed_name(), "singularName": "", "namespaced": true, "kind": "", "verbs": null})
        })
        .collect()
}

/// What users can be given the right to: verb, resource and subresource of every path.
pub fn rights() -> Vec<(&'static str, &'static str, &'static str)> {
    let right = |route: &super::route::Route| {
        let (resource, subresource) = route.subject();
        (route.verb(), resource, subresource)
    };
    ROUTES.iter().map(right).collect()
}
