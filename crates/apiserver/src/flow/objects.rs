//! The FlowSchemas and PriorityLevelConfigurations that every server has: two of each that nobody can change, because
//! without them some requests would have no level, and others that are a beginning and may be changed.
//!
//! Names, shares and rules are those of kube-apiserver.

use machinery::object;
use serde_json::{Value, json};

use super::schema::{CATCH_ALL, EXEMPT};
use super::{GROUP, LEVELS, SCHEMAS};

/// Whether the server keeps a spec as it is here, where that is its users' to say.
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// An object that every server has.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) plural: &'static str,
    pub(super) content: Value,
    mandatory: bool,
}

/// Levels: name, shares, per cent to lend, and queues, queues of a flow, length of a queue.
const SUGGESTED_LEVELS: [(&str, u32, u32, [u32; 3]); 6] = [
    ("system", 30, 33, [64, 6, 50]),
    ("node-high", 40, 25, [64, 6, 50]),
    ("leader-election", 10, 0, [16, 4, 50]),
    ("workload-high", 40, 50, [128, 6, 50]),
    ("workload-low", 100, 90, [128, 6, 50]),
    ("global-default", 20, 50, [128, 6, 50]),
];

const EVERYBODY: [&str; 2] = ["group:system:unauthenticated", "group:system:authenticated"];
const KUBE_SYSTEM: &str = "account:kube-system/*";

/// Returns all of them, levels first.
pub(super) fn all() -> Vec<Own> {
    let mut all = vec![
        level(
            EXEMPT,
            json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}),
            true,
        ),
        level(
            CATCH_ALL,
            json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 5,
                "limitResponse": {"type": "Reject"}, "lendablePercent": 0}}),
            true,
        ),
    ];
    for (name, shares, lendable, [queues, hand, length]) in SUGGESTED_LEVELS {
        let spec = json!({"type": "Limited", "limited": {"nominalConcurrencyShares": shares,
            "limitResponse": {"type": "Queue", "queuing":
                {"queues": queues, "handSize": hand, "queueLengthLimit": length}},
            "lendablePercent": lendable}});
        all.push(level(name, spec, false));
    }
    let lease = |verbs: &[&str]| resource_rule(verbs, "coordination.k8s.io", &["leases"], false);
    let node = resource_rule(&["*"], "", &["nodes", "nodes/status"], true);
    let probes = json!([{"subjects": subjects(&EVERYBODY), "nonResourceRules":
        [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]}]);
    let of_nodes = json!([{"subjects": subjects(&["group:system:nodes"]), "resourceRules":
        [node, lease(&["*"])]}]);
    let elections = json!([{
        "subjects": subjects(&["user:system:kube-controller-manager", "user:system:kube-scheduler", KUBE_SYSTEM]),
        "resourceRules": [lease(&["get", "create", "update"])]}]);
    let (user, namespace) = (Some("ByUser"), Some("ByNamespace"));
    all.push(schema(EXEMPT, EXEMPT, 1, None, everything(&["group:system:masters"]), true));
    all.push(schema(CATCH_ALL, CATCH_ALL, 10_000, user, everything(&EVERYBODY), true));
    all.extend([
        schema("probes", EXEMPT, 2, None, probes, false),
        schema("system-leader-election", "leader-election", 100, user, elections, false),
        schema("system-node-high", "node-high", 400, user, of_nodes, false),
        schema("system-nodes", "system", 500, user, everything(&["group:system:nodes"]), false),
    ]);
    for (name, subject) in [
        ("kube-controller-manager", "user:system:kube-controller-manager"),
        ("kube-scheduler", "user:system:kube-scheduler"),
    ] {
        all.push(schema(name, "workload-high", 800, namespace, everything(&[subject]), false));
    }
    all.extend([
        schema(
            "kube-system-service-accounts",
            "workload-high",
            900,
            namespace,
            everything(&[KUBE_SYSTEM]),
            false,
        ),
        schema(
            "service-accounts",
            "workload-low",
            9000,
            user,
            everything(&["group:system:serviceaccounts"]),
            false,
        ),
        schema("global-default", "global-default", 9900, user, everything(&EVERYBODY), false),
    ]);
    all
}

fn own(plural: &'static str, kind: &str, name: &str, spec: Value, mandatory: bool) -> Own {
    let content = json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind,
        "metadata": {"name": name, "generation": 1, "annotations": {AUTO_UPDATE: "true"}}, "spec": spec, "status": {}});
    Own { plural, content, mandatory }
}

fn level(name: &str, spec: Value, mandatory: bool) -> Own {
    own(LEVELS, "PriorityLevelConfiguration", name, spec, mandatory)
}

