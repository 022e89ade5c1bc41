//! Which objects a quota is for: scopes choose among Pods.

use serde_json::Value;

use crate::registry::Collection;

/// Whether a quota counts this object. A quota with scopes counts Pods only.
pub(super) fn covers(quota: &Value, collection: &Collection, object: &Value) -> bool {
    let spec = &quota["spec"];
    let plain = spec["scopes"].as_array().into_iter().flatten();
    let chosen = spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten();
    let mut scopes = plain.map(|scope| (scope, "Exists", &Value::Null)).chain(chosen.map(|expression| {
        let operator = expression["operator"].as_str().unwrap_or("Exists");
        (&expression["scopeName"], operator, &expression["values"])
    }));
    let pods = collection.group.is_empty() && &*collection.plural == "pods";
    scopes.all(|(scope, operator, values)| {
        pods && holds(scope.as_str().unwrap_or_default(), operator, values, object)
    })
}

fn holds(scope: &str, operator: &str, values: &Value, pod: &Value) -> bool {
    let spec = &pod["spec"];
    let effortless = || {
        let lists = ["initContainers", "containers"].map(|list| spec[list].as_array());
        let mut all = lists.into_iter().flatten().flatten();
        all.all(|container| {
            ["requests", "limits"]
                .iter()
                .all(|part| container["resources"][part].as_object().is_none_or(serde_json::Map::is_empty))
        })
    };
    match scope {
        "BestEffort" => effortless(),
        "NotBestEffort" => !effortless(),
        "Terminating" => spec["activeDeadlineSeconds"].is_number(),
        "NotTerminating" => !spec["activeDeadlineSeconds"].is_number(),
        "PriorityClass" => {
            let class = spec["priorityClassName"].as_str().filter(|class| !class.is_empty());
            let listed =
                || values.as_array().is_some_and(|values| values.iter().any(|value| value.as_str() == class));
            match operator {
                "In" => class.is_some() && listed(),
                "NotIn" => class.is_none() || !listed(),
                "DoesNotExist" => class.is_none(),
                _ => class.is_some(),
            }
        }
        "CrossNamespacePodAffinity" => ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
            let terms = spec["affinity"][kind].as_object().into_iter().flat_map(|kind| kind.values());
            let terms = terms.filter_map(Value::as_array).flatten();
            terms.map(|term| term.get("podAffinityTerm").unwrap_or(term)).any(|term| {
                term["namespaceSelector"].is_object()
                    || term["namespaces"].as_array().is_some_and(|names| !names.is_empty())
            })
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scopes_choose_pods() {
        let plain = json!({"spec": {"containers": [{"name": "c"}]}});
        let asking = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}});
        let ending = json!({"spec": {"activeDeadlineSeconds": 5}});
        let high = json!({"spec": {"priorityClassName": "high"}});
        let scope = |name: &str| json!({"spec": {"scopes": [name]}});
        let class = |operator: &str, values: Value| {
            json!({"spec": {"scopeSelector": {"matchExpressions": [
                {"scopeName": "PriorityClass", "operator": operator, "values": values}
            ]}}})
        };
        let cases = [
            (json!({"spec": {}}), &plain, true),
            (scope("BestEffort"), &plain, true),
            (scope("BestEffort"), &asking, false),
            (scope("NotBestEffort"), &asking, true),
            (scope("Terminating"), &ending, true),
            (scope("NotTerminating"), &ending, false),
            (class("In", json!(["high"])), &high, true),
            (class("In", json!(["low"])), &high, false),
            (class("NotIn", json!(["low"])), &plain, true),
            (class("Exists", json!([])), &plain, false),
        ];
        for (quota, pod, expected) in cases {
            assert_eq!(covers(&quota, &Collection::new("", "pods"), pod), expected, "{quota} {pod}");
        }
        assert!(!covers(&scope("NotTerminating"), &Collection::new("", "secrets"), &plain));
    }
}
