//! What a quota counts, and of which Pods.

use machinery::field::{FieldError, Path};
use machinery::quantity::Quantity;
use serde_json::Value;

/// Things that are counted, so that there is no half of one.
const WHOLE: [&str; 10] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "resourceclaims",
];
/// What Pods ask for, beside their number.
const COMPUTE: [&str; 6] =
    ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];
/// Resources by plain names that belong to no Pod.
const OF_NO_POD: [&str; 9] = [
    "configmaps",
    "persistentvolumeclaims",
    "replicationcontrollers",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];
/// Scopes that no Pod is in at once.
const OPPOSED: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["NotTerminating", "Terminating"]];
/// Scopes that a Pod is in or not, with nothing more to say.
const PLAIN: [&str; 4] = ["BestEffort", "NotBestEffort", "NotTerminating", "Terminating"];

/// Checks the spec of a quota.
pub(super) fn check(spec: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let hard = || spec["hard"].as_object().into_iter().flatten();
    for (name, amount) in hard() {
        let quantity = amount.as_str().and_then(|text| Quantity::parse(text).ok());
        let whole = WHOLE.contains(&&**name) || name.starts_with("count/");
        if let Some(quantity) = quantity.filter(|quantity| whole && quantity.as_f64().fract() != 0.0) {
            let at = path.child("hard").key(name);
            errors.push(FieldError::invalid(at, quantity.canonical(), "must be an integer"));
        }
    }
    let scopes: Vec<&str> =
        spec["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let at = path.child("scopes");
    let mut refuse = |detail: &str| errors.push(FieldError::invalid(at.clone(), scopes.clone(), detail));
    for scope in &scopes {
        if hard().any(|(name, _)| !counts(scope, name)) {
            refuse("unsupported scope applied to resource");
        }
    }
    if OPPOSED.iter().any(|pair| pair.iter().all(|scope| scopes.contains(scope))) {
        refuse("conflicting scopes");
    }
    for rule in spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten() {
        let (scope, operator) = (rule["scopeName"].as_str().unwrap_or_default(), &rule["operator"]);
        // Where the rule stands in the list is not told.
        let path = path.child("scopeSelector").child("matchExpressions");
        if hard().any(|(name, _)| !counts(scope, name)) {
            let detail = "unsupported scope applied to resource";
            errors.push(FieldError::invalid(path.child("scopeName"), scope, detail));
        }
        if PLAIN.contains(&scope) && *operator != "Exists" {
            let detail = format!("must be 'Exists' when scope is any of {}", PLAIN.join(", "));
            errors.push(FieldError::invalid(path.child("operator"), operator.clone(), detail));
        }
    }
}

/// Whether a resource can be counted of what is in a scope only.
fn counts(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => !OF_NO_POD.contains(&resource) && !COMPUTE.contains(&resource),
        "NotBestEffort" | "NotTerminating" | "PriorityClass" | "Terminating" => {
            !OF_NO_POD.contains(&resource)
        }
        _ => true,
    }
}
