//! FlowSchemas and PriorityLevelConfigurations.

use machinery::field::{FieldError, Path};
use machinery::{names, object};
use serde_json::Value;

use super::{BASE, Strategy, set_default, text};
use crate::flow;
use crate::resource::Call;

pub(super) const SCHEMA: Strategy = Strategy { default: default_schema, validate: validate_schema, ..BASE };
pub(super) const LEVEL: Strategy = Strategy { default: default_level, validate: validate_level, ..BASE };

const PRECEDENCE_MAX: i64 = 10_000;
const QUEUES_MAX: i64 = 10_000_000;
/// Bits of the hash that tells flows apart, as far as they are used to deal queues.
const HASH_BITS: f64 = 60.0;
const VERBS: [&str; 9] =
    ["get", "list", "create", "update", "delete", "deletecollection", "patch", "watch", "proxy"];

/// Subjects: kind, and the field that says whom.
const SUBJECTS: [(&str, &str); 3] =
    [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];

fn items<'a>(object: &'a Value, name: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    object[name].as_array().into_iter().flatten().enumerate()
}

fn is_empty(object: &Value, name: &str) -> bool {
    object[name].as_array().is_none_or(Vec::is_empty)
}

/// Sets a number that is missing or nought.
fn default_number(object: &mut Value, name: &str, number: i64) {
    if object.is_object() && object[name].as_i64().unwrap_or_default() == 0 {
        object[name] = number.into();
    }
}

fn default_schema(draft: &mut Value) {
    if let Some(spec) = draft.get_mut("spec") {
        default_number(spec, "matchingPrecedence", 1000);
    }
}

fn default_level(draft: &mut Value) {
    let Some(spec) = draft.get_mut("spec") else { return };
    if let Some(exempt) = spec.get_mut("exempt") {
        set_default(exempt, "nominalConcurrencyShares", 0);
        set_default(exempt, "lendablePercent", 0);
    }
    if let Some(limited) = spec.get_mut("limited") {
        set_default(limited, "nominalConcurrencyShares", 30);
        set_default(limited, "lendablePercent", 0);
        if let Some(queuing) = limited.pointer_mut("/limitResponse/queuing") {
            default_number(queuing, "handSize", 8);
            default_number(queuing, "queues", 64);
            default_number(queuing, "queueLengthLimit", 50);
        }
    }
}

fn validate_schema(_: &Call, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let (mut errors, path, spec, name) =
        (Vec::new(), Path::new("spec"), &object["spec"], object::name(object));
    let precedence = spec["matchingPrecedence"].as_i64().unwrap_or_default();
    let mut wrong = |detail: String| {
        errors.push(FieldError::invalid(path.child("matchingPrecedence"), precedence, detail));
    };
    if precedence <= 0 {
        wrong("must be a positive value".to_owned());
    }
    if precedence > PRECEDENCE_MAX {
        wrong(format!("must not be greater than {PRECEDENCE_MAX}"));
    }
    if precedence == 1 && name != "exempt" {
        wrong("only the schema named 'exempt' may have matchingPrecedence 1".to_owned());
    }
    if let Some(method) = spec.get("distinguisherMethod").filter(|method| method.is_object()) {
        let methods = ["ByNamespace", "ByUser"];
        if !methods.contains(&text(method, &["type"])) {
            let path = path.child("distinguisherMethod").child("type");
            errors.push(FieldError::not_supported(path, method.clone(), methods));
        }
    }
    let level = text(spec, &["priorityLevelConfiguration", "name"]);
    let at = path.child("priorityLevelConfiguration").child("name");
    if level.is_empty() {
        errors.push(FieldError::required(at, "must reference a priority level"));
    } else {
        let wrong = names::dns_subdomain(level);
        errors.extend(wrong.into_iter().map(|detail| FieldError::invalid(at.clone(), level, detail)));
    }
    for (at, rules) in items(spec, "rules") {
        validate_rules(rules, &path.child("rules").index(at), &mut errors);
    }
    fixed(flow::SCHEMAS, object, &mut errors);
    errors
}

