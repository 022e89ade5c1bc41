//! What may change in a Pod while it runs: how much its containers ask for.

use machinery::field::{FieldError, Path};
use machinery::quantity::Quantity;
use serde_json::Value;

use super::pod::{containers, qos_class};
use super::{pod_spec, text};

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
    let class = text(old, &["status", "qosClass"]);
    if errors.is_empty() && !class.is_empty() && qos_class(&pod["spec"]) != class {
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
