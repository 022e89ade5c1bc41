//! Devices that Pods claim: what the group `resource.k8s.io` serves.

use machinery::cel::{Program, Scope, Type};
use machinery::field::{FieldError, Path};
use machinery::names;
use machinery::quantity::Quantity;
use serde_json::Value;

use super::super::text;
use super::device_slice::SLICE;
use super::shape::{LABELS, NODES};
use super::storage::driver_name;
use super::{Row, Rule, is_empty};
use Rule::{All, Fixed, Holds, Longest, Most, Name, Required, UniqueItems, Words};

/// Most bytes of an expression, and of parameters that are for a driver only.
const TEXT_MAX: usize = 10 << 10;
/// Most bytes of a device's name for something, without its domain.
const IDENTIFIER_MAX: usize = 32;

pub(super) fn rows(plural: &str) -> &'static [Row] {
    match plural {
        "resourceclaims" => CLAIM,
        "resourceclaimtemplates" => TEMPLATE,
        "deviceclasses" => CLASS,
        "resourceslices" => SLICE,
        _ => &[],
    }
}

const CLAIM: &[Row] = &[Row("spec", &[Fixed]), Row("spec.devices", &[All(DEVICES)])];

const TEMPLATE: &[Row] = &[
    Row("spec", &[Fixed]),
    Row("spec.metadata.labels", &[LABELS]),
    Row("spec.spec.devices", &[All(DEVICES)]),
];

/// What is claimed.
const DEVICES: &[Row] = &[
    Row("requests", &[Most(32), UniqueItems("name")]),
    Row("requests[].name", &[Name(names::dns_label)]),
    Row("requests[]", &[Holds(one_way)]),
    Row("requests[].exactly?", &[All(REQUEST)]),
    Row("requests[].firstAvailable", &[Most(8), UniqueItems("name")]),
    Row("requests[].firstAvailable[].name", &[Name(names::dns_label)]),
    Row("requests[].firstAvailable[]", &[All(REQUEST)]),
    Row("constraints", &[Most(32)]),
    Row("constraints[].requests", &[Most(32), UniqueItems("")]),
    Row("constraints[]", &[Holds(constraint)]),
    Row("config", &[Most(32)]),
    Row("config[].requests", &[Most(32), UniqueItems("")]),
    Row("config[]", &[All(CONFIGURATION)]),
    Row("", &[Holds(references)]),
];

const REQUEST: &[Row] = &[
    Row("deviceClassName", &[Required(""), Name(names::dns_subdomain)]),
    Row("selectors", &[Most(32)]),
    Row("selectors[]", &[Holds(selector)]),
    Row("allocationMode", &[Words(&["All", "ExactCount"])]),
    Row("", &[Holds(count)]),
    Row("tolerations", &[Most(16)]),
    Row("tolerations[]", &[All(TOLERATION)]),
];

const TOLERATION: &[Row] = &[
    Row("key?", &[Name(names::label_key)]),
    Row("operator", &[Required(""), Words(&["Equal", "Exists"])]),
    Row("effect?", &[Words(&["NoExecute", "NoSchedule", "None"])]),
    Row("value?", &[Name(names::label_value)]),
    Row(
        "",
        &[Holds(|toleration, _, path, errors| {
            if toleration["operator"] == "Exists" && !is_empty(&toleration["value"]) {
                let detail = "must be empty for operator `Exists`";
                errors.push(FieldError::invalid(path.child("value"), toleration["value"].clone(), detail));
            }
        })],
    ),
];

/// What is told to a driver.
pub(super) const CONFIGURATION: &[Row] = &[
    Row(
        "opaque",
        &[Holds(|opaque, _, path, errors| {
            if opaque.is_null() {
                errors.push(FieldError::required(path.clone(), ""));
            }
        })],
    ),
    Row("opaque?.driver", &[Required(""), Name(driver_name)]),
    Row("opaque?.parameters", &[Holds(parameters)]),
];

const CLASS: &[Row] = &[
    Row("spec.selectors", &[Most(32)]),
    Row("spec.selectors[]", &[Holds(selector)]),
    Row("spec.config", &[Most(32)]),
    Row("spec.config[]", &[All(CONFIGURATION)]),
    Row("spec.extendedResourceName?", &[Name(extended_resource)]),
];

