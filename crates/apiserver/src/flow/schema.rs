//! Which requests a FlowSchema is for, and which of them are one flow.

use machinery::admission::UserInfo;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::auth::identity;
use crate::request::RequestInfo;

const ALL: &str = "*";

type List = Box<[Box<str>]>;

/// The schema of what no other schema is for.
pub(super) const CATCH_ALL: &str = "catch-all";
/// The schema, and the level, of what is never held up.
pub(super) const EXEMPT: &str = "exempt";

/// A FlowSchema, ready for matching.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) name: Box<str>,
    pub(super) uid: Box<str>,
    spec: Spec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    priority_level_configuration: Named,
    matching_precedence: i32,
    distinguisher_method: Option<Method>,
    rules: Vec<Rules>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: Box<str>,
}

/// What tells the flows of a schema apart.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(tag = "type")]
enum Method {
    ByUser,
    ByNamespace,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rules {
    subjects: Vec<Subject>,
    resource_rules: Vec<ResourceRule>,
    non_resource_rules: Vec<PathRule>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind")]
enum Subject {
    User {
        user: Named,
    },
    Group {
        group: Named,
    },
    ServiceAccount {
        #[serde(rename = "serviceAccount")]
        account: Account,
    },
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Account {
    namespace: Box<str>,
    name: Box<str>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceRule {
    verbs: List,
    api_groups: List,
    resources: List,
    cluster_scope: bool,
    namespaces: List,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PathRule {
    verbs: List,
    #[serde(rename = "nonResourceURLs")]
    urls: List,
}

/// Whether a list has an item; all have one that is the star alone.
fn holds(list: &[Box<str>], wanted: &str) -> bool {
    matches!(list, [all] if &**all == ALL) || list.iter().any(|item| &**item == wanted)
}

impl Schema {
    /// Reads an object; nothing if it is none that could be obeyed.
    pub(super) fn read(object: &Value) -> Option<Self> {
        let spec = Spec::deserialize(object.get("spec")?).ok()?;
        let name = machinery::object::name(object).into();
        Some(Self { name, uid: machinery::object::uid(object).into(), spec })
    }

    /// The priority level that its requests go to.
    pub(super) fn level(&self) -> &str {
        &self.spec.priority_level_configuration.name
    }

    /// Sorts schemas in the order in which they are asked.
    pub(super) fn rank(&self) -> (i32, &str) {
        (self.spec.matching_precedence, &self.name)
    }

    /// Whether a request is for it.
    pub(super) fn matches(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        self.spec.rules.iter().any(|rules| {
            rules.subjects.iter().any(|subject| subject.means(user))
                && if info.is_resource {
                    rules.resource_rules.iter().any(|rule| rule.matches(info))
                } else {
                    rules.non_resource_rules.iter().any(|rule| rule.matches(info))
                }
        })
    }

    /// The flow of a request, as a number.
    pub(super) fn flow(&self, user: &UserInfo, info: &RequestInfo) -> u64 {
        let distinguisher: &str = match self.spec.distinguisher_method {
            Some(Method::ByUser) => &user.username,
            Some(Method::ByNamespace) => &info.namespace,
            None => "",
        };
        let mut hash = Sha256::new();
        hash.update((self.name.len() as u64).to_le_bytes());
        hash.update(self.name.as_bytes());
        hash.update(distinguisher.as_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }
}

impl Subject {
    fn means(&self, user: &UserInfo) -> bool {
        match self {
            Self::User { user: meant } => &*meant.name == ALL || *meant.name == *user.username,
            Self::Group { group } => {
                &*group.name == ALL || user.groups.iter().any(|held| **held == *group.name)
            }
            Self::ServiceAccount { account } => {
                identity::parse_service_account(&user.username).is_some_and(|(namespace, name)| {
                    *account.namespace == *namespace && (&*account.name == ALL || *account.name == *name)
                })
            }
        }
    }
}

impl ResourceRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        let resource = |item: &str| match &*info.subresource {
            "" => *item == *info.resource,
            sub => item.split_once('/') == Some((&info.resource, sub)),
        };
        let all = matches!(&*self.resources, [all] if &**all == ALL);
        holds(&self.verbs, &info.verb)
            && (all || self.resources.iter().any(|item| resource(item)))
            && holds(&self.api_groups, &info.group)
            && if info.namespace.is_empty() {
                self.cluster_scope
            } else {
                holds(&self.namespaces, &info.namespace)
            }
    }
}

impl PathRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        let path = |url: &str| {
            let stem = url.strip_suffix('*').unwrap_or(url);
            // A path means all that is below it, too.
            let below = info.path.strip_prefix(stem.strip_suffix('/').unwrap_or(stem));
            url == ALL || *url == *info.path || below.is_some_and(|below| below.starts_with('/'))
        };
        holds(&self.verbs, &info.verb) && self.urls.iter().any(|url| path(url))
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use super::*;

    fn schema(rules: Value) -> Schema {
        let object = json!({"metadata": {"name": "s", "uid": "u"}, "spec": {
            "matchingPrecedence": 5, "priorityLevelConfiguration": {"name": "l"}, "rules": rules}});
        Schema::read(&object).expect("a schema")
    }

    fn info(target: &str) -> RequestInfo {
        let (method, path) = target.split_once(' ').expect("method and path");
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        RequestInfo::parse(&method.parse::<Method>().expect("a method"), path, query)
    }

    #[test]
    fn subjects_are_users_groups_and_accounts() {
        let everything =
            json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}]);
        let pods = info("GET /api/v1/namespaces/a/pods");
        let robot = identity::service_account("a", "robot");
        let bob = identity::user("bob", ["staff".to_owned()]);
        let table = [
            (json!({"kind": "User", "user": {"name": "bob"}}), true, false),
            (json!({"kind": "User", "user": {"name": "*"}}), true, true),
            (json!({"kind": "Group", "group": {"name": "staff"}}), true, false),
            (json!({"kind": "Group", "group": {"name": "system:authenticated"}}), true, true),
            (json!({"kind": "Group", "group": {"name": "*"}}), true, true),
            (
                json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "a", "name": "robot"}}),
                false,
                true,
            ),
            (
                json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "a", "name": "*"}}),
                false,
                true,
            ),
            (
                json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "", "name": "*"}}),
                false,
                false,
            ),
            (
                json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "b", "name": "robot"}}),
                false,
                false,
            ),
        ];
        for (subject, means_bob, means_robot) in table {
            let schema = schema(json!([{"subjects": [subject], "resourceRules": everything}]));
            assert_eq!(schema.matches(&bob, &pods), means_bob, "{subject}");
            assert_eq!(schema.matches(&robot, &pods), means_robot, "{subject}");
        }
    }

    #[test]
    fn resource_rules_compare_all_parts() {
        let user = identity::user("bob", []);
        let rule = |verbs: Value, groups: Value, resources: Value, cluster: bool, namespaces: Value| {
            schema(json!([{"subjects": [{"kind": "User", "user": {"name": "*"}}], "resourceRules": [{
                "verbs": verbs, "apiGroups": groups, "resources": resources, "clusterScope": cluster,
                "namespaces": namespaces}]}]))
        };
        let pods =
            rule(json!(["get", "list"]), json!([""]), json!(["pods", "pods/log"]), false, json!(["a"]));
        let nodes = rule(json!(["*"]), json!(["*"]), json!(["*"]), true, json!([]));
        let table = [
            ("GET /api/v1/namespaces/a/pods", true, false),
            ("GET /api/v1/namespaces/a/pods/p/log", true, false),
            ("GET /api/v1/namespaces/a/pods/p/status", false, false),
            ("GET /api/v1/namespaces/a/pods?watch=1", false, false),
            ("GET /api/v1/namespaces/b/pods", false, false),
            ("GET /api/v1/pods", false, true),
            ("GET /api/v1/nodes", false, true),
            ("GET /apis/apps/v1/namespaces/a/pods", false, false),
            ("GET /version", false, false),
        ];
        for (target, is_pods, is_nodes) in table {
            let info = info(target);
            assert_eq!(pods.matches(&user, &info), is_pods, "{target}");
            assert_eq!(nodes.matches(&user, &info), is_nodes, "{target}");
        }
    }

    #[test]
    fn path_rules_mean_what_is_below_them() {
        let user = identity::user("bob", []);
        let table = [
            ("/healthz", "/healthz", true),
            ("/healthz", "/healthz/etcd", true),
            ("/healthz", "/healthzz", false),
            ("/apis/*", "/apis/apps/v1", true),
            ("/apis/*", "/apis", false),
            ("*", "/version", true),
            ("/", "/version", true),
        ];
        for (url, path, expected) in table {
            let rules = json!([{"subjects": [{"kind": "Group", "group": {"name": "*"}}],
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": [url]}]}]);
            let schema = schema(rules);
            assert_eq!(schema.matches(&user, &info(&format!("GET {path}"))), expected, "{url} {path}");
            assert!(!schema.matches(&user, &info(&format!("POST {path}"))));
        }
    }

    #[test]
    fn flows_are_told_apart_as_the_schema_says() {
        let (ann, bob) = (identity::user("ann", []), identity::user("bob", []));
        let (here, there) = (info("GET /api/v1/namespaces/a/pods"), info("GET /api/v1/namespaces/b/pods"));
        let by = |method: Value| {
            let object = json!({"metadata": {"name": "s"}, "spec": {"distinguisherMethod": method}});
            let schema = Schema::read(&object).expect("a schema");
            let first = schema.flow(&ann, &here);
            (first == schema.flow(&bob, &here), first == schema.flow(&ann, &there))
        };
        assert_eq!(by(json!({"type": "ByUser"})), (false, true));
        assert_eq!(by(json!({"type": "ByNamespace"})), (true, false));
        assert_eq!(by(Value::Null), (true, true));
    }
}
