//! The roles and bindings that every server has from its start.
//!
//! They are kept up at each start: rules and subjects that an upgrade adds come in, what an administrator added stays.
//! An object whose annotation `rbac.authorization.kubernetes.io/autoupdate` is `false` is left alone.

mod cdi;
mod kubernetes;
mod kubevirt;

use machinery::object;
use serde_json::{Map, Value, json};

use super::rbac::GROUP;

const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// Returns all objects, as the API has them.
pub fn objects() -> Vec<Value> {
    let mut objects = kubernetes::objects();
    objects.extend(kubevirt::objects());
    objects.extend(cdi::objects());
    objects
}

/// Returns the object to write when `wanted` shall be there and `existing` is; nothing if that is good as it is.
pub fn reconcile(existing: Option<&Value>, wanted: &Value) -> Option<Value> {
    let Some(existing) = existing else {
        return Some(wanted.clone());
    };
    if object::annotation(existing, AUTO_UPDATE) == Some("false") {
        return None;
    }
    let mut merged = existing.clone();
    for field in ["rules", "subjects"] {
        let Some(items) = wanted.get(field).and_then(Value::as_array) else {
            continue;
        };
        let own = &mut merged[field];
        if own.is_null() {
            *own = json!([]);
        }
        let Some(own) = own.as_array_mut() else { continue };
        for item in items {
            if !own.contains(item) {
                own.push(item.clone());
            }
        }
    }
    if let Some(aggregation) = wanted.get("aggregationRule") {
        merged["aggregationRule"] = aggregation.clone();
    }
    for map in ["labels", "annotations"] {
        let pairs = wanted["metadata"].get(map).and_then(Value::as_object);
        for (key, value) in pairs.into_iter().flatten() {
            merged["metadata"][map][key.as_str()] = value.clone();
        }
    }
    (merged != *existing).then_some(merged)
}

/// Labels and annotations that say where an object comes from.
fn metadata(name: &str, labels: &str) -> Value {
    let mut all = Map::new();
    all.insert("kubernetes.io/bootstrapping".to_owned(), "rbac-defaults".into());
    for pair in labels.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        all.insert(key.to_owned(), value.into());
    }
    json!({"name": name, "annotations": {AUTO_UPDATE: "true"}, "labels": all})
}

/// Reads rules, one a line: `verbs | groups | resources`, with a fourth column for names, or `verbs | path | paths`.
/// Columns are separated by bars, items by commas; `-` is the core group.
fn rules(table: &str) -> Vec<Value> {
    let list = |column: &str| -> Vec<String> {
        column.split(',').map(str::trim).map(|item| if item == "-" { "" } else { item }.to_owned()).collect()
    };
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split('|').map(str::trim).collect();
            match columns.as_slice() {
                [verbs, "path", paths] => json!({"nonResourceURLs": list(paths), "verbs": list(verbs)}),
                [verbs, groups, resources, names] => json!({
                    "apiGroups": list(groups), "resourceNames": list(names), "resources": list(resources),
                    "verbs": list(verbs),
                }),
                [verbs, groups, resources] => {
                    json!({"apiGroups": list(groups), "resources": list(resources), "verbs": list(verbs)})
                }
                _ => json!({}),
            }
        })
        .collect()
}

fn cluster_role(name: &str, labels: &str, table: &str) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole",
        "metadata": metadata(name, labels), "rules": rules(table),
    })
}

/// A cluster role that gathers the rules of all that carry the label `rbac.authorization.k8s.io/aggregate-to-<what>`.
fn gathering_role(name: &str, labels: &str, what: &str) -> Value {
    let label = format!("{GROUP}/aggregate-to-{what}");
    json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole", "metadata": metadata(name, labels),
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}, "rules": [],
    })
}

/// A role of one namespace.
fn role(namespace: &str, name: &str, table: &str) -> Value {
    let mut role = cluster_role(name, "", table);
    role["kind"] = "Role".into();
    role["metadata"]["namespace"] = namespace.into();
    role
}

/// Binds a role of a namespace to subjects, as [`cluster_binding`] reads them.
fn binding(namespace: &str, name: &str, role: &str, subjects: &str) -> Value {
    let mut binding = cluster_binding(name, role, subjects);
    binding["kind"] = "RoleBinding".into();
    binding["metadata"]["namespace"] = namespace.into();
    binding["roleRef"]["kind"] = "Role".into();
    binding
}