fn schema(
    name: &str,
    level: &str,
    precedence: u32,
    distinguisher: Option<&str>,
    rules: Value,
    mandatory: bool,
) -> Own {
    let mut spec = json!({"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence});
    if let Some(method) = distinguisher {
        spec["distinguisherMethod"] = json!({"type": method});
    }
    spec["rules"] = rules;
    own(SCHEMAS, "FlowSchema", name, spec, mandatory)
}

/// Reads subjects, written as `group:NAME`, `user:NAME` or `account:NAMESPACE/NAME`.
fn subjects(written: &[&str]) -> Vec<Value> {
    let one = |text: &&str| {
        let (kind, name) = text.split_once(':').unwrap_or_default();
        match (kind, name.split_once('/')) {
            ("group", _) => json!({"kind": "Group", "group": {"name": name}}),
            ("account", Some((namespace, name))) => {
                json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": name}})
            }
            _ => json!({"kind": "User", "user": {"name": name}}),
        }
    };
    written.iter().map(one).collect()
}

fn resource_rule(verbs: &[&str], group: &str, resources: &[&str], cluster: bool) -> Value {
    let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources});
    if cluster {
        rule["clusterScope"] = true.into();
    }
    rule["namespaces"] = json!(["*"]);
    rule
}

fn everything(of: &[&str]) -> Value {
    json!([{"subjects": subjects(of), "resourceRules": [resource_rule(&["*"], "*", &["*"], true)],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}])
}

/// The spec that a mandatory object must have; nothing for all others. Of the level `exempt`, users may say what it lends.
pub(crate) fn fixed_spec(plural: &str, name: &str) -> Option<Value> {
    let own = all().into_iter().find(|own| own.mandatory && own.plural == plural && own.name() == name)?;
    Some(own.content["spec"].clone())
}

/// Whether an object is kept as the server says, by what its annotation says of that.
pub(super) fn is_kept(object: &Value) -> Option<bool> {
    match object::annotation(object, AUTO_UPDATE)? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Own {
    pub(super) fn name(&self) -> &str {
        object::name(&self.content)
    }

    /// Returns the object to write where `existing` is; nothing if that is good as it is. What its users changed stays, if
    /// they may; who has not said so by the annotation has not changed it before its first generation is over.
    pub(super) fn revise(&self, existing: &Value) -> Option<Value> {
        let keeps = self.mandatory || is_kept(existing).unwrap_or_else(|| object::generation(existing) == 1);
        let mut revised = existing.clone();
        let differs = existing["spec"] != self.content["spec"];
        // What the level `exempt` lends is its users' to say.
        let is_theirs = self.mandatory && self.plural == LEVELS && self.name() == EXEMPT;
        if keeps && differs && !(is_theirs && existing["spec"]["exempt"].is_object()) {
            revised["spec"] = self.content["spec"].clone();
            object::set_meta(&mut revised, "generation", object::generation(existing) + 1);
        }
        if is_kept(existing) != Some(keeps) {
            let annotations = &mut revised["metadata"]["annotations"];
            annotations[AUTO_UPDATE] = keeps.to_string().into();
        }
        (revised != *existing).then_some(revised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::level::Plan;
    use crate::flow::schema::Schema;

    fn find(plural: &str, name: &str) -> Own {
        all().into_iter().find(|own| own.plural == plural && own.name() == name).expect("it is there")
    }

    #[test]
    fn all_can_be_obeyed() {
        let all = all();
        let (schemas, levels): (Vec<_>, Vec<_>) = all.iter().partition(|own| own.plural == SCHEMAS);
        assert_eq!((schemas.len(), levels.len()), (11, 8));
        let levels: Vec<_> =
            levels.iter().map(|own| Plan::read(&own.content).expect("a level").name).collect();
        for own in schemas {
            let schema = Schema::read(&own.content).expect("a schema");
            assert!(levels.iter().any(|level| **level == *schema.level()), "{}", own.name());
        }
    }

    #[test]
    fn what_users_changed_stays_if_they_may() {
        let own = find(LEVELS, "workload-low");
        assert_eq!(own.revise(&own.content), None);
        let mut changed = own.content.clone();
        changed["spec"]["limited"]["nominalConcurrencyShares"] = 7.into();
        changed["metadata"]["generation"] = 2.into();
        let revised = own.revise(&changed).expect("it is put right");
        assert_eq!(revised["spec"], own.content["spec"]);
        assert_eq!(revised["metadata"]["generation"], 3);
        changed["metadata"]["annotations"][AUTO_UPDATE] = "false".into();
        assert_eq!(own.revise(&changed), None);
        changed["metadata"]["annotations"] = json!({});
        let revised = own.revise(&changed).expect("the annotation is written");
        assert_eq!(revised["spec"], changed["spec"]);
        assert_eq!(is_kept(&revised), Some(false));
        changed["metadata"]["generation"] = 1.into();
        assert_eq!(own.revise(&changed).expect("put right")["spec"], own.content["spec"]);
    }

    #[test]
    fn mandatory_objects_stay_as_they_are() {
        let own = find(SCHEMAS, CATCH_ALL);
        let mut changed = own.content.clone();
        changed["spec"]["rules"] = json!([]);
        changed["metadata"]["annotations"][AUTO_UPDATE] = "false".into();
        assert_eq!(own.revise(&changed).expect("put right")["spec"], own.content["spec"]);
        let own = find(LEVELS, EXEMPT);
        let mut lends = own.content.clone();
        lends["spec"]["exempt"]["lendablePercent"] = 5.into();
        assert_eq!(own.revise(&lends), None);
        assert_eq!(fixed_spec(LEVELS, CATCH_ALL).expect("fixed")["limited"]["nominalConcurrencyShares"], 5);
        assert_eq!(fixed_spec(LEVELS, "system"), None);
    }
}
