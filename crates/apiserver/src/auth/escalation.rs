//! Nobody may give themselves or others more than they hold: checked on writes to roles and bindings.

use std::fmt::Write as _;

use machinery::admission::UserInfo;
use machinery::gvk::Gvr;
use machinery::object;
use machinery::status::Status;
use serde_json::Value;

use super::attributes::Attributes;
use super::identity::MASTERS;
use super::rbac::{self, Rule};
use crate::{ApiServer, Result};

/// Checks a write of `object` (in the collection `plural` of the RBAC group) that replaces `old`.
///
/// # Errors
/// Refuses rules, and bindings to roles with rules, that `user` does not hold, unless the verb `escalate` or `bind`
/// is granted.
pub fn check(
    server: &ApiServer,
    user: &UserInfo,
    plural: &str,
    object: &Value,
    old: Option<&Value>,
) -> Result<()> {
    if user.groups.iter().any(|group| group == MASTERS) {
        return Ok(());
    }
    let same = |field: &str| old.is_some_and(|old| old.get(field) == object.get(field));
    let (namespace, name) = (object::namespace(object), object::name(object));
    let policy = server.auth().policy(server);
    let wanted: Vec<Rule> = match plural {
        "roles" | "clusterroles" => {
            if same("rules") && same("aggregationRule") {
                return Ok(());
            }
            let attributes = Attributes {
                verb: "escalate",
                group: rbac::GROUP,
                resource: plural,
                namespace,
                name,
                ..Attributes::default()
            };
            if server.auth().decide(server, user, &attributes).allowed {
                return Ok(());
            }
            let gathers = object.get("aggregationRule").is_some_and(|rule| !rule.is_null());
            if gathers && !same("aggregationRule") {
                // What a role gathers later cannot be known now.
                vec![Rule::everything()]
            } else {
                rbac::rules_of(object)
            }
        }
        "rolebindings" | "clusterrolebindings" => {
            if same("roleRef") && same("subjects") {
                return Ok(());
            }
            let reference = |field| object::str_at(object, &["roleRef", field]);
            let (cluster, role) = (reference("kind") == "ClusterRole", reference("name"));
            let resource = if cluster { "clusterroles" } else { "roles" };
            let attributes = Attributes {
                verb: "bind",
                group: rbac::GROUP,
                resource,
                namespace,
                name: role,
                ..Attributes::default()
            };
            if server.auth().decide(server, user, &attributes).allowed {
                return Ok(());
            }
            let rules = policy.rules_of_role(cluster, namespace, role);
            let gvr = Gvr::new(rbac::GROUP, "v1", resource);
            rules.ok_or_else(|| Status::not_found(&gvr, role))?.to_vec()
        }
        _ => return Ok(()),
    };
    let missing = rbac::missing(&policy.rules_of(user, namespace), &wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let why = format!(
        "user {:?} (groups={:?}) is attempting to grant RBAC permissions not currently held:{}",
        user.username,
        user.groups,
        describe(&missing)
    );
    Err(Status::forbidden(&Gvr::new(rbac::GROUP, "v1", plural), name, why).into())
}

fn describe(rules: &[Rule]) -> String {
    let mut text = String::new();
    for rule in rules {
        // Writing to a string does not fail.
        let _ = if rule.urls.is_empty() {
            write!(text, "\n{{APIGroups:{:?}, Resources:{:?}", rule.groups, rule.resources)
        } else {
            write!(text, "\n{{NonResourceURLs:{:?}", rule.urls)
        };
        if !rule.names.is_empty() {
            let _ = write!(text, ", ResourceNames:{:?}", rule.names);
        }
        let _ = write!(text, ", Verbs:{:?}}}", rule.verbs);
    }
    text
}