/// Binds a cluster role to subjects: `group:NAME`, `user:NAME` or `account:NAMESPACE/NAME`, separated by spaces.
fn cluster_binding(name: &str, role: &str, subjects: &str) -> Value {
    let subject = |text: &str| match text.split_once(':') {
        Some(("group", name)) => json!({"apiGroup": GROUP, "kind": "Group", "name": name}),
        Some(("account", account)) => {
            let (namespace, name) = account.split_once('/').unwrap_or(("", account));
            json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
        }
        Some((_, name)) => json!({"apiGroup": GROUP, "kind": "User", "name": name}),
        None => json!({"apiGroup": GROUP, "kind": "User", "name": text}),
    };
    json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRoleBinding", "metadata": metadata(name, ""),
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": subjects.split(' ').map(subject).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::attributes::Attributes;
    use crate::auth::identity;
    use crate::auth::rbac::Policy;

    fn policy() -> Policy {
        let mut objects: [Vec<Value>; 4] = Default::default();
        for object in super::objects() {
            let at = usize::from(object["kind"] == "ClusterRoleBinding") * 2;
            objects[at].push(object);
        }
        Policy::new(&objects)
    }

    #[test]
    fn every_rule_is_complete() {
        for object in objects() {
            let name = object["metadata"]["name"].clone();
            for rule in object.get("rules").and_then(Value::as_array).into_iter().flatten() {
                let filled = |field: &str| {
                    rule.get(field).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
                };
                assert!(filled("verbs"), "{name}: {rule}");
                assert!(
                    filled("nonResourceURLs") || (filled("apiGroups") && filled("resources")),
                    "{name}: {rule}"
                );
            }
        }
    }

    #[test]
    fn identities_may_what_they_need_and_not_more() {
        let policy = policy();
        let user = |name: &str| match identity::parse_service_account(name) {
            Some((namespace, name)) => identity::service_account(namespace, name),
            None => match name.strip_prefix("system:node:") {
                Some(node) => identity::node(node),
                None => identity::component(name),
            },
        };
        let handler = "system:serviceaccount:kubevirt:kubevirt-handler";
        let controller = "system:serviceaccount:kubevirt:kubevirt-controller";
        let table = [
            ("alice", "create", "authorization.k8s.io", "selfsubjectaccessreviews", true),
            ("alice", "get", "", "pods", false),
            ("alice", "list", "kubevirt.io", "kubevirts", true),
            (controller, "create", "", "pods", true),
            (controller, "patch", "kubevirt.io", "virtualmachineinstances", true),
            (controller, "update", "kubevirt.io", "virtualmachines/status", true),
            (controller, "get", "", "secrets", false),
            (handler, "update", "kubevirt.io", "virtualmachineinstances", true),
            (handler, "delete", "kubevirt.io", "virtualmachineinstances", false),
            (handler, "create", "", "pods", false),
            (handler, "patch", "", "nodes", true),
            ("system:node:n", "update", "", "pods/status", true),
            ("system:node:n", "delete", "", "namespaces", false),
            ("system:kube-scheduler", "create", "", "pods/binding", true),
            ("system:kube-controller-manager", "delete", "", "pods", true),
        ];
        for (name, verb, group, resource, expected) in table {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let attributes = Attributes { verb, group, resource, subresource, ..Attributes::default() };
            assert_eq!(policy.decide(&user(name), &attributes).allowed, expected, "{name} {verb} {resource}");
        }
    }

    #[test]
    fn edit_and_view_gather_the_rules_for_machines() {
        let policy = policy();
        let may = |role: &str, verb: &str, resource: &str, subresource: &str| {
            let group = if subresource.is_empty() { "kubevirt.io" } else { "subresources.kubevirt.io" };
            let attributes = Attributes { verb, group, resource, subresource, ..Attributes::default() };
            policy
                .rules_of_role(true, "", role)
                .expect("the role")
                .iter()
                .any(|rule| rule.allows(&attributes))
        };
        assert!(may("admin", "deletecollection", "virtualmachines", ""));
        assert!(
            may("edit", "delete", "virtualmachines", "")
                && !may("edit", "deletecollection", "virtualmachines", "")
        );
        assert!(may("view", "list", "virtualmachines", "") && !may("view", "create", "virtualmachines", ""));
        assert!(
            may("edit", "update", "virtualmachines", "start")
                && !may("view", "update", "virtualmachines", "start")
        );
        assert!(!may("edit", "update", "virtualmachines", "migrate"));
        assert!(may("kubevirt.io:migrate", "update", "virtualmachines", "migrate"));
    }

    #[test]
    fn reconciling_adds_and_keeps() {
        let wanted = cluster_role("r", "", "get | - | pods");
        assert_eq!(reconcile(None, &wanted).as_ref(), Some(&wanted));
        assert_eq!(reconcile(Some(&wanted), &wanted), None);
        let mut own = wanted.clone();
        own["rules"] = json!([{"verbs": ["list"], "apiGroups": [""], "resources": ["nodes"]}]);
        let merged = reconcile(Some(&own), &wanted).expect("a change");
        assert_eq!(merged["rules"].as_array().map(Vec::len), Some(2));
        own["metadata"]["annotations"][AUTO_UPDATE] = "false".into();
        assert_eq!(reconcile(Some(&own), &wanted), None);
    }
}
