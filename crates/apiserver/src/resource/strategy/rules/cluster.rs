//! Kinds of the core group and of small ones: nodes, endpoints, quotas, leases, classes of priority and of runtimes.

use std::collections::BTreeSet;

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::Value;

use super::shape::{self, LABELS, PORT, PROTOCOLS, SELECTOR, port_name};
use super::{Row, Rule, is_empty};
use Rule::{All, Amount, AtLeast, Fixed, Holds, Name, Positive, Required, UniqueItems, Words};

pub(super) fn rows(group: &str, plural: &str) -> &'static [Row] {
    match (group, plural) {
        ("", "namespaces") => NAMESPACE,
        ("", "nodes") => NODE,
        ("", "endpoints") => ENDPOINTS,
        ("", "resourcequotas") => QUOTA,
        ("", "limitranges") => LIMITS,
        ("", "replicationcontrollers") => CONTROLLER,
        ("", "podtemplates") => TEMPLATE,
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => POLICY,
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => BINDING,
        ("admissionregistration.k8s.io", _) => WEBHOOKS,
        ("", "services") => SERVICE,
        ("", "persistentvolumeclaims") => super::persistent::CLAIM,
        ("", "persistentvolumes") => super::persistent::VOLUME,
        ("scheduling.k8s.io", _) => PRIORITY,
        ("node.k8s.io", _) => RUNTIME,
        ("coordination.k8s.io", "leases") => LEASE,
        ("rbac.authorization.k8s.io", "clusterroles") => ROLE,
        _ => &[],
    }
}

const NODE: &[Row] = &[
    Row("spec.taints[].key", &[Required(""), Name(names::qualified_name)]),
    Row("spec.taints[].value?", &[Name(names::label_value)]),
    Row("spec.taints[].effect", &[Required(""), Words(&["NoExecute", "NoSchedule", "PreferNoSchedule"])]),
    Row("spec.taints", &[Holds(same_taint)]),
    Row("spec.podCIDRs", &[Holds(pod_networks)]),
    Row("spec.podCIDRs[]", &[Name(shape::network)]),
    Row("spec.providerID", &[Holds(set_once)]),
    Row("", &[All(ADDRESSES)]),
];

/// What a node's status may say, whoever writes it.
pub(super) const ADDRESSES: &[Row] = &[
    Row("status.addresses", &[UniqueItems("")]),
    Row("status.capacity{}", &[Amount { strictly: false }]),
    Row("status.allocatable{}", &[Amount { strictly: false }]),
];

/// A taint is told from others by its key and what it does.
fn same_taint(taints: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let mut seen = Vec::new();
    for (at, taint) in taints.as_array().into_iter().flatten().enumerate() {
        let identity = [&taint["key"], &taint["effect"]];
        if seen.contains(&identity) {
            let mut error = FieldError::duplicate(path.index(at), taint.clone());
            "taints must be unique by key and effect pair".clone_into(&mut error.detail);
            errors.push(error);
        }
        seen.push(identity);
    }
}

/// The networks of a node's Pods are given once, at most one of each family.
fn pod_networks(networks: &Value, old: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if old.is_some_and(|old| !is_empty(old) && old != networks) {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(FieldError::forbidden(path.clone(), detail));
    }
    let given = networks.as_array().map_or(&[][..], Vec::as_slice);
    let is_six = |network: &Value| network.as_str().is_some_and(|network| network.contains(':'));
    if given.len() > 2 || (given.len() == 2 && is_six(&given[0]) == is_six(&given[1])) {
        let detail = "may specify no more than one CIDR for each IP family";
        errors.push(FieldError::invalid(path.clone(), networks.clone(), detail));
    }
}

fn set_once(name: &Value, old: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if old.is_some_and(|old| !is_empty(old) && old != name) {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden(path.clone(), detail));
    }
}

const NAMESPACE: &[Row] = &[Row("spec.finalizers[]", &[Name(finalizer)])];

/// What ends before a namespace does: one of Kubernetes' own, or somebody's with a domain.
fn finalizer(name: &str) -> Vec<String> {
    let mut wrong = names::qualified_name(name);
    if wrong.is_empty()
        && !name.contains('/')
        && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion")
    {
        wrong.push("name is neither a standard finalizer name nor is it fully qualified".to_owned());
    }
    wrong
}

const ENDPOINTS: &[Row] = &[
    Row("subsets[]", &[Holds(some_address)]),
    Row("subsets[].addresses[]", &[All(ENDPOINT)]),
    Row("subsets[].notReadyAddresses[]", &[All(ENDPOINT)]),
    Row("subsets[].ports", &[Holds(all_named)]),
    Row("subsets[].ports[].name?", &[Name(names::dns_label)]),
    Row("subsets[].ports[].port", &[PORT]),
    Row("subsets[].ports[].protocol", &[Required(""), PROTOCOLS]),
    Row("subsets[].ports[].appProtocol?", &[Name(names::qualified_name)]),
];

