//! The instance types and preferences that come with an installation, by the names under which manifests know them:
//! `u1.medium`, `fedora`, `windows.11`. Facts: the common instance types of KubeVirt, release [`RELEASE`].

mod guests;
mod series;

use api::names::annotation;
use serde_json::{Map, Value, json};

pub use guests::preferences;
pub use series::instancetypes;

/// Release of the common instance types whose facts these are.
const RELEASE: &str = "v1.6.0";

/// Label of what comes with the installation; its value is the release.
pub const LABEL: &str = "instancetype.kubevirt.io/common-instancetypes-version";

/// Label that says who keeps an object as it is, and our word in it.
pub const MANAGED: (&str, &str) = ("app.kubernetes.io/managed-by", "ironclad");

/// Puts an object together; `labels` go below `instancetype.kubevirt.io/`.
fn object(
    kind: &str,
    name: &str,
    labels: &[(&str, &str)],
    mut annotations: Map<String, Value>,
    spec: Value,
) -> Value {
    let labels = labels.iter().map(|(key, value)| (format!("instancetype.kubevirt.io/{key}"), json!(value)));
    let mut labels: Map<String, Value> = labels.collect();
    labels.insert(LABEL.to_owned(), RELEASE.into());
    labels.insert(MANAGED.0.to_owned(), MANAGED.1.into());
    labels.insert("instancetype.kubevirt.io/vendor".to_owned(), "kubevirt.io".into());
    annotations.insert(annotation::BUNDLED.to_owned(), name.into());
    json!({
        "apiVersion": "instancetype.kubevirt.io/v1beta1",
        "kind": kind,
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::instancetype::{check_instancetype, check_preference};

    fn named<'a>(all: &'a [Value], name: &str) -> &'a Value {
        all.iter().find(|object| object["metadata"]["name"] == name).unwrap()
    }

    #[test]
    fn every_one_has_a_name_of_its_own_and_is_sound() {
        let (types, preferences) = (instancetypes(), preferences());
        assert_eq!((types.len(), preferences.len()), (65, 54));
        for all in [&types, &preferences] {
            let names: BTreeSet<_> = all.iter().map(|object| object["metadata"]["name"].as_str()).collect();
            assert_eq!(names.len(), all.len());
        }
        for object in &types {
            let spec = serde_json::from_value(object["spec"].clone()).unwrap();
            assert_eq!(check_instancetype(&spec), [], "{object}");
        }
        for object in &preferences {
            let spec = serde_json::from_value(object["spec"].clone()).unwrap();
            assert_eq!(check_preference(&spec), [], "{object}");
        }
    }

    #[test]
    fn they_say_what_their_names_promise() {
        let (types, preferences) = (instancetypes(), preferences());
        let table = [
            (&types, "u1.medium", "/spec", json!({"cpu": {"guest": 1}, "memory": {"guest": "4Gi"}})),
            (&types, "u1.2xmedium", "/spec", json!({"cpu": {"guest": 2}, "memory": {"guest": "4Gi"}})),
            (&types, "o1.nano", "/spec/memory", json!({"guest": "512Mi", "overcommitPercent": 50})),
            (&types, "cx1.large1gi", "/spec/cpu/maxSockets", json!(2)),
            (
                &types,
                "cx1.large1gi",
                "/spec/memory",
                json!({"guest": "4Gi", "hugepages": {"pageSize": "1Gi"}}),
            ),
            (&types, "n1.medium", "/spec/cpu/guest", json!(4)),
            (&types, "rt1.8xlarge", "/spec/cpu/realtime", json!({})),
            (&types, "d1.small", "/metadata/labels/instancetype.kubevirt.io~1class", json!("dedicated.vcpu")),
            (&preferences, "fedora", "/spec/firmware/preferredEfi", json!({"secureBoot": true})),
            (&preferences, "debian", "/spec/requirements/memory/guest", json!("512Mi")),
            (&preferences, "windows.11.virtio", "/spec/devices/preferredDiskBus", json!("virtio")),
            (&preferences, "windows.11", "/spec/devices/preferredTPM", json!({"persistent": true})),
            (&preferences, "windows.2k3", "/spec/devices/preferredInterfaceModel", json!("rtl8139")),
            (&preferences, "rhel.9.dpdk", "/spec/requirements/cpu/guest", json!(8)),
            (&preferences, "linux.efi", "/spec/firmware/preferredEfi", json!({"secureBoot": false})),
        ];
        for (all, name, path, expected) in table {
            assert_eq!(named(all, name).pointer(path), Some(&expected), "{name} {path}");
        }
    }
}
