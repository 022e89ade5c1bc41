//! What may change in a Pod while it runs: how much its containers ask for.

use machinery::field::{FieldError, Path};
use machinery::quantity::Quantity;
use serde_json::Value;

use super::pod::{containers, qos_class};
use super::pod_spec;

/// What a node can change in a container that runs.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// Checks a Pod of which only the containers' resources may be others than they were.
pub(super) fn validate(pod: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    for (path, container) in containers(&pod["spec"]) {
        let (now, path) = (&container["resources"], path.child("resources"));
        pod_spec::resources(now, &path, errors);
        for part in ["limits", "requests"] {
            for (name, amount) in now[part].as_object().into_iter().flatten() {
                let below = |text: &str| Quantity::parse(text).is_ok_and(|amount| amount.as_f64() < 0.0);
                if amount.as_str().is_some_and(below) {
                    let detail = "must be greater than or equal to 0";
                    errors.push(FieldError::invalid(path.child(part).key(name), amount.clone(), detail));
                }
            }
        }
        let before = containers(&old["spec"]).find(|(_, before)| before["name"] == container["name"]);
        if let Some((_, before)) = before {
            change(now, &before["resources"], &path, errors);
        }
    }
    let class = qos_class(&old["spec"]);
    if errors.is_empty() && qos_class(&pod["spec"]) != class {
        let detail = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid(Path::new("spec"), class, detail));
    }
}

fn change(now: &Value, before: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for part in ["limits", "requests"] {
        let names = |of: &Value| -> Vec<String> {
            of[part].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
        };
        if names(before).iter().any(|name| RESIZABLE.contains(&&**name) && now[part].get(name).is_none()) {
            let detail = format!("resource {part} cannot be removed");
            errors.push(FieldError::forbidden(path.child(part), detail));
        }
        let others = names(now).into_iter().chain(names(before));
        let mut others = others.filter(|name| !RESIZABLE.contains(&&**name));
        if others.any(|name| now[part].get(&name) != before[part].get(&name)) {
            let detail = "only cpu and memory resources are mutable";
            errors.push(FieldError::forbidden(Path::new("spec"), detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Fields and reasons of what is wrong with a resize.
    fn told(old: &Value, now: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        validate(now, old, &mut errors);
        errors.iter().map(|error| format!("{} {}", error.path, error.problem.reason())).collect()
    }

    #[test]
    fn a_pod_is_resized_in_processors_and_memory_alone() {
        let with = |resources: Value| json!({"spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}});
        let small = with(json!({"requests": {"cpu": "100m", "ephemeral-storage": "50M"}}));
        let free: &[&str] = &[];
        for (now, expected) in [
            (json!({"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "50M"}}), free),
            (json!({"requests": {"cpu": "100m", "ephemeral-storage": "60M"}}), &["spec FieldValueForbidden"]),
            (
                json!({"requests": {"cpu": "2", "ephemeral-storage": "50M"}, "limits": {"cpu": "1"}}),
                &["spec.containers[0].resources.requests FieldValueInvalid"],
            ),
        ] {
            assert_eq!(told(&small, &with(now.clone())), expected, "{now}");
        }
        let all = |cpu: &str, limit: &str| {
            with(
                json!({"requests": {"cpu": cpu, "memory": "1Gi"}, "limits": {"cpu": limit, "memory": "1Gi"}}),
            )
        };
        assert_eq!(told(&all("1", "1"), &all("2", "2")), free);
        assert_eq!(told(&all("1", "1"), &all("1", "2")), ["spec FieldValueInvalid"]);
    }
}