const ENDPOINT: &[Row] = &[
    Row("ip", &[Name(|text| shape::endpoint_address(text, None))]),
    Row("hostname?", &[Name(names::dns_label)]),
    Row("nodeName?", &[Name(names::dns_subdomain)]),
];

fn some_address(subset: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if is_empty(&subset["addresses"]) && is_empty(&subset["notReadyAddresses"]) {
        let detail = "must specify `addresses` or `notReadyAddresses`";
        errors.push(FieldError::required(path.clone(), detail));
    }
}

/// Several ports are told apart by names.
fn all_named(ports: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let ports = ports.as_array().map_or(&[][..], Vec::as_slice);
    for (at, port) in ports.iter().enumerate().filter(|_| ports.len() > 1) {
        if is_empty(&port["name"]) {
            errors.push(FieldError::required(path.index(at).child("name"), ""));
        }
    }
}

const SCOPES: Rule = Words(&[
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
]);

const QUOTA: &[Row] = &[
    Row("spec.hard?", &[Holds(quota_names)]),
    Row("spec.hard{}", &[Amount { strictly: false }]),
    Row("spec", &[Holds(super::quota::check)]),
    Row("spec.scopes", &[Holds(same_scopes)]),
    Row("spec.scopeSelector?.matchExpressions[].scopeName", &[SCOPES]),
    Row("spec.scopeSelector?.matchExpressions[]", &[Holds(scope)]),
];

/// What a quota is for stays as it is, in whatever order it is written.
fn same_scopes(scopes: &Value, old: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let set = |scopes: &Value| -> BTreeSet<String> {
        let scopes = scopes.as_array().into_iter().flatten();
        scopes.filter_map(|scope| scope.as_str().map(str::to_owned)).collect()
    };
    if old.is_some_and(|old| set(old) != set(scopes)) {
        errors.push(FieldError::invalid(path.clone(), scopes.clone(), "field is immutable"));
    }
}

/// Resources that a quota may count by names without a domain.
const COUNTED: &[&str] = &[
    "configmaps",
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];

/// A quota counts resources of Kubernetes, or such as carry somebody's domain.
pub(super) fn quota_names(hard: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    for (name, _) in hard.as_object().into_iter().flatten() {
        let mut wrong = names::qualified_name(name);
        let pages = name.strip_prefix("requests.").unwrap_or(name).starts_with("hugepages-");
        if wrong.is_empty() && !name.contains('/') && !pages && !COUNTED.contains(&name.as_str()) {
            wrong.push("must be a standard resource for quota".to_owned());
        }
        let wrong = wrong.into_iter();
        errors.extend(wrong.map(|wrong| FieldError::invalid(path.key(name), name.as_str(), wrong)));
    }
}

