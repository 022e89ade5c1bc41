//! Pod specs, in Pods and in templates.

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::Value;

use super::super::text;
use super::shape::{
    self, LABELS, PORT, PORT_OR_NAME, PROTOCOLS, SELECTOR, inner_path, inner_step, port_name,
};
use super::volume::{FIELD_REFERENCE, VOLUME};
use super::{Row, Rule, is_empty};
use Rule::{All, Amount, AtLeast, Between, Holds, Name, Positive, Required, Unique, UniqueItems, Words};

/// The table of a Pod spec.
pub(in super::super) const SPEC: &[Row] = &[
    Row("hostname?", &[Name(names::dns_label)]),
    Row("subdomain?", &[Name(names::dns_label)]),
    Row("nodeName?", &[Name(names::dns_subdomain)]),
    Row("serviceAccountName?", &[Name(names::dns_subdomain)]),
    Row("priorityClassName?", &[Name(names::dns_subdomain)]),
    Row("runtimeClassName?", &[Name(names::dns_subdomain)]),
    Row("nodeSelector?", &[LABELS]),
    Row("terminationGracePeriodSeconds?", &[AtLeast(0)]),
    Row("activeDeadlineSeconds?", &[Between(1, i32::MAX as i64)]),
    Row("hostAliases[].ip", &[Name(shape::address)]),
    Row("hostAliases[].hostnames[]", &[Name(names::dns_subdomain)]),
    Row("dnsConfig?.nameservers[]", &[Name(shape::address)]),
    Row("dnsConfig?.options[].name", &[Required("must not be empty")]),
    Row("securityContext?.fsGroupChangePolicy?", &[Words(&["Always", "OnRootMismatch"])]),
    Row("securityContext?.seccompProfile?", &[Holds(seccomp)]),
    Row("securityContext?.appArmorProfile?", &[Holds(app_armor)]),
    Row("securityContext?.sysctls", &[Unique("name")]),
    Row("securityContext?.sysctls[].name", &[Required(""), Name(sysctl)]),
    Row("readinessGates[].conditionType", &[Name(names::qualified_name)]),
    Row("schedulingGates", &[UniqueItems("name")]),
    Row("schedulingGates[]", &[Holds(gate)]),
    Row("os?.name", &[Required("cannot be empty"), Words(&["linux", "windows"])]),
    Row("resourceClaims", &[Unique("name")]),
    Row("resourceClaims[].name", &[Required(""), Name(names::dns_label)]),
    Row("tolerations[].key?", &[Name(names::label_key)]),
    Row("topologySpreadConstraints[]", &[All(SPREAD)]),
    Row(
        "affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution[].weight",
        &[Between(1, 100)],
    ),
    Row(
        "affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms",
        &[Required("must have at least one node selector term")],
    ),
    Row("affinity?.podAffinity?", &[All(POD_AFFINITY)]),
    Row("affinity?.podAntiAffinity?", &[All(POD_AFFINITY)]),
    Row("containers[]", &[All(CONTAINER), All(RUNNING)]),
    Row("initContainers[]", &[All(CONTAINER), Holds(init_container)]),
    Row("initContainers[].restartPolicy?", &[Words(&["Always", "Never", "OnFailure"])]),
    Row("volumes[]", &[All(VOLUME)]),
];

/// How many places there are counts only where no more than the skew may go into one.
fn domains(spread: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if spread["minDomains"].as_i64().is_some() && spread["whenUnsatisfiable"] != "DoNotSchedule" {
        let detail = "can only use minDomains if whenUnsatisfiable=DoNotSchedule";
        errors.push(FieldError::invalid(path.child("minDomains"), spread["minDomains"].clone(), detail));
    }
}

fn gate(gate: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let name = text(gate, &["name"]);
    let wrong = names::qualified_name(name).into_iter();
    errors.extend(wrong.map(|wrong| FieldError::invalid(path.clone(), name, wrong)));
}

