//! All roles and bindings of one moment, made ready for decisions.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use machinery::admission::UserInfo;
use machinery::object;
use machinery::selector::LabelSelector;
use serde_json::Value;

use super::Rule;
use crate::auth::attributes::Attributes;
use crate::auth::identity;

type Rules = Arc<[Rule]>;

/// An answer of authorisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may happen.
    pub allowed: bool,
    /// Why, in a sentence; may be empty.
    pub reason: String,
}

impl Decision {
    /// It may happen.
    pub fn allowed(reason: impl Into<String>) -> Self {
        Self { allowed: true, reason: reason.into() }
    }
}

/// Roles and bindings, ready for decisions.
#[derive(Debug, Default)]
pub struct Policy {
    cluster_roles: HashMap<Box<str>, Rules>,
    roles: HashMap<(Box<str>, Box<str>), Rules>,
    cluster_bindings: Vec<Binding>,
    bindings: HashMap<Box<str>, Vec<Binding>>,
}

#[derive(Debug)]
struct Binding {
    name: Box<str>,
    namespace: Box<str>,
    subjects: Box<[Subject]>,
    cluster_role: bool,
    role: Box<str>,
}

#[derive(Debug)]
enum Subject {
    User(Box<str>),
    Group(Box<str>),
    ServiceAccount { user: Box<str> },
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Reads the rules of a role or cluster role.
pub(crate) fn rules_in(role: &Value) -> Vec<Rule> {
    list(role, "rules").iter().filter_map(|rule| serde_json::from_value(rule.clone()).ok()).collect()
}

impl Policy {
    /// Reads cluster roles, roles, cluster role bindings and role bindings.
    pub fn new(objects: &[Vec<Value>; 4]) -> Self {
        let [cluster_roles, roles, cluster_bindings, bindings] = objects;
        let mut policy = Self::default();
        for role in cluster_roles {
            policy.cluster_roles.insert(object::name(role).into(), with_aggregated(role, cluster_roles));
        }
        for role in roles {
            let key = (object::namespace(role).into(), object::name(role).into());
            policy.roles.insert(key, rules_in(role).into());
        }
        policy.cluster_bindings = cluster_bindings.iter().map(Binding::read).collect();
        for binding in bindings {
            policy
                .bindings
                .entry(object::namespace(binding).into())
                .or_default()
                .push(Binding::read(binding));
        }
        policy
    }

    /// Decides whether `user` may do what `attributes` say.
    pub fn decide(&self, user: &UserInfo, attributes: &Attributes<'_>) -> Decision {
        for (binding, subject, rules) in self.held(user, attributes.namespace) {
            if rules.iter().any(|rule| rule.allows(attributes)) {
                return Decision::allowed(binding.explain(subject));
            }
        }
        Decision { allowed: false, reason: String::new() }
    }

    /// Returns all rules that `user` holds in a namespace; in the whole cluster, when it is empty.
    pub fn rules_of<'a>(&'a self, user: &UserInfo, namespace: &str) -> Vec<&'a Rule> {
        self.held(user, namespace).flat_map(|(_, _, rules)| rules.iter()).collect()
    }

    /// Returns the rules of a role that a binding in `namespace` refers to.
    pub fn rules_of_role(&self, cluster_role: bool, namespace: &str, name: &str) -> Option<&[Rule]> {
        let rules = if cluster_role {
            self.cluster_roles.get(name)
        } else {
            self.roles.get(&(Box::from(namespace), Box::from(name)))
        };
        rules.map(|rules| &**rules)
    }

    fn held<'a>(
        &'a self,
        user: &UserInfo,
        namespace: &str,
    ) -> impl Iterator<Item = (&'a Binding, &'a Subject, &'a [Rule])> {
        let local = if namespace.is_empty() { None } else { self.bindings.get(namespace) };
        self.cluster_bindings.iter().chain(local.into_iter().flatten()).filter_map(move |binding| {
            let subject = binding.subjects.iter().find(|subject| subject.is(user))?;
            let rules = self.rules_of_role(binding.cluster_role, &binding.namespace, &binding.role)?;
            Some((binding, subject, rules))
        })
    }
}

/// The rules of a cluster role, those of the roles that it gathers included: the aggregation controller writes them
/// into the object too, but a decision does not wait for it.
fn with_aggregated(role: &Value, all: &[Value]) -> Rules {
    let mut rules = Vec::new();
    let (mut seen, mut waiting) = (BTreeSet::new(), vec![role]);
    while let Some(role) = waiting.pop() {
        if !seen.insert(object::name(role)) {
            continue;
        }
        for rule in rules_in(role) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        let aggregation = role.get("aggregationRule").unwrap_or(&Value::Null);
        for selector in list(aggregation, "clusterRoleSelectors") {
            let Ok(selector) = LabelSelector::from_object(selector) else {
                continue;
            };
            waiting.extend(all.iter().filter(|other| selector.matches(other)));
        }
    }
    rules.into()
}

