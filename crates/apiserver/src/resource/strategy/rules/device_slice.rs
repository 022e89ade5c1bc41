//! What a driver publishes of its devices.

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::Value;

use super::super::text;
use super::devices::{amount, items, pool_name, qualified};
use super::shape::NODES;
use super::storage::driver_name;
use super::{Row, Rule, is_unset};
use Rule::{All, AtLeast, Fixed, Holds, Longest, Most, Name, Positive, Required, UniqueItems, Words};

/// Most attributes and capacities of one device.
const PROPERTIES_MAX: usize = 32;

pub(super) const SLICE: &[Row] = &[
    Row("spec.driver", &[Required(""), Name(driver_name), Fixed]),
    Row("spec.pool.name", &[Required(""), Name(pool_name), Fixed]),
    Row("spec.pool.resourceSliceCount", &[Positive]),
    Row("spec.pool.generation", &[AtLeast(0)]),
    Row("spec.nodeName?", &[Name(names::dns_subdomain), Fixed]),
    Row("spec.nodeSelector?", &[NODES, Holds(one_term)]),
    Row("spec", &[Holds(where_devices_are)]),
    Row("spec.devices", &[Most(128), UniqueItems("name")]),
    Row("spec.devices[]", &[All(DEVICE)]),
    Row("spec.sharedCounters", &[Most(8), UniqueItems("name")]),
    Row("spec.sharedCounters[].name", &[Required(""), Name(names::dns_label)]),
    Row("spec.sharedCounters[].counters", &[Required(""), Holds(counters)]),
];

const DEVICE: &[Row] = &[
    Row("name", &[Name(names::dns_label)]),
    Row("", &[Holds(few_properties)]),
    Row("attributes", &[Holds(property_names)]),
    Row("attributes{}", &[Holds(one_value)]),
    Row("attributes{}.string?", &[Longest(64)]),
    Row("attributes{}.version?", &[Name(version), Longest(64)]),
    Row("capacity", &[Holds(property_names)]),
    Row("", &[Holds(shares)]),
    Row("taints", &[Most(16)]),
    Row("taints[].key", &[Name(names::label_key)]),
    Row("taints[].value?", &[Name(names::label_value)]),
    Row("taints[].effect", &[Required(""), Words(&["NoExecute", "NoSchedule", "None"])]),
    Row("consumesCounters", &[Most(2), UniqueItems("counterSet")]),
    Row("consumesCounters[].counterSet", &[Required(""), Name(names::dns_label)]),
    Row("consumesCounters[].counters", &[Required(""), Holds(counters)]),
    Row("nodeName?", &[Name(names::dns_subdomain)]),
    Row("nodeSelector?", &[NODES]),
    Row("bindingConditions", &[Most(4), UniqueItems("")]),
    Row("bindingConditions[]", &[Name(names::label_key)]),
    Row("bindingFailureConditions", &[Most(4), UniqueItems("")]),
    Row("bindingFailureConditions[]", &[Name(names::label_key)]),
];

/// A single term can be joined with that of another slice.
fn one_term(nodes: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let terms = &nodes["nodeSelectorTerms"];
    if terms.as_array().map_or(0, Vec::len) != 1 {
        let detail = "must have exactly one node selector term";
        errors.push(FieldError::invalid(path.child("nodeSelectorTerms"), terms.clone(), detail));
    }
}

/// Devices are on a node, on some, on all, or each says so itself.
fn where_devices_are(spec: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    const WAYS: [&str; 4] = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];
    let mut given = Vec::new();
    for name in WAYS.into_iter().filter(|name| !spec[*name].is_null()) {
        let detail = match &spec[name] {
            Value::Bool(false) => "must be either unset or set to true",
            Value::String(text) if text.is_empty() => "must be either unset or set to a non-empty string",
            _ => {
                given.push(format!("`{name}`"));
                continue;
            }
        };
        errors.push(FieldError::invalid(path.child(name), spec[name].clone(), detail));
    }
    let detail =
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    if given.is_empty() {
        errors.push(FieldError::required(path.clone(), detail));
    } else if given.len() > 1 {
        let detail = format!("{detail}, but multiple fields are set");
        errors.push(FieldError::invalid(path.clone(), format!("{{{}}}", given.join(", ")), detail));
    }
    if !spec["sharedCounters"].is_null() && !spec["devices"].is_null() {
        errors.push(FieldError::invalid(
            path.clone(),
            "",
            "only one of `sharedCounters` or `devices` is allowed",
        ));
    }
    let each = spec["perDeviceNodeSelection"] == true;
    for (at, device) in items(&spec["devices"]) {
        let path = path.child("devices").index(at);
        let given = WAYS[..3].iter().filter(|name| !is_unset(&device[**name])).count();
        let detail = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
                      `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
        match (each, given) {
            (true, 0) => errors.push(FieldError::required(path, detail)),
            (true, 1) | (false, 0) => {}
            (true, _) => errors.push(FieldError::invalid(path, Value::Null, detail)),
            (false, _) => {
                let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` \
                              is set to true in the ResourceSlice spec";
                errors.push(FieldError::invalid(path, Value::Null, detail));
            }
        }
    }
}

