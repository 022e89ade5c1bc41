//! Fields of a Pod by the paths that the downward API uses.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, DownwardAPIVolumeFile, Pod, ResourceFieldSelector};
use machinery::quantity::Quantity;

/// Why a field cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DownwardError {
    /// The path is not one that can be shown.
    #[error("fieldPath {0:?} is none that the downward API shows")]
    Field(String),
    /// The resource is not one that can be shown, or the container is unknown.
    #[error("resourceFieldRef {0:?} names no resource of a container")]
    Resource(String),
    /// Neither of the two references is there.
    #[error("file {0:?} has neither fieldRef nor resourceFieldRef")]
    Nothing(String),
}

/// Returns the content of a file of a downward API volume.
pub fn content(pod: &Pod, file: &DownwardAPIVolumeFile) -> Result<String, DownwardError> {
    match (&file.field_ref, &file.resource_field_ref) {
        (Some(field), _) => value(pod, &field.field_path),
        (None, Some(resource)) => amount(pod, resource),
        (None, None) => Err(DownwardError::Nothing(file.path.clone())),
    }
}

/// Returns a field of the Pod.
pub fn value(pod: &Pod, path: &str) -> Result<String, DownwardError> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    let map = |map: &Option<BTreeMap<String, String>>| {
        let lines = map.iter().flatten().map(|(key, value)| format!("{key}={value:?}"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let item = |map: &Option<BTreeMap<String, String>>, prefix: &str| {
        let key = path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']")?;
        Some(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default())
    };
    Ok(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => map(&meta.labels),
        "metadata.annotations" => map(&meta.annotations),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
        "spec.serviceAccountName" => {
            spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default()
        }
        "status.hostIP" => status.and_then(|status| status.host_ip.clone()).unwrap_or_default(),
        "status.podIP" => status.and_then(|status| status.pod_ip.clone()).unwrap_or_default(),
        _ => item(&meta.labels, "metadata.labels")
            .or_else(|| item(&meta.annotations, "metadata.annotations"))
            .ok_or_else(|| DownwardError::Field(path.to_owned()))?,
    })
}

/// Returns an amount of a container, in units of the divisor, rounded up.
fn amount(pod: &Pod, wanted: &ResourceFieldSelector) -> Result<String, DownwardError> {
    let unknown = || DownwardError::Resource(wanted.resource.clone());
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let named = |container: &&Container| {
        wanted.container_name.as_ref().is_none_or(|name| name.is_empty() || *name == container.name)
    };
    let container = containers.iter().find(named).ok_or_else(unknown)?;
    let resources = container.resources.as_ref();
    let (list, name) = wanted.resource.split_once('.').ok_or_else(unknown)?;
    let list = match list {
        "limits" => resources.and_then(|resources| resources.limits.as_ref()),
        "requests" => resources.and_then(|resources| resources.requests.as_ref()),
        _ => return Err(unknown()),
    };
    let milli = |text: &str| Quantity::parse(text).map(|quantity| quantity.milli()).ok();
    let have = list.and_then(|list| list.get(name)).and_then(|amount| milli(&amount.0)).unwrap_or(0);
    let divisor = wanted.divisor.as_ref().and_then(|divisor| milli(&divisor.0)).filter(|unit| *unit > 0);
    let divisor = divisor.unwrap_or(1000);
    Ok((have / divisor + i64::from(have % divisor > 0)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_and_amounts_are_shown_as_kubernetes_writes_them() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "labels": {"b": "2", "a": "say \"1\""}},
            "spec": {"containers": [{"name": "compute", "resources": {
                "requests": {"cpu": "1500m"}, "limits": {"memory": "64Mi"},
            }}]},
        }))
        .unwrap();
        let show = |file: serde_json::Value| {
            content(&pod, &serde_json::from_value(file).unwrap()).map_err(|error| error.to_string())
        };
        let field = |path: &str| show(json!({"path": "f", "fieldRef": {"fieldPath": path}}));
        assert_eq!(field("metadata.labels").unwrap(), "a=\"say \\\"1\\\"\"\nb=\"2\"");
        assert_eq!(field("metadata.labels['b']").unwrap(), "2");
        assert_eq!(field("metadata.annotations['none']").unwrap(), "");
        assert!(field("spec.containers").is_err());
        let amount = |resource: &str, divisor: &str| {
            show(json!({"path": "f", "resourceFieldRef": {"resource": resource, "divisor": divisor}}))
        };
        assert_eq!(amount("requests.cpu", "1").unwrap(), "2");
        assert_eq!(amount("requests.cpu", "1m").unwrap(), "1500");
        assert_eq!(amount("limits.memory", "1Mi").unwrap(), "64");
        assert!(amount("memory", "1").is_err());
        assert!(show(json!({"path": "f"})).is_err());
    }
}