impl Binding {
    fn read(binding: &Value) -> Self {
        let namespace = object::namespace(binding);
        let role = binding.get("roleRef").unwrap_or(&Value::Null);
        let subjects = list(binding, "subjects").iter().filter_map(|subject| {
            let name = text(subject, "name");
            match text(subject, "kind") {
                "User" => Some(Subject::User(name.into())),
                "Group" => Some(Subject::Group(name.into())),
                "ServiceAccount" => {
                    let own = text(subject, "namespace");
                    let namespace = if own.is_empty() { namespace } else { own };
                    let user = identity::service_account_user(namespace, name).into();
                    (!namespace.is_empty()).then_some(Subject::ServiceAccount { user })
                }
                _ => None,
            }
        });
        Self {
            name: object::name(binding).into(),
            namespace: namespace.into(),
            subjects: subjects.collect(),
            cluster_role: text(role, "kind") == "ClusterRole",
            role: text(role, "name").into(),
        }
    }

    fn explain(&self, subject: &Subject) -> String {
        let binding = if self.namespace.is_empty() {
            format!("ClusterRoleBinding {:?}", self.name)
        } else {
            format!("RoleBinding \"{}/{}\"", self.name, self.namespace)
        };
        let role = if self.cluster_role { "ClusterRole" } else { "Role" };
        format!("RBAC: allowed by {binding} of {role} {:?} to {}", self.role, subject.describe())
    }
}

impl Subject {
    fn is(&self, user: &UserInfo) -> bool {
        match self {
            Self::User(name) | Self::ServiceAccount { user: name } => **name == *user.username,
            Self::Group(name) => user.groups.iter().any(|group| **group == **name),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::User(name) => format!("User {name:?}"),
            Self::Group(name) => format!("Group {name:?}"),
            Self::ServiceAccount { user } => match identity::parse_service_account(user) {
                Some((namespace, name)) => format!("ServiceAccount \"{name}/{namespace}\""),
                None => format!("ServiceAccount {user:?}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy() -> Policy {
        let role = |name: &str, labels: Value, rules: Value| json!({"metadata": {"name": name, "labels": labels}, "rules": rules});
        let view = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
        let mut edit = role("edit", json!({}), json!([]));
        edit["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"to-edit": "true"}}]});
        let gathered = role(
            "part",
            json!({"to-edit": "true"}),
            json!([{"verbs": ["update"], "apiGroups": [""], "resources": ["pods"]}]),
        );
        let binding = |name: &str, namespace: &str, kind: &str, role: &str, subjects: Value| {
            let mut binding = json!({"metadata": {"name": name}, "roleRef": {"kind": kind, "name": role}, "subjects": subjects});
            if !namespace.is_empty() {
                binding["metadata"]["namespace"] = namespace.into();
            }
            binding
        };
        Policy::new(&[
            vec![role("view", json!({}), view), edit, gathered],
            vec![json!({"metadata": {"name": "own", "namespace": "a"}, "rules": [
                {"verbs": ["delete"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"]}]})],
            vec![binding(
                "everyone",
                "",
                "ClusterRole",
                "view",
                json!([{"kind": "Group", "name": "readers"}]),
            )],
            vec![
                binding("editors", "a", "ClusterRole", "edit", json!([{"kind": "User", "name": "alice"}])),
                binding(
                    "robots",
                    "a",
                    "Role",
                    "own",
                    json!([{"kind": "ServiceAccount", "name": "robot", "namespace": "b"}]),
                ),
            ],
        ])
    }

    fn user(name: &str, groups: &[&str]) -> UserInfo {
        identity::user(name, groups.iter().map(|group| (*group).to_owned()))
    }

    #[test]
    fn bindings_give_rules_where_they_are() {
        let policy = policy();
        let may = |user: &UserInfo, verb, namespace, name| {
            policy.decide(
                user,
                &Attributes { verb, resource: "pods", namespace, name, ..Attributes::default() },
            )
        };
        let (reader, alice) = (user("x", &["readers"]), user("alice", &[]));
        assert!(may(&reader, "get", "a", "").allowed && may(&reader, "get", "", "").allowed);
        assert!(!may(&reader, "update", "a", "").allowed && !may(&user("x", &[]), "get", "a", "").allowed);
        assert!(may(&alice, "update", "a", "").allowed && !may(&alice, "update", "b", "").allowed);
        assert!(!may(&alice, "update", "", "").allowed);
        let robot = identity::service_account("b", "robot");
        assert!(may(&robot, "delete", "a", "p").allowed && !may(&robot, "delete", "a", "q").allowed);
        assert_eq!(
            may(&alice, "update", "a", "").reason,
            "RBAC: allowed by RoleBinding \"editors/a\" of ClusterRole \"edit\" to User \"alice\""
        );
        assert_eq!(policy.rules_of(&alice, "a").len(), 1);
    }
}