fn few_properties(device: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let count = |name: &str| device[name].as_object().map_or(0, serde_json::Map::len);
    let found = count("attributes") + count("capacity");
    if found > PROPERTIES_MAX {
        let detail =
            format!("the total number of attributes and capacities must not exceed {PROPERTIES_MAX}");
        errors.push(FieldError::invalid(path.clone(), found, detail));
    }
}

fn property_names(properties: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    for (name, _) in properties.as_object().into_iter().flatten() {
        qualified(name, path, errors);
    }
}

fn one_value(attribute: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let given = attribute.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()).count();
    if given != 1 {
        errors.push(FieldError::invalid(
            path.clone(),
            attribute.clone(),
            "exactly one value must be specified",
        ));
    }
}

/// A version as semver.org describes it.
fn version(text: &str) -> Vec<String> {
    let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (core, early) = rest.split_once('-').map_or((rest, None), |(core, early)| (core, Some(early)));
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let number = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    let good = core.split('.').count() == 3
        && core.split('.').all(number)
        && early
            .is_none_or(|early| early.split('.').all(|part| word(part) && (!digits(part) || number(part))))
        && build.is_none_or(|build| build.split('.').all(word));
    if good { Vec::new() } else { vec!["must be a string compatible with semver.org spec 2.0.0".to_owned()] }
}

/// How much of a capacity may be asked for is said of devices that several may have at once.
fn shares(device: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let shared = device["allowMultipleAllocations"] == true;
    for (name, capacity) in device["capacity"].as_object().into_iter().flatten() {
        let (policy, path) =
            (&capacity["requestPolicy"], path.child("capacity").key(name).child("requestPolicy"));
        if policy.is_null() {
            continue;
        }
        let values = policy["validValues"].as_array().map_or(&[][..], Vec::as_slice);
        let range = !policy["validRange"].is_null();
        if !shared {
            errors.push(FieldError::forbidden(path, "allowMultipleAllocations must be true"));
        } else if !values.is_empty() && range {
            let detail = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";
            errors.push(FieldError::forbidden(path, detail));
        } else if policy["default"].is_null() && (range || !values.is_empty()) {
            let list = if range { "validRange" } else { "validValues" };
            errors.push(FieldError::required(
                path.child("default"),
                format!("required when {list} is defined"),
            ));
        } else if !values.is_empty() {
            options(values, policy, capacity, &path.child("validValues"), errors);
        } else if range {
            bounds(policy, capacity, &path.child("validRange"), errors);
        }
    }
}

/// Amounts to choose from: in order, no more than there is, the default among them.
fn options(values: &[Value], policy: &Value, capacity: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let whole = amount(&capacity["value"]);
    for (at, value) in values.iter().enumerate() {
        let path = path.index(at);
        if at > 0 && amount(&values[at - 1]) > amount(value) {
            errors.push(FieldError::invalid(
                path.clone(),
                value.clone(),
                "values must be sorted in ascending order",
            ));
        }
        if amount(value) > whole {
            let detail = format!("option is larger than capacity value: {}", text(capacity, &["value"]));
            errors.push(FieldError::invalid(path, value.clone(), detail));
        }
    }
    if !values.iter().any(|value| amount(value) == amount(&policy["default"])) {
        let detail = "default value is not valid according to the requestPolicy";
        errors.push(FieldError::invalid(path.clone(), policy["default"].clone(), detail));
    }
}

/// Amounts between two bounds, the default among them.
fn bounds(policy: &Value, capacity: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let range = &policy["validRange"];
    let Some(least) = amount(&range["min"]) else {
        errors.push(FieldError::required(path.child("min"), "required when validRange is defined"));
        return;
    };
    let (whole, most, default) =
        (amount(&capacity["value"]), amount(&range["max"]), amount(&policy["default"]));
    let least = Some(least);
    for (wrong, field, shown, detail) in [
        (least > whole, "min", &range["min"], "min is larger than the capacity's value"),
        (default < least, "default", &policy["default"], "default is less than min"),
        (most.is_some() && least > most, "max", &range["min"], "min is larger than max"),
        (most.is_some() && most > whole, "max", &range["max"], "max is larger than the capacity's value"),
        (most.is_some() && default > most, "default", &policy["default"], "default is more than max"),
    ] {
        if wrong {
            errors.push(FieldError::invalid(path.child(field), shown.clone(), detail));
        }
    }
}

/// Counters have names.
fn counters(counters: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    for (name, _) in counters.as_object().into_iter().flatten() {
        let wrong = names::dns_label(name).into_iter();
        errors.extend(wrong.map(|wrong| FieldError::invalid(path.clone(), name.as_str(), wrong)));
    }
}