/// What the status subresource may say of a claim.
pub(super) const CLAIM_STATUS: &[Row] = &[
    Row("status.reservedFor", &[Most(256), UniqueItems("uid")]),
    Row("status.reservedFor[].resource", &[Required("")]),
    Row("status.reservedFor[].name", &[Required("")]),
    Row("status.reservedFor[].uid", &[Required("")]),
    Row("status", &[Holds(reserved)]),
    Row("status.allocation", &[Holds(allocated_once)]),
    Row("status.allocation?.devices.results", &[Most(32)]),
    Row("status.allocation?.devices.results[].driver", &[Required(""), Name(driver_name)]),
    Row("status.allocation?.devices.results[].pool", &[Required(""), Name(pool_name)]),
    Row("status.allocation?.devices.results[].device", &[Name(names::dns_label)]),
    Row("status.allocation?.devices.config", &[Most(64)]),
    Row("status.allocation?.devices.config[].source", &[Required(""), Words(&["FromClaim", "FromClass"])]),
    Row("status.allocation?.devices.config[]", &[All(CONFIGURATION)]),
    Row("status.allocation?.nodeSelector?", &[NODES]),
    Row("status.devices[].driver", &[Required(""), Name(driver_name)]),
    Row("status.devices[].pool", &[Required(""), Name(pool_name)]),
    Row("status.devices[].device", &[Name(names::dns_label)]),
    Row("status.devices[].conditions", &[Most(8)]),
    Row("status.devices[].networkData?.interfaceName?", &[Longest(256)]),
    Row("status.devices[].networkData?.hardwareAddress?", &[Longest(128)]),
    Row("status.devices[].networkData?.ips", &[Most(16), UniqueItems("")]),
    Row("", &[Holds(of_the_claim)]),
];

/// A request is for devices of one sort, or for the first sort of several that is there.
fn one_way(request: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let detail = "exactly one of `exactly` or `firstAvailable` is required";
    match (request["exactly"].is_null(), is_empty(&request["firstAvailable"])) {
        (true, true) => errors.push(FieldError::required(path.clone(), detail)),
        (false, false) => {
            let detail = format!("{detail}, but multiple fields are set");
            errors.push(FieldError::invalid(path.clone(), Value::Null, detail));
        }
        _ => {}
    }
}

fn count(request: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let count = request["count"].as_i64().unwrap_or_default();
    let detail = match text(request, &["allocationMode"]) {
        "All" if count != 0 => "must not be specified when allocationMode is 'All'",
        "ExactCount" if count <= 0 => "must be greater than zero",
        _ => return,
    };
    errors.push(FieldError::invalid(path.child("count"), count, detail));
}

/// A constraint is about an attribute, which all devices share or no two of them.
fn constraint(constraint: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let given = ["matchAttribute", "distinctAttribute"].into_iter().find(|name| !constraint[*name].is_null());
    let Some(name) = given else {
        errors.push(FieldError::required(path.child("matchAttribute"), ""));
        return;
    };
    let (path, attribute) = (path.child(name), text(constraint, &[name]));
    qualified(attribute, &path, errors);
    if !attribute.contains('/') {
        let detail = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(FieldError::invalid(path, attribute, detail));
    }
}

/// Constraints and configuration name requests of the same claim.
fn references(devices: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let known = request_names(devices);
    for list in ["constraints", "config"] {
        for (at, item) in items(&devices[list]) {
            let path = path.child(list).index(at).child("requests");
            for (at, name) in items(&item["requests"]) {
                reference(name.as_str().unwrap_or_default(), &known, &path.index(at), errors);
            }
        }
    }
}

/// The names by which a claim's requests can be called: their own, and those of the choices in them.
fn request_names(devices: &Value) -> Vec<String> {
    let mut known = Vec::new();
    for (_, request) in items(&devices["requests"]) {
        let name = text(request, &["name"]);
        known.push(name.to_owned());
        let choices = items(&request["firstAvailable"]);
        known.extend(choices.map(|(_, choice)| format!("{name}/{}", text(choice, &["name"]))));
    }
    known
}

fn reference(name: &str, known: &[String], path: &Path, errors: &mut Vec<FieldError>) {
    let parts: Vec<&str> = name.split('/').collect();
    if parts.len() <= 2 {
        let wrong =
            parts.into_iter().flat_map(|part| names::dns_label(part).into_iter().map(move |why| (part, why)));
        errors.extend(wrong.map(|(part, wrong)| FieldError::invalid(path.clone(), part, wrong)));
    }
    if !known.iter().any(|known| known == name) {
        let detail = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
        errors.push(FieldError::invalid(path.clone(), name, detail));
    }
}

/// A selector is an expression about a device.
fn selector(selector: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let path = path.child("cel");
    if selector["cel"].is_null() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let (path, source) = (path.child("expression"), text(selector, &["cel", "expression"]));
    if source.len() > TEXT_MAX {
        errors.push(FieldError::too_long(path, TEXT_MAX));
        return;
    }
    let wrong = match Program::compile(source, &device_scope()) {
        Err(error) => format!("compilation failed: {error}"),
        Ok(program) if !matches!(program.output(), Type::Dyn | Type::Plain("bool")) => {
            "must evaluate to bool".to_owned()
        }
        Ok(_) => return,
    };
    errors.push(FieldError::invalid(path, source, wrong));
}

/// What expressions see of a device: attributes and capacities by the domain of their names.
fn device_scope() -> Scope {
    let by_domain = || Type::Map(Box::new(Type::Map(Box::new(Type::Dyn))));
    let device = Type::members([
        ("driver", Type::STRING),
        ("attributes", by_domain()),
        ("capacity", by_domain()),
        ("allowMultipleAllocations", Type::BOOL),
    ]);
    Scope::new().with("device", device)
}