const SPREAD: &[Row] = &[
    Row("", &[Holds(domains)]),
    Row("maxSkew", &[Positive]),
    Row("topologyKey", &[Required("can not be empty")]),
    Row("whenUnsatisfiable", &[Words(&["DoNotSchedule", "ScheduleAnyway"])]),
    Row("minDomains?", &[Positive]),
    Row("nodeAffinityPolicy?", &[Words(&["Honor", "Ignore"])]),
    Row("nodeTaintsPolicy?", &[Words(&["Honor", "Ignore"])]),
    Row("labelSelector?", &[SELECTOR]),
];

const POD_AFFINITY: &[Row] = &[
    Row("requiredDuringSchedulingIgnoredDuringExecution[]", &[All(AFFINITY_TERM)]),
    Row("preferredDuringSchedulingIgnoredDuringExecution[].weight", &[Between(1, 100)]),
    Row("preferredDuringSchedulingIgnoredDuringExecution[].podAffinityTerm", &[All(AFFINITY_TERM)]),
];

const AFFINITY_TERM: &[Row] = &[
    Row("labelSelector?", &[SELECTOR]),
    Row("namespaceSelector?", &[SELECTOR]),
    Row("namespaces[]", &[Name(names::dns_label)]),
    Row("topologyKey", &[Required("can not be empty")]),
    Row("topologyKey", &[Name(names::label_key)]),
];

const CONTAINER: &[Row] = &[
    Row("ports[]", &[All(CONTAINER_PORT)]),
    Row("ports", &[Unique("name")]),
    Row("env[].name", &[Required(""), Name(variable)]),
    Row("env[].valueFrom?", &[Holds(variable_source)]),
    Row("envFrom[].prefix?", &[Name(variable)]),
    Row("envFrom[]", &[Holds(variables_source)]),
    Row("volumeMounts", &[Holds(mounts)]),
    Row("volumeMounts[].subPath?", &[Name(inner_path)]),
    Row("volumeMounts[].subPathExpr?", &[Name(inner_path)]),
    Row("volumeMounts[].mountPropagation?", &[Words(&["Bidirectional", "HostToContainer", "None"])]),
    Row("volumeDevices[].name", &[Required("")]),
    Row("volumeDevices[].devicePath", &[Required(""), Name(inner_step)]),
    Row("resizePolicy", &[UniqueItems("resourceName")]),
    Row("resizePolicy[].resourceName", &[Required("")]),
    Row("restartPolicyRules[].action", &[Required("")]),
    Row("restartPolicyRules[].exitCodes?.operator", &[Required("")]),
    Row("resources.claims[].name", &[Required("")]),
    Row("resizePolicy[].restartPolicy", &[Required(""), Words(&["NotRequired", "RestartContainer"])]),
    Row("terminationMessagePolicy", &[Required(""), Words(&["FallbackToLogsOnError", "File"])]),
    Row("resources.limits{}", &[Amount { strictly: false }]),
    Row("resources.requests{}", &[Amount { strictly: false }]),
    Row("securityContext?.procMount?", &[Words(&["Default", "Unmasked"])]),
    Row("securityContext?.seccompProfile?", &[Holds(seccomp)]),
    Row("securityContext?.appArmorProfile?", &[Holds(app_armor)]),
    Row("securityContext?", &[Holds(escalation)]),
];

/// Two volumes cannot be mounted in one place.
fn mounts(mounts: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let mut seen = Vec::new();
    for (at, mount) in mounts.as_array().into_iter().flatten().enumerate() {
        let place = text(mount, &["mountPath"]);
        if !place.is_empty() && seen.contains(&place) {
            errors.push(FieldError::invalid(path.index(at).child("mountPath"), place, "must be unique"));
        }
        seen.push(place);
    }
}

