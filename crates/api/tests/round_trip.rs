//! What the types read they write again: no field is lost.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up should fail")]

use api::backup::v1alpha1::{VirtualMachineBackup, VirtualMachineBackupTracker};
use api::clone::v1beta1::VirtualMachineClone;
use api::export::v1beta1::VirtualMachineExport;
use api::facts::{self, Schema, Types};
use api::instancetype::v1beta1::{
    VirtualMachineClusterInstancetype, VirtualMachineClusterPreference, VirtualMachineInstancetype,
    VirtualMachinePreference,
};
use api::kubevirt::v1::{
    KubeVirt, VirtualMachine, VirtualMachineInstance, VirtualMachineInstanceMigration,
    VirtualMachineInstancePreset, VirtualMachineInstanceReplicaSet,
};
use api::migrations::v1alpha1::MigrationPolicy;
use api::pool::v1beta1::VirtualMachinePool;
use api::snapshot::v1beta1::{VirtualMachineRestore, VirtualMachineSnapshot, VirtualMachineSnapshotContent};
use serde_json::{Map, Value, json};

/// Returns a value with every field that a schema knows, none of them empty.
fn full(schema: &'static Schema) -> Value {
    match schema.reference {
        Some(name) if name.ends_with(".ObjectMeta") => {
            return json!({"name": "n", "namespace": "ns", "labels": {"a": "b"}, "annotations": {"c": "d"}});
        }
        Some(name) if name.ends_with(".Quantity") => return json!("1Gi"),
        Some(name) if name.ends_with(".Time") => return json!("2026-01-02T03:04:05Z"),
        Some(name) if name.ends_with(".FieldsV1") => return json!({"f:spec": {}}),
        _ => {}
    }
    let schema = facts::resolve(schema);
    match &schema.types {
        Types::Several(types) if types.contains(&"null") => json!("2026-01-02T03:04:05Z"),
        Types::Several(_) => json!(80),
        Types::Any | Types::One("object") => {
            if let Some(values) = schema.additional_properties.as_deref() {
                return json!({"key": full(values)});
            }
            let fields: Map<String, Value> =
                schema.properties.iter().map(|(name, child)| ((*name).to_owned(), full(child))).collect();
            fields.into()
        }
        Types::One("array") => json!([full(schema.items.as_deref().unwrap())]),
        Types::One("boolean") => json!(true),
        Types::One("integer") => json!(7),
        Types::One("number") => json!(1.5),
        Types::One(_) if schema.format == Some("date-time") => json!("2026-01-02T03:04:05Z"),
        Types::One(_) => schema.values.as_ref().map_or_else(|| json!("text"), |values| json!(values[0])),
    }
}

/// Lists every path of `want` that `got` lacks or holds otherwise.
fn lost(want: &Value, got: Option<&Value>, path: &str, out: &mut Vec<String>) {
    match (want, got) {
        (Value::Object(want), Some(Value::Object(got))) => {
            for (name, child) in want {
                lost(child, got.get(name), &format!("{path}.{name}"), out);
            }
        }
        (Value::Array(want), Some(Value::Array(got))) if want.len() == got.len() => {
            for (index, child) in want.iter().enumerate() {
                lost(child, got.get(index), &format!("{path}[{index}]"), out);
            }
        }
        (want, Some(got)) if want == got => {}
        _ => out.push(format!("{path}: {want} became {got:?}")),
    }
}

fn through<T: serde::de::DeserializeOwned + serde::Serialize>(object: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<T>(object.clone()).unwrap()).unwrap()
}

fn by_kind(kind: &str, object: &Value) -> Value {
    match kind {
        "VirtualMachine" => through::<VirtualMachine>(object),
        "VirtualMachineInstance" => through::<VirtualMachineInstance>(object),
        "VirtualMachineInstanceMigration" => through::<VirtualMachineInstanceMigration>(object),
        "KubeVirt" => through::<KubeVirt>(object),
        "VirtualMachineInstanceReplicaSet" => through::<VirtualMachineInstanceReplicaSet>(object),
        "VirtualMachineInstancePreset" => through::<VirtualMachineInstancePreset>(object),
        "VirtualMachineInstancetype" => through::<VirtualMachineInstancetype>(object),
        "VirtualMachineClusterInstancetype" => through::<VirtualMachineClusterInstancetype>(object),
        "VirtualMachinePreference" => through::<VirtualMachinePreference>(object),
        "VirtualMachineClusterPreference" => through::<VirtualMachineClusterPreference>(object),
        "VirtualMachinePool" => through::<VirtualMachinePool>(object),
        "MigrationPolicy" => through::<MigrationPolicy>(object),
        "VirtualMachineSnapshot" => through::<VirtualMachineSnapshot>(object),
        "VirtualMachineSnapshotContent" => through::<VirtualMachineSnapshotContent>(object),
        "VirtualMachineRestore" => through::<VirtualMachineRestore>(object),
        "VirtualMachineExport" => through::<VirtualMachineExport>(object),
        "VirtualMachineClone" => through::<VirtualMachineClone>(object),
        "VirtualMachineBackup" => through::<VirtualMachineBackup>(object),
        "VirtualMachineBackupTracker" => through::<VirtualMachineBackupTracker>(object),
        other => panic!("{other} has no type"),
    }
}

#[test]
fn an_object_with_every_field_survives() {
    // Of CDI's kinds there are facts, no types.
    for kind in facts::kinds().iter().filter(|kind| !kind.group.ends_with("cdi.kubevirt.io")) {
        let mut object = full(&facts::definitions()[kind.definition]);
        object["apiVersion"] = json!(format!("{}/{}", kind.group, kind.versions[0].name));
        object["kind"] = json!(kind.kind);
        let mut out = Vec::new();
        lost(&object, Some(&by_kind(kind.kind, &object)), kind.kind, &mut out);
        assert_eq!(out, Vec::<String>::new(), "{}", kind.kind);
    }
}

#[test]
fn numbers_serve_as_amounts() {
    let machine: VirtualMachineInstance = serde_json::from_value(json!({
        "spec": {"domain": {"devices": {}, "resources": {"requests": {"cpu": 1}}, "memory": {"guest": "64Mi"}}},
    }))
    .unwrap();
    assert_eq!(machine.spec.domain.resources.requests["cpu"].as_str(), "1");
    assert_eq!(machine.kind, "VirtualMachineInstance");
    assert_eq!(machine.api_version, "kubevirt.io/v1");
}

#[test]
fn objects_fit_on_a_stack() {
    assert!(size_of::<VirtualMachine>() < 16 << 10, "{}", size_of::<VirtualMachine>());
    assert!(size_of::<VirtualMachineInstance>() < 16 << 10, "{}", size_of::<VirtualMachineInstance>());
}