fn validate_rules(rules: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if is_empty(rules, "subjects") {
        errors.push(FieldError::required(path.child("subjects"), "subjects must contain at least one value"));
    }
    for (at, subject) in items(rules, "subjects") {
        validate_subject(subject, &path.child("subjects").index(at), errors);
    }
    if is_empty(rules, "resourceRules") && is_empty(rules, "nonResourceRules") {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path.clone(), detail));
    }
    for (at, rule) in items(rules, "resourceRules") {
        let path = path.child("resourceRules").index(at);
        verbs(rule, &path, errors);
        let groups = "resource rules must supply at least one api group";
        list(rule, "apiGroups", &path, (groups, "api groups"), errors);
        let resources = "resource rules must supply at least one resource";
        list(rule, "resources", &path, (resources, "resources"), errors);
        if is_empty(rule, "namespaces") {
            if rule["clusterScope"] != true {
                let detail = "resource rules that are not cluster scoped must supply at least one namespace";
                errors.push(FieldError::required(path.child("namespaces"), detail));
            }
        } else if list(rule, "namespaces", &path, ("", "namespaces"), errors) {
            for (at, namespace) in items(rule, "namespaces") {
                let namespace = namespace.as_str().unwrap_or_default();
                for wrong in names::dns_label(namespace) {
                    let detail = format!("each member of this list must be '*' or a DNS-1123 label; {wrong}");
                    errors.push(FieldError::invalid(path.child("namespaces").index(at), namespace, detail));
                }
            }
        }
    }
    for (at, rule) in items(rules, "nonResourceRules") {
        let path = path.child("nonResourceRules").index(at);
        verbs(rule, &path, errors);
        let urls = "nonResourceURLs must contain at least one value";
        if list(rule, "nonResourceURLs", &path, (urls, "non-resource URLs"), errors) {
            for (at, url) in items(rule, "nonResourceURLs") {
                validate_url(
                    url.as_str().unwrap_or_default(),
                    path.child("nonResourceURLs").index(at),
                    errors,
                );
            }
        }
    }
}

/// Says what is wrong with a list in which `*` stands alone; returns whether it is one of other things. `words` are what to
/// say when it is empty, and what its items are.
fn list(rule: &Value, name: &str, path: &Path, words: (&str, &str), errors: &mut Vec<FieldError>) -> bool {
    let has_all = items(rule, name).any(|(_, item)| item == "*");
    let path = path.child(name);
    if is_empty(rule, name) {
        errors.push(FieldError::required(path, words.0));
    } else if has_all && items(rule, name).count() > 1 {
        let detail = format!("if '*' is present, must not specify other {}", words.1);
        errors.push(FieldError::invalid(path, rule[name].clone(), detail));
    } else {
        return !has_all;
    }
    false
}

fn verbs(rule: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let words = ("verbs must contain at least one value", "verbs");
    let known = |item: &Value| item.as_str().is_some_and(|verb| VERBS.contains(&verb));
    if list(rule, "verbs", path, words, errors) && !items(rule, "verbs").all(|(_, item)| known(item)) {
        errors.push(FieldError::not_supported(path.child("verbs"), rule["verbs"].clone(), VERBS));
    }
}

fn validate_url(url: &str, path: Path, errors: &mut Vec<FieldError>) {
    let detail = if url.is_empty() {
        "must not be empty"
    } else if url == "/" {
        return;
    } else if !url.starts_with('/') {
        "must start with slash"
    } else if url.contains(' ') {
        "must not contain white-space"
    } else if url.contains("//") {
        "must not contain double slash"
    } else if url.strip_suffix("/*").unwrap_or(url).contains('*') {
        "wildcard can only do suffix matching"
    } else {
        return;
    };
    errors.push(FieldError::invalid(path, url, detail));
}

fn validate_subject(subject: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(subject, &["kind"]);
    if !SUBJECTS.iter().any(|(known, _)| *known == kind) {
        let kinds = SUBJECTS.map(|(known, _)| known);
        errors.push(FieldError::not_supported(path.child("kind"), kind, kinds));
        return;
    }
    for (of, field) in SUBJECTS {
        let (whom, path) = (&subject[field], path.child(field));
        match (of == kind, whom.is_object()) {
            (true, true) => validate_whom(of, whom, &path, errors),
            (true, false) => {
                let detail = format!("{field} is required when subject kind is '{of}'");
                errors.push(FieldError::required(path, detail));
            }
            (false, true) => {
                let detail = format!("{field} is forbidden when subject kind is not '{of}'");
                errors.push(FieldError::forbidden(path, detail));
            }
            (false, false) => {}
        }
    }
}

fn validate_whom(kind: &str, whom: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let name = text(whom, &["name"]);
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name"), ""));
    }
    if kind != "ServiceAccount" {
        return;
    }
    let mut check = |field: &str, value: &str, wrong: Vec<String>| {
        errors.extend(wrong.into_iter().map(|detail| FieldError::invalid(path.child(field), value, detail)));
    };
    if !name.is_empty() && name != "*" {
        check("name", name, names::dns_subdomain(name));
    }
    let namespace = text(whom, &["namespace"]);
    if namespace.is_empty() {
        let detail = "must specify namespace for service account";
        errors.push(FieldError::required(path.child("namespace"), detail));
    } else {
        check("namespace", namespace, names::dns_label(namespace));
    }
}

