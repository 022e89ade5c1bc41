//! What admission adds to every new Pod: its service account, its priority, and the default tolerations.

use serde_json::{Value, json};

use super::pod::{containers, forbid};
use super::{items_mut, limits, set_default, text};
use crate::Result;
use crate::cache::ObjectKey;
use crate::registry::Collection;
use crate::resource::Call;

/// Where a container finds the credentials of its service account.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How long a Pod stays on a node that is not ready or out of reach.
const TOLERATION_SECONDS: i64 = 300;

/// Completes a new Pod, or refuses it.
pub(super) fn admit(call: &Call, pod: &mut Value) -> Result<()> {
    service_account(call, pod)?;
    priority(call, pod)?;
    limits::admit_pod(call, pod)?;
    tolerations(&mut pod["spec"]);
    Ok(())
}

fn read(call: &Call, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Value> {
    let entry = call.server.object(&Collection::new(group, plural), &ObjectKey::new(namespace, name))?;
    entry.parse().ok()
}

fn service_account(call: &Call, pod: &mut Value) -> Result<()> {
    // A mirror Pod stands for something that a node runs by itself.
    if pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some() {
        return Ok(());
    }
    let spec = &mut pod["spec"];
    if text(spec, &["serviceAccountName"]).is_empty() {
        spec["serviceAccountName"] = "default".into();
    }
    let name = text(spec, &["serviceAccountName"]).to_owned();
    spec["serviceAccount"] = name.as_str().into();
    let namespace = call.namespace().to_owned();
    let Some(account) = read(call, "", "serviceaccounts", &namespace, &name) else {
        let why =
            format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        return Err(forbid(call, pod, why));
    };
    let spec = &mut pod["spec"];
    let automount = spec["automountServiceAccountToken"]
        .as_bool()
        .or_else(|| account["automountServiceAccountToken"].as_bool());
    if automount.unwrap_or(true) {
        mount_token(call, spec);
    }
    if spec["imagePullSecrets"].is_null() && account["imagePullSecrets"].is_array() {
        spec["imagePullSecrets"] = account["imagePullSecrets"].clone();
    }
    Ok(())
}

fn mount_token(call: &Call, spec: &mut Value) {
    let mounted = |container: &Value| {
        let mounts = container["volumeMounts"].as_array().into_iter().flatten();
        mounts.into_iter().any(|mount| mount["mountPath"] == TOKEN_PATH)
    };
    if containers(spec).all(|(_, container)| mounted(container)) {
        return;
    }
    let volume = format!("kube-api-access-{}", call.server.entropy().suffix(5));
    for kind in ["initContainers", "containers"] {
        for container in items_mut(spec, kind) {
            if mounted(container) {
                continue;
            }
            let mount = json!({"name": volume, "readOnly": true, "mountPath": TOKEN_PATH});
            push(container, "volumeMounts", mount);
        }
    }
    let sources = json!([
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]);
    push(spec, "volumes", json!({"name": volume, "projected": {"sources": sources, "defaultMode": 420}}));
}

fn push(object: &mut Value, list: &str, item: Value) {
    match object.get_mut(list).and_then(Value::as_array_mut) {
        Some(items) => items.push(item),
        None => object[list] = json!([item]),
    }
}

fn priority(call: &Call, pod: &mut Value) -> Result<()> {
    let name = text(pod, &["spec", "priorityClassName"]).to_owned();
    let class = if name.is_empty() {
        default_class(call)
    } else {
        let found = read(call, "scheduling.k8s.io", "priorityclasses", "", &name);
        let missing = || forbid(call, pod, format!("no PriorityClass with name {name} was found"));
        Some(found.ok_or_else(missing)?)
    };
    let (value, policy) = match &class {
        Some(class) => (class["value"].as_i64().unwrap_or(0), text(class, &["preemptionPolicy"])),
        None => (0, ""),
    };
    let given = pod["spec"]["priority"].as_i64();
    if given.is_some_and(|given| given != value) {
        let why = format!(
            "the integer value of priority ({}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name",
            given.unwrap_or(0)
        );
        return Err(forbid(call, pod, why));
    }
    let spec = &mut pod["spec"];
    if let Some(class) = class.as_ref().filter(|_| name.is_empty()) {
        spec["priorityClassName"] = class["metadata"]["name"].clone();
    }
    spec["priority"] = value.into();
    set_default(spec, "preemptionPolicy", if policy.is_empty() { "PreemptLowerPriority" } else { policy });
    Ok(())
}

fn default_class(call: &Call) -> Option<Value> {
    let cache = call.server.caches().of(&Collection::new("scheduling.k8s.io", "priorityclasses"));
    let (classes, _) = cache.snapshot("");
    classes.iter().filter_map(|entry| entry.parse().ok()).find(|class: &Value| class["globalDefault"] == true)
}

/// Adds how long a Pod stays on a node that is not ready or out of reach, where the Pod does not say it.
pub(super) fn tolerations(spec: &mut Value) {
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = spec["tolerations"].as_array().into_iter().flatten().any(|toleration| {
            let any = text(toleration, &["key"]).is_empty() && text(toleration, &["operator"]) == "Exists";
            let covers = text(toleration, &["key"]) == key || any;
            covers && matches!(text(toleration, &["effect"]), "" | "NoExecute")
        });
        if !tolerated {
            let toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS});
            push(spec, "tolerations", toleration);
        }
    }
}