/// Parameters are an object that only the driver reads.
fn parameters(parameters: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if parameters.is_null() {
        errors.push(FieldError::required(path.clone(), ""));
    } else if parameters.to_string().len() > TEXT_MAX {
        errors.push(FieldError::too_long(path.clone(), TEXT_MAX));
    } else if !parameters.is_object() {
        let detail = "must be a valid JSON object";
        errors.push(FieldError::invalid(path.clone(), "<value omitted>", detail));
    }
}

/// Only what is allocated can be reserved, and nothing more of what is on its way out.
fn reserved(status: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if !is_empty(&status["reservedFor"]) && status["allocation"].is_null() {
        let detail = "may not be specified when `allocated` is not set";
        errors.push(FieldError::forbidden(path.child("reservedFor"), detail));
    }
}

fn allocated_once(allocation: &Value, old: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if old.is_some_and(|old| !old.is_null() && !allocation.is_null() && old != allocation) {
        errors.push(FieldError::invalid(path.clone(), allocation.clone(), "field is immutable"));
    }
}

/// A status tells of what the claim asks for, and of devices that it got.
fn of_the_claim(claim: &Value, _: Option<&Value>, _: &Path, errors: &mut Vec<FieldError>) {
    let known = request_names(&claim["spec"]["devices"]);
    let allocated = &claim["status"]["allocation"]["devices"];
    let path = Path::new("status.allocation.devices");
    for (at, result) in items(&allocated["results"]) {
        let path = path.child("results").index(at).child("request");
        reference(text(result, &["request"]), &known, &path, errors);
    }
    for (at, config) in items(&allocated["config"]) {
        let path = path.child("config").index(at).child("requests");
        for (at, name) in items(&config["requests"]) {
            reference(name.as_str().unwrap_or_default(), &known, &path.index(at), errors);
        }
    }
    let identity =
        |device: &Value| ["driver", "pool", "device", "shareID"].map(|name| text(device, &[name]).to_owned());
    let mut seen = Vec::new();
    for (at, device) in items(&claim["status"]["devices"]) {
        let (path, own) = (Path::new("status.devices").index(at), identity(device));
        let shown = own[..3].join("/");
        if !items(&allocated["results"]).any(|(_, result)| identity(result) == own) {
            let detail = "must be an allocated device in the claim";
            errors.push(FieldError::invalid(path.clone(), shown.as_str(), detail));
        }
        if seen.contains(&own) {
            errors.push(FieldError::duplicate(path, shown));
        }
        seen.push(own);
    }
}

/// The items of a list with their places.
pub(super) fn items(list: &Value) -> impl Iterator<Item = (usize, &Value)> {
    list.as_array().into_iter().flatten().enumerate()
}

/// A pool's name: domains, one below the other.
pub(super) fn pool_name(name: &str) -> Vec<String> {
    if name.len() > names::SUBDOMAIN_MAX {
        return vec![format!("must be no more than {} bytes", names::SUBDOMAIN_MAX)];
    }
    name.split('/').flat_map(names::dns_subdomain).collect()
}

/// Tells what is wrong with the name of an attribute or a capacity: an identifier, maybe after a domain and a slash.
pub(super) fn qualified(name: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let (domain, own) = name.split_once('/').map_or((None, name), |(domain, own)| (Some(domain), own));
    let mut say = |shown: &str, wrong: &str| errors.push(FieldError::invalid(path.clone(), shown, wrong));
    match domain {
        Some("") => say("", "the domain must not be empty"),
        Some(domain) => driver_name(domain).iter().for_each(|wrong| say(domain, wrong)),
        None => {}
    }
    if own.contains('/') {
        say(name, "must not contain more than one slash");
        return;
    }
    let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    if own.is_empty() && domain.is_some() {
        say("", "the name must not be empty");
    } else if !own.bytes().all(|b| letter(b) || b.is_ascii_digit()) || !own.bytes().next().is_some_and(letter)
    {
        say(
            own,
            "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
        );
    }
    if own.len() > IDENTIFIER_MAX {
        errors.push(FieldError::too_long(path.clone(), IDENTIFIER_MAX));
    }
}

/// A resource that is somebody's own, not Kubernetes'.
fn extended_resource(name: &str) -> Vec<String> {
    let own =
        name.split_once('/').is_some_and(|(domain, _)| !format!("{domain}.").ends_with("kubernetes.io."));
    let wrong = names::qualified_name(name);
    if own && !name.starts_with("requests.") && wrong.is_empty() {
        return wrong;
    }
    vec!["must be a valid extended resource name".to_owned()]
}

/// Compares amounts; what is none is left to the schema.
pub(super) fn amount(value: &Value) -> Option<Quantity> {
    Quantity::parse(value.as_str()?).ok()
}