fn validate_level(_: &Call, object: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let (mut errors, path, spec) = (Vec::new(), Path::new("spec"), &object["spec"]);
    let (kind, is_exempt) = (text(spec, &["type"]), object::name(object) == "exempt");
    if is_exempt != (kind == "Exempt") {
        let detail = "must be 'Exempt' if and only if `name` is 'exempt'";
        errors.push(FieldError::invalid(path.child("type"), kind, detail));
    }
    let (limited, exempt) = (&spec["limited"], &spec["exempt"]);
    match kind {
        "Exempt" => {
            if limited.is_object() {
                let detail = "must be nil if the type is not Limited";
                errors.push(FieldError::forbidden(path.child("limited"), detail));
            }
            validate_shares(exempt, &path.child("exempt"), &mut errors);
        }
        "Limited" => {
            if exempt.is_object() {
                errors
                    .push(FieldError::forbidden(path.child("exempt"), "must be nil if the type is Limited"));
            }
            if limited.is_object() {
                validate_limited(limited, &path.child("limited"), &mut errors);
            } else {
                let detail = "must not be empty when type is Limited";
                errors.push(FieldError::required(path.child("limited"), detail));
            }
        }
        _ => errors.push(FieldError::not_supported(path.child("type"), kind, ["Exempt", "Limited"])),
    }
    fixed(flow::LEVELS, object, &mut errors);
    errors
}

fn validate_shares(limits: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut check = |name: &str, good: fn(i64) -> bool, detail: &str| {
        if let Some(value) = limits[name].as_i64().filter(|value| !good(*value)) {
            errors.push(FieldError::invalid(path.child(name), value, detail));
        }
    };
    check("nominalConcurrencyShares", |shares| shares >= 0, "must be a non-negative integer");
    let percent = |value| (0..=100).contains(&value);
    check("lendablePercent", percent, "must be between 0 and 100, inclusive");
    let detail = "if specified, must be a non-negative integer";
    check("borrowingLimitPercent", |percent| percent >= 0, detail);
}

fn validate_limited(limited: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    validate_shares(limited, path, errors);
    let (response, path) = (&limited["limitResponse"], path.child("limitResponse"));
    let (kind, queuing, at) = (text(response, &["type"]), &response["queuing"], path.child("queuing"));
    match kind {
        "Reject" if queuing.is_object() => {
            let detail = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(FieldError::forbidden(at, detail));
        }
        "Reject" => {}
        "Queue" if queuing.is_object() => validate_queuing(queuing, &at, errors),
        "Queue" => {
            let detail = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(FieldError::required(at, detail));
        }
        _ => errors.push(FieldError::not_supported(path.child("type"), kind, ["Queue", "Reject"])),
    }
}

fn validate_queuing(queuing: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let number = |name: &str| queuing[name].as_i64().unwrap_or_default();
    let mut wrong = |name: &str, detail: String| {
        errors.push(FieldError::invalid(path.child(name), number(name), detail));
    };
    let (queues, hand) = (number("queues"), number("handSize"));
    if number("queueLengthLimit") <= 0 {
        wrong("queueLengthLimit", "must be positive".to_owned());
    }
    if queues <= 0 {
        wrong("queues", "must be positive".to_owned());
    } else if queues > QUEUES_MAX {
        wrong("queues", format!("must not be greater than {QUEUES_MAX}"));
    }
    let bits = ((queues.max(1) as f64).log2() * hand as f64).ceil();
    if hand <= 0 {
        wrong("handSize", "must be positive".to_owned());
    } else if hand > queues {
        wrong("handSize", format!("should not be greater than queues ({queues})"));
    } else if bits > HASH_BITS {
        wrong(
            "handSize",
            format!(
                "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
            ),
        );
    }
}

/// Refuses what differs from an object that every server has as it is.
fn fixed(plural: &str, object: &Value, errors: &mut Vec<FieldError>) {
    let (name, spec) = (object::name(object), &object["spec"]);
    let Some(mut wanted) = flow::fixed_spec(plural, name) else { return };
    let mut except = "";
    if let Some(own) = wanted.get_mut("exempt") {
        *own = spec["exempt"].clone();
        except = " except the 'spec.exempt' field";
    }
    if *spec != wanted {
        let detail = format!("spec of '{name}'{except} must equal the fixed value");
        errors.push(FieldError::invalid(Path::new("spec"), spec.clone(), detail));
    }
}
