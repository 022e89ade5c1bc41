//! What the user may do.

use serde_json::{Value, json};

use super::Finding;
use super::sight::{Seen, Sight};

/// What somebody does who works with machines: verb, API group, resource.
pub(super) const WANTED: [(&str, &str, &str); 8] = [
    ("create", "kubevirt.io", "virtualmachines"),
    ("list", "kubevirt.io", "virtualmachineinstances"),
    ("update", "subresources.kubevirt.io", "virtualmachines/start"),
    ("update", "subresources.kubevirt.io", "virtualmachines/stop"),
    ("get", "subresources.kubevirt.io", "virtualmachineinstances/console"),
    ("get", "subresources.kubevirt.io", "virtualmachineinstances/vnc"),
    ("get", "subresources.kubevirt.io", "virtualmachineinstances/portforward"),
    ("list", "", "events"),
];

/// Writes the question whether the user may do something.
pub(super) fn review(namespace: &str, (verb, group, resource): (&str, &str, &str)) -> Value {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {
            "namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": subresource,
        }},
    })
}

/// Judges the answers. Who may not ask may have the rights nevertheless.
pub(super) fn judge(sight: &Sight) -> Finding {
    let subject = "rights";
    let namespace = &sight.namespace;
    let asked = WANTED.iter().zip(&sight.rights);
    let denied: Vec<_> = asked
        .filter(|(_, seen)| matches!(seen, Seen::It(review) if review["status"]["allowed"] != true))
        .map(|(wanted, _)| wanted)
        .collect();
    if denied.is_empty() {
        let known = sight.rights.iter().any(|seen| seen.it().is_some());
        let meaning = if known {
            format!("you may work with machines in namespace {namespace}")
        } else {
            format!("the server does not tell what you may do in namespace {namespace}")
        };
        return Finding::good(subject, meaning);
    }
    let words: Vec<_> = denied.iter().map(|(verb, _, resource)| format!("{verb} {resource}")).collect();
    // The role for machines says nothing of Kubernetes' own kinds, such as Events.
    let role = |of_machines: bool| {
        let wanted = denied.iter().any(|(_, group, _)| group.is_empty() != of_machines);
        wanted.then_some(if of_machines { "kubevirt.io:edit" } else { "view" })
    };
    let commands: Vec<_> = [role(true), role(false)]
        .into_iter()
        .flatten()
        .map(|role| {
            format!("kubectl create rolebinding NAME --clusterrole={role} --user=YOU --namespace={namespace}")
        })
        .collect();
    Finding::limited(
        subject,
        format!("in namespace {namespace} you may not: {}", words.join(", ")),
        format!(
            "choose another namespace with --namespace, or have an administrator run: {}",
            commands.join("; ")
        ),
    )
}