const RUNNING: &[Row] = &[
    Row("lifecycle?.postStart?", &[Holds(handler)]),
    Row("lifecycle?.preStop?", &[Holds(handler)]),
    Row("livenessProbe?", &[All(PROBE), All(ONCE)]),
    Row("startupProbe?", &[All(PROBE), All(ONCE)]),
    Row("readinessProbe?", &[All(PROBE)]),
    Row("readinessProbe?.terminationGracePeriodSeconds?", &[Holds(no_grace)]),
];

const CONTAINER_PORT: &[Row] = &[
    Row("name?", &[Name(port_name)]),
    Row("hostPort?", &[Between(0, 65_535)]),
    Row("protocol", &[Required(""), PROTOCOLS]),
];

const PROBE: &[Row] = &[
    Row("", &[Holds(handler)]),
    Row("initialDelaySeconds", &[AtLeast(0)]),
    Row("timeoutSeconds", &[AtLeast(0)]),
    Row("periodSeconds", &[AtLeast(0)]),
    Row("successThreshold", &[AtLeast(0)]),
    Row("failureThreshold", &[AtLeast(0)]),
    Row("terminationGracePeriodSeconds?", &[Positive]),
];

/// Probes that end or start a container count one success.
const ONCE: &[Row] = &[Row("successThreshold?", &[Holds(one_success)])];

fn one_success(number: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    // Nought stands for the default.
    if !matches!(number.as_i64(), Some(0 | 1)) {
        errors.push(FieldError::invalid(path.clone(), number.clone(), "must be 1"));
    }
}

fn no_grace(number: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if !number.is_null() {
        let detail = "must not be set for readinessProbes";
        errors.push(FieldError::invalid(path.clone(), number.clone(), detail));
    }
}

/// What a probe or a hook does: its field and table.
const HANDLERS: [(&str, &[Row]); 5] = [
    ("exec", &[Row("command", &[Required("")])]),
    (
        "httpGet",
        &[
            Row("path", &[Required("")]),
            Row("port", &[PORT_OR_NAME]),
            Row("scheme", &[Words(&["HTTP", "HTTPS"])]),
            Row("httpHeaders[].name", &[Name(header)]),
        ],
    ),
    ("tcpSocket", &[Row("port", &[PORT_OR_NAME])]),
    ("grpc", &[Row("port", &[PORT])]),
    ("sleep", &[Row("seconds", &[AtLeast(0)])]),
];

fn handler(of: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let mut given = HANDLERS.iter().filter(|(field, _)| of[field].is_object());
    match given.next() {
        None => errors.push(FieldError::required(path.clone(), "must specify a handler type")),
        Some((field, rows)) => super::apply(rows, &of[field], None, &path.child(field), errors),
    }
    for (field, _) in given {
        let detail = "may not specify more than 1 handler type";
        errors.push(FieldError::forbidden(path.child(field), detail));
    }
}

/// Containers that come first have neither probes nor hooks, unless they go on beside the others.
fn init_container(container: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if container["restartPolicy"] == "Always" {
        super::apply(RUNNING, container, None, path, errors);
        return;
    }
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if !container[field].is_null() {
            let detail = "may not be set for init containers without restartPolicy=Always";
            errors.push(FieldError::forbidden(path.child(field), detail));
        }
    }
}

fn header(name: &str) -> Vec<String> {
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    vec![
        "a valid HTTP header must consist of alphanumeric characters or '-' (for example 'X-Header-Name')"
            .to_owned(),
    ]
}

/// The name of a variable: any printable characters but an equals sign.
fn variable(name: &str) -> Vec<String> {
    if name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        return Vec::new();
    }
    vec![
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
            .to_owned(),
    ]
}

fn sysctl(name: &str) -> Vec<String> {
    let good = |part: &str| {
        let part = part.as_bytes();
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        part.first().is_some_and(inner)
            && part.last().is_some_and(inner)
            && part.iter().all(|b| inner(b) || matches!(b, b'-' | b'_'))
    };
    if name.len() <= names::SUBDOMAIN_MAX && name.split(['.', '/']).all(good) {
        return Vec::new();
    }
    vec!["must have at most 253 characters, of small letters, digits, '-' and '_', in parts joined by '.' or '/'".to_owned()]
}

