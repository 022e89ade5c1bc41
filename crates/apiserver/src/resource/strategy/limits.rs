//! LimitRanges: their own defaults and rules, and what they demand of new Pods and claims.

use machinery::field::{FieldError, Path};
use machinery::object;
use machinery::quantity::Quantity;
use machinery::status::Status;
use serde_json::{Map, Value, json};

use super::pod::containers;
use super::{items_mut, text};
use crate::Result;
use crate::registry::Collection;
use crate::resource::Call;

/// A limit is a default, and a default a default request, unless others are given.
pub(super) fn default(draft: &mut Value) {
    let Some(spec) = draft.get_mut("spec") else { return };
    for item in items_mut(spec, "limits").filter(|item| item["type"] == "Container") {
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            let known = item[from].as_object().cloned().unwrap_or_default();
            for (name, amount) in known {
                if item[to].get(&name).is_none() {
                    item[to][&name] = amount;
                }
            }
        }
    }
}

fn amount(text: &Value) -> f64 {
    text.as_str().and_then(|text| Quantity::parse(text).ok()).map_or(0.0, |quantity| quantity.as_f64())
}

/// Checks that minimum, defaults and maximum are in order.
pub(super) fn validate(_: &Call, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (at, item) in object["spec"]["limits"].as_array().into_iter().flatten().enumerate() {
        let path = Path::new("spec.limits").index(at);
        shape(item, &path, &mut errors);
        for (low, high, told, words) in [
            ("min", "max", "min", ["min value", "max value"]),
            ("min", "defaultRequest", "defaultRequest", ["min value", "default request value"]),
            ("min", "default", "default", ["min value", "default value"]),
            ("defaultRequest", "max", "defaultRequest", ["default request value", "max value"]),
            ("default", "max", "default", ["default value", "max value"]),
            ("defaultRequest", "default", "defaultRequest", ["default request value", "default value"]),
        ] {
            for (name, value) in item[low].as_object().into_iter().flatten() {
                let Some(bound) = item[high].get(name) else { continue };
                let path = path.child(told).key(name);
                if amount(value) > amount(bound)
                    && !errors.iter().any(|error: &FieldError| error.path == path)
                {
                    let (own, [low_words, high_words]) = (&item[told][name], words);
                    let (value, bound) = (plain(value), plain(bound));
                    let detail = format!("{low_words} {value} is greater than {high_words} {bound}");
                    errors.push(FieldError::invalid(path, own.clone(), detail));
                }
            }
        }
    }
    errors
}

/// What a limit of its type says, and what it cannot say.
fn shape(item: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let has = |field: &str| item[field].as_object().is_some_and(|amounts| !amounts.is_empty());
    let kind = text(item, &["type"]);
    for field in ["default", "defaultRequest"].into_iter().filter(|field| kind == "Pod" && has(field)) {
        errors.push(FieldError::forbidden(path.child(field), "may not be specified when `type` is 'Pod'"));
    }
    if kind == "PersistentVolumeClaim" && item["min"]["storage"].is_null() && item["max"]["storage"].is_null()
    {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(path.child("limits"), detail));
    }
    for (name, ratio) in item["maxLimitRequestRatio"].as_object().into_iter().flatten() {
        let mut refuse = |detail: String| {
            let at = path.child("maxLimitRequestRatio").key(name);
            errors.push(FieldError::invalid(at, ratio.clone(), detail));
        };
        if amount(ratio) < 1.0 {
            refuse(format!("ratio {} is less than 1", plain(ratio)));
        }
        let (min, max) = (amount(&item["min"][name]), amount(&item["max"][name]));
        if min > 0.0 && max > 0.0 && amount(ratio) > max / min {
            refuse(format!("ratio {} is greater than max/min = {:.6}", plain(ratio), max / min));
        }
    }
}

fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// All limits of one type that hold in the request's namespace.
fn limits(call: &Call, kind: &str) -> Vec<Value> {
    let ranges = call.server.caches().of(&Collection::new("", "limitranges")).snapshot(call.namespace()).0;
    let ranges = ranges.iter().filter_map(|entry| entry.parse().ok());
    ranges
        .flat_map(|range: Value| range["spec"]["limits"].as_array().cloned().unwrap_or_default())
        .filter(|item| item["type"] == kind)
        .collect()
}

fn refuse(call: &Call, object: &Value, why: String) -> Box<Status> {
    Status::forbidden(&call.resource.gvr(), object::name(object), why).into()
}

/// Gives a new Pod's containers default requests and limits, and refuses what is out of range.
pub(super) fn admit_pod(call: &Call, pod: &mut Value) -> Result<()> {
    let of_containers = limits(call, "Container");
    for item in &of_containers {
        fill(pod, item);
    }
    for (_, container) in containers(&pod["spec"]) {
        let resources = &container["resources"];
        for item in &of_containers {
            check(item, &resources["requests"], &resources["limits"], "Container")
                .map_err(|why| refuse(call, pod, why))?;
        }
    }
    let of_pods = limits(call, "Pod");
    if !of_pods.is_empty() {
        let (requests, limits) = (sum(pod, "requests"), sum(pod, "limits"));
        for item in &of_pods {
            check(item, &requests, &limits, "Pod").map_err(|why| refuse(call, pod, why))?;
        }
    }
    Ok(())
}