fn scope(scope: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let has_values = !is_empty(&scope["values"]);
    match scope["operator"].as_str().unwrap_or_default() {
        "In" | "NotIn" if !has_values => {
            let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            errors.push(FieldError::required(path.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if has_values => {
            let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            errors.push(FieldError::invalid(path.child("values"), scope["values"].clone(), detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => {
            let detail = "not a valid selector operator";
            errors.push(FieldError::invalid(path.child("operator"), other, detail));
        }
    }
}

const LIMITS: &[Row] =
    &[Row("spec.limits[].type", &[Name(limit_type)]), Row("spec.limits", &[Rule::Unique("type")])];

fn limit_type(kind: &str) -> Vec<String> {
    let mut wrong = names::qualified_name(kind);
    if wrong.is_empty()
        && !kind.contains('/')
        && !matches!(kind, "Container" | "Pod" | "PersistentVolumeClaim")
    {
        wrong.push("must be a standard limit type or fully qualified".to_owned());
    }
    wrong
}

const CONTROLLER: &[Row] = &[
    Row("spec.replicas", &[AtLeast(0)]),
    Row("spec.minReadySeconds", &[AtLeast(0)]),
    Row("spec.selector", &[Required("")]),
    Row("spec.template", &[Required(""), Holds(super::workload::template_metadata)]),
    Row("spec.template?.spec", &[Holds(super::workload::pod_spec)]),
    Row("spec", &[Holds(selected)]),
];

/// A controller selects the Pods that it makes.
fn selected(spec: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let labels = &spec["template"]["metadata"]["labels"];
    let mut wanted = spec["selector"].as_object().into_iter().flatten();
    if !spec["template"].is_null() && wanted.any(|(key, value)| labels.get(key) != Some(value)) {
        let detail = "`selector` does not match template `labels`";
        let path = path.child("template").child("metadata").child("labels");
        errors.push(FieldError::invalid(path, labels.clone(), detail));
    }
}

const TEMPLATE: &[Row] = &[
    Row("template", &[Holds(super::workload::template_metadata)]),
    Row("template.spec", &[Holds(super::workload::pod_spec)]),
];

const WEBHOOKS: &[Row] = &[Row("webhooks[]", &[All(SELECTORS)])];
const POLICY: &[Row] = &[
    Row("spec.matchConstraints?", &[All(SELECTORS)]),
    Row("spec.variables[].name", &[Required("name is not specified"), Name(identifier)]),
    Row("spec.matchConditions", &[Rule::Unique("name")]),
    Row("spec.matchConditions[].name", &[Required(""), Name(names::qualified_name)]),
    Row("spec.auditAnnotations", &[Rule::Unique("key")]),
    Row("spec.auditAnnotations[].key", &[Name(names::qualified_name)]),
];

/// A name that expressions can say.
fn identifier(name: &str) -> Vec<String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.bytes().all(good) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return Vec::new();
    }
    vec!["name is not a valid CEL identifier".to_owned()]
}

const BINDING: &[Row] = &[Row("spec.matchResources?", &[All(SELECTORS)])];
const SELECTORS: &[Row] = &[Row("namespaceSelector?", &[SELECTOR]), Row("objectSelector?", &[SELECTOR])];

const SERVICE: &[Row] = &[
    Row("", &[Holds(super::service::check)]),
    Row("spec.selector?", &[LABELS]),
    Row("spec.ports[].name?", &[Name(names::dns_label)]),
    Row("spec.ports[].targetPort?", &[Holds(named_target)]),
    Row("spec.ports[].appProtocol?", &[Name(names::qualified_name)]),
    Row("spec.sessionAffinity", &[Required(""), Words(&["ClientIP", "None"])]),
    Row("spec.sessionAffinityConfig?.clientIP?.timeoutSeconds?", &[Rule::Between(1, 86_400)]),
    Row("spec.externalIPs[]", &[Name(|text| shape::endpoint_address(text, None))]),
    Row("spec.externalName?", &[Name(|name| names::dns_subdomain(name.strip_suffix('.').unwrap_or(name)))]),
    Row("spec.externalTrafficPolicy?", &[Words(&["Cluster", "Local"])]),
    Row("spec.internalTrafficPolicy?", &[Words(&["Cluster", "Local"])]),
    Row("spec.loadBalancerClass?", &[Name(names::qualified_name)]),
    Row("spec.loadBalancerSourceRanges?", &[Holds(ranges)]),
    Row("spec.trafficDistribution?", &[Words(&["PreferClose", "PreferSameNode", "PreferSameZone"])]),
];

/// Networks that may come in, under the name that they are known by in errors.
fn ranges(ranges: &Value, _: Option<&Value>, _: &Path, errors: &mut Vec<FieldError>) {
    let path = Path::new("spec.LoadBalancerSourceRanges");
    for (at, range) in ranges.as_array().into_iter().flatten().enumerate() {
        let range = range.as_str().unwrap_or_default();
        let wrong = shape::network(range.trim()).into_iter();
        errors.extend(wrong.map(|wrong| FieldError::invalid(path.index(at), range, wrong)));
    }
}

/// A port of Pods by its name; numbers are judged with the port itself.
fn named_target(target: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(name) = target.as_str() {
        let wrong = port_name(name).into_iter();
        errors.extend(wrong.map(|wrong| FieldError::invalid(path.clone(), name, wrong)));
    }
}

const PRIORITY: &[Row] = &[Row("preemptionPolicy?", &[Words(&["Never", "PreemptLowerPriority"]), Fixed])];

const RUNTIME: &[Row] = &[
    Row("handler", &[Name(names::dns_label), Fixed]),
    Row("scheduling?.nodeSelector?", &[LABELS]),
    Row("overhead?.podFixed{}", &[Amount { strictly: false }]),
];

const LEASE: &[Row] = &[
    Row("spec.leaseDurationSeconds?", &[Positive]),
    Row("spec.leaseTransitions?", &[AtLeast(0)]),
    Row("spec", &[Holds(holder)]),
];

fn holder(spec: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    if !is_empty(&spec["preferredHolder"]) && is_empty(&spec["strategy"]) {
        let detail = "preferredHolder requires strategy to be set";
        errors.push(FieldError::invalid(
            path.child("preferredHolder"),
            spec["preferredHolder"].clone(),
            detail,
        ));
    }
}

const ROLE: &[Row] = &[
    Row(
        "aggregationRule?.clusterRoleSelectors",
        &[Required("at least one clusterRoleSelector required if aggregationRule is non-nil")],
    ),
    Row("aggregationRule?.clusterRoleSelectors[]", &[SELECTOR]),
];