fn seccomp(profile: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    local_profile(profile, ["Localhost", "RuntimeDefault", "Unconfined"], path, errors);
    let local = text(profile, &["localhostProfile"]);
    for wrong in inner_path(local) {
        errors.push(FieldError::invalid(path.child("localhostProfile"), local, wrong));
    }
}

fn app_armor(profile: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    local_profile(profile, ["Localhost", "RuntimeDefault", "Unconfined"], path, errors);
}

/// A profile is named for the type that has one, and only for that.
fn local_profile(profile: &Value, types: [&str; 3], path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(profile, &["type"]);
    let local = path.child("localhostProfile");
    match (kind, profile["localhostProfile"].is_null()) {
        ("", _) => errors.push(FieldError::required(path.child("type"), "type is required when set")),
        ("Localhost", true) => {
            errors.push(FieldError::required(local, "must be set when type is Localhost"));
        }
        ("Localhost", false) => {}
        (_, false) => {
            let detail = "can only be set when type is Localhost";
            errors.push(FieldError::invalid(local, profile["localhostProfile"].clone(), detail));
        }
        (kind, true) if !types.contains(&kind) => {
            errors.push(FieldError::not_supported(path.child("type"), kind, types));
        }
        _ => {}
    }
}

/// A process with all rights, or with those of the system's administrator, can always get more.
fn escalation(context: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if context["allowPrivilegeEscalation"] != false {
        return;
    }
    if context["privileged"] == true {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.push(FieldError::invalid(path.clone(), context.clone(), detail));
    }
    let added = context["capabilities"]["add"].as_array().into_iter().flatten();
    if added.into_iter().any(|name| name == "CAP_SYS_ADMIN") {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.push(FieldError::invalid(path.clone(), context.clone(), detail));
    }
}

const SOURCES: [(&str, &[Row]); 5] = [
    ("fieldRef", FIELD_REFERENCE),
    ("resourceFieldRef", &[Row("resource", &[Required("")])]),
    ("configMapKeyRef", KEY_REFERENCE),
    ("secretKeyRef", KEY_REFERENCE),
    (
        "fileKeyRef",
        &[
            Row("key", &[Required("")]),
            Row("volumeName", &[Required("")]),
            Row("path", &[Required(""), Name(inner_path)]),
        ],
    ),
];
const KEY_REFERENCE: &[Row] =
    &[Row("name", &[Name(names::dns_subdomain)]), Row("key", &[Required(""), Name(names::config_key)])];

fn variable_source(source: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let given: Vec<_> = SOURCES.iter().filter(|(field, _)| source[field].is_object()).collect();
    for (field, rows) in &given {
        super::apply(rows, &source[field], None, &path.child(field), errors);
    }
    if given.len() != 1 {
        let detail = if given.is_empty() {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        } else {
            "may not have more than one field specified at a time"
        };
        errors.push(FieldError::invalid(path.clone(), "", detail));
    }
}

fn variables_source(source: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let given: Vec<&str> =
        ["configMapRef", "secretRef"].into_iter().filter(|field| source[*field].is_object()).collect();
    for field in &given {
        if is_empty(&source[*field]["name"]) {
            errors.push(FieldError::required(path.child(field).child("name"), ""));
        } else {
            let name = text(source, &[field, "name"]);
            let wrong = names::dns_subdomain(name).into_iter();
            let path = path.child(field).child("name");
            errors.extend(wrong.map(|wrong| FieldError::invalid(path.clone(), name, wrong)));
        }
    }
    if given.len() != 1 {
        let detail = if given.is_empty() {
            "must specify one of: `configMapRef` or `secretRef`"
        } else {
            "may not have more than one field specified at a time"
        };
        errors.push(FieldError::invalid(path.clone(), "", detail));
    }
}
