//! Agents of nodes may touch what is on their node only: a node that is lost must not take the others with it.
//!
//! Roles cannot say this, so it is checked after them. It concerns kubelets, and virt-handler where its identity tells
//! the node (its token does, and the embedded one's too).

use std::sync::Arc;

use machinery::admission::UserInfo;
use serde::Deserialize;
use serde_json::Value;

use super::attributes::Attributes;
use super::identity::{NODE_NAME, NODES};
use crate::ApiServer;
use crate::cache::{Entry, ObjectKey};
use crate::registry::Collection;

const LEASES: &str = "coordination.k8s.io";
const MACHINES: &str = "kubevirt.io";

/// The part of a Pod or machine that says where it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Placed {
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    node_name: Option<String>,
    migration_state: Option<Migration>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Migration {
    target_node: Option<String>,
}

/// Returns why an agent may not do this although its roles allow it; nothing for everything else.
pub(super) fn refusal(server: &ApiServer, user: &UserInfo, attributes: &Attributes<'_>) -> Option<String> {
    let node = node_of(user)?;
    let Attributes { group, resource, namespace, name, .. } = *attributes;
    let writes = matches!(attributes.verb, "update" | "patch" | "delete");
    let mine = match (group, resource) {
        ("", "nodes") if writes => name == node,
        (LEASES, "leases") if writes => namespace != "kube-node-lease" || name == node,
        ("", "pods") if writes => {
            placed(server, "", "pods", namespace, name).is_none_or(|pod| pod.is_on(node))
        }
        (MACHINES, "virtualmachineinstances") if writes => {
            placed(server, MACHINES, resource, namespace, name).is_none_or(|machine| machine.is_on(node))
        }
        ("", "persistentvolumes") if writes => on_node(server, resource, name, node),
        ("", "serviceaccounts") if attributes.verb == "create" => {
            attributes.subresource == "token" && needs(server, node, namespace, name)
        }
        // Public: every namespace has it for all its Pods.
        ("", "configmaps") if name == "kube-root-ca.crt" => true,
        ("", "secrets" | "configmaps") => !name.is_empty() && needs(server, node, namespace, name),
        _ => true,
    };
    (!mine).then(|| format!("node {node:?} has nothing to do with it"))
}

/// The node whose agent this is.
fn node_of(user: &UserInfo) -> Option<&str> {
    if user.groups.iter().any(|group| group == NODES) {
        return user.username.strip_prefix("system:node:");
    }
    let handler = user.username == api::names::account::HANDLER;
    user.extra.get(NODE_NAME).filter(|_| handler)?.first().map(String::as_str)
}

impl Placed {
    fn is_on(&self, node: &str) -> bool {
        let target =
            self.status.migration_state.as_ref().and_then(|migration| migration.target_node.as_deref());
        [self.spec.node_name.as_deref(), self.status.node_name.as_deref(), target].contains(&Some(node))
    }
}

/// Where an object is. What does not exist is on no node, and not found is then the better answer.
fn placed(server: &ApiServer, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Placed> {
    let entry = server.object(&Collection::new(group, plural), &ObjectKey::new(namespace, name))?;
    serde_json::from_slice(&entry.bytes).ok()
}

/// Says whether a volume can be used on this node alone, as far as its affinity tells.
fn on_node(server: &ApiServer, plural: &str, name: &str, node: &str) -> bool {
    let Some(entry) = server.object(&Collection::new("", plural), &ObjectKey::new("", name)) else {
        return true;
    };
    entry.parse().is_ok_and(|volume| holds(&volume["spec"]["nodeAffinity"], node))
}

/// Says whether a Pod or machine of the node mentions a Secret or ConfigMap of its namespace.
fn needs(server: &ApiServer, node: &str, namespace: &str, name: &str) -> bool {
    let quoted = format!("\"{name}\"");
    let mentions = |entry: &Arc<Entry>| {
        // Looked for as text first: most objects do not have the name at all.
        let found = entry.bytes.windows(quoted.len()).any(|window| window == quoted.as_bytes());
        found
            && serde_json::from_slice::<Placed>(&entry.bytes).is_ok_and(|placed| placed.is_on(node))
            && entry.parse().is_ok_and(|object| object.get("spec").is_some_and(|spec| holds(spec, name)))
    };
    [("", "pods"), (MACHINES, "virtualmachineinstances")].into_iter().any(|(group, plural)| {
        server.caches().of(&Collection::new(group, plural)).snapshot(namespace).0.iter().any(mentions)
    })
}

/// Says whether a text is somewhere in a value.
fn holds(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Array(items) => items.iter().any(|item| holds(item, wanted)),
        Value::Object(fields) => fields.values().any(|value| holds(value, wanted)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::identity;

    #[test]
    fn agents_are_told_by_their_identity() {
        assert_eq!(node_of(&identity::node("a")), Some("a"));
        let handler = identity::service_account("kubevirt", "kubevirt-handler");
        assert_eq!(node_of(&handler), None);
        assert_eq!(node_of(&identity::on_node(handler, "b")), Some("b"));
        let other = identity::service_account("default", "kubevirt-handler");
        assert_eq!(node_of(&identity::on_node(other, "b")), None);
    }

    #[test]
    fn machines_are_where_their_status_says() {
        let on =
            |text: &str, node: &str| serde_json::from_str::<Placed>(text).expect("an object").is_on(node);
        assert!(on(r#"{"spec":{"nodeName":"a"}}"#, "a"));
        assert!(on(r#"{"spec":{},"status":{"nodeName":"a","migrationState":{"targetNode":"b"}}}"#, "b"));
        assert!(!on(r#"{"status":{"nodeName":"a"}}"#, "b") && !on("{}", "a"));
    }
}