/// Refuses a claim whose size is out of range.
pub(super) fn admit_claim(call: &Call, claim: &Value) -> Result<()> {
    for item in limits(call, "PersistentVolumeClaim") {
        let requests = &claim["spec"]["resources"]["requests"];
        for (bound, wrong) in [("min", -1.0), ("max", 1.0)] {
            let (Some(limit), wanted) = (item[bound].get("storage"), &requests["storage"]) else { continue };
            if (amount(wanted) - amount(limit)) * wrong > 0.0 {
                let word = if bound == "min" { "minimum" } else { "maximum" };
                let why = format!(
                    "{word} storage usage per PersistentVolumeClaim is {}, but request is {}",
                    plain(limit),
                    plain(wanted)
                );
                return Err(refuse(call, claim, why));
            }
        }
    }
    Ok(())
}

/// Sets default limits and requests, and notes it in an annotation.
fn fill(pod: &mut Value, item: &Value) {
    let mut notes = Vec::new();
    for kind in ["initContainers", "containers"] {
        for container in items_mut(&mut pod["spec"], kind) {
            let name = text(container, &["name"]).to_owned();
            let what = if kind == "containers" { "container" } else { "init container" };
            for (from, to, word) in
                [("defaultRequest", "requests", "request"), ("default", "limits", "limit")]
            {
                let mut set = Vec::new();
                for (resource, value) in item[from].as_object().into_iter().flatten() {
                    if container["resources"][to].get(resource).is_none() {
                        container["resources"][to][resource] = value.clone();
                        set.push(resource.as_str());
                    }
                }
                if !set.is_empty() {
                    set.sort_unstable();
                    notes.push(format!("{} {word} for {what} {name}", set.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        if pod["metadata"]["annotations"].is_null() {
            pod["metadata"]["annotations"] = json!({});
        }
        pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"] = note.into();
    }
}

/// Adds up what all containers request, or are limited to. A resource that one of them leaves open is left out.
fn sum(pod: &Value, part: &str) -> Value {
    let mut total: Map<String, Value> = Map::new();
    let all: Vec<&Value> =
        containers(&pod["spec"]).map(|(_, container)| &container["resources"][part]).collect();
    let names = all.iter().filter_map(|part| part.as_object()).flatten().map(|(name, _)| name);
    for name in names {
        let milli: i64 = all
            .iter()
            .filter_map(|part| part.get(name)?.as_str())
            .filter_map(|text| Quantity::parse(text).ok())
            .map(|quantity| quantity.milli())
            .sum();
        total.insert(name.clone(), Quantity::from_milli(milli).canonical().into());
    }
    Value::Object(total)
}

/// Says which limit is broken.
fn check(item: &Value, requests: &Value, limits: &Value, kind: &str) -> Result<(), String> {
    for (name, bound) in item["min"].as_object().into_iter().flatten() {
        match requests.get(name) {
            None => {
                return Err(format!(
                    "minimum {name} usage per {kind} is {}.  No request is specified",
                    plain(bound)
                ));
            }
            Some(value) if amount(value) < amount(bound) => {
                let (bound, value) = (plain(bound), plain(value));
                return Err(format!("minimum {name} usage per {kind} is {bound}, but request is {value}"));
            }
            Some(_) => {}
        }
    }
    for (name, bound) in item["max"].as_object().into_iter().flatten() {
        match limits.get(name) {
            None => {
                return Err(format!(
                    "maximum {name} usage per {kind} is {}.  No limit is specified",
                    plain(bound)
                ));
            }
            Some(value) if amount(value) > amount(bound) => {
                let (bound, value) = (plain(bound), plain(value));
                return Err(format!("maximum {name} usage per {kind} is {bound}, but limit is {value}"));
            }
            Some(_) => {}
        }
    }
    for (name, bound) in item["maxLimitRequestRatio"].as_object().into_iter().flatten() {
        let (request, limit) = (amount(&requests[name]), amount(&limits[name]));
        if request > 0.0 && limit / request > amount(bound) {
            let ratio = limit / request;
            let bound = plain(bound);
            return Err(format!(
                "{name} max limit to request ratio per {kind} is {bound}, but provided ratio is {ratio:.6}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_gives_defaults_and_bounds() {
        let item = json!({"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"},
            "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "5"}});
        let mut pod = json!({"metadata": {}, "spec": {"containers": [{"name": "c", "resources": {}}]}});
        fill(&mut pod, &item);
        let resources = pod["spec"]["containers"][0]["resources"].clone();
        assert_eq!(resources, json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}}));
        assert_eq!(check(&item, &resources["requests"], &resources["limits"], "Container"), Ok(()));
        assert!(check(&item, &json!({"cpu": "3"}), &json!({"cpu": "3"}), "Container").is_err());
        assert!(check(&item, &json!({"cpu": "10m"}), &json!({"cpu": "1"}), "Container").is_err());
    }
}
