//! Annotations of an instance, or of a machine's template, by which the reference changes a guest.

use serde_json::Value;

use super::{State, Table, harmless, only, refused};

const REMOVE: &str = "remove it";

/// By the annotation's name.
pub(super) const TABLE: Table = &[
    (
        "hooks.kubevirt.io/hookSidecars",
        only(&["", "[]"], "sidecars that change the machine are not run yet", REMOVE),
    ),
    (
        "kubevirt.io/allow-pod-bridge-network-live-migration",
        harmless("running machines do not move between nodes yet"),
    ),
    (
        "kubevirt.io/disablePCIHole64",
        only(&["false"], "the machine's 64-bit PCI window cannot be closed yet", REMOVE),
    ),
    ("kubevirt.io/free-page-reporting-disabled", harmless("guests report free pages all the same")),
    (
        "kubevirt.io/ignitiondata",
        only(
            &[""],
            "guests are not handed an Ignition configuration yet",
            "use cloudInitNoCloud or cloudInitConfigDrive",
        ),
    ),
    (
        "kubevirt.io/keep-launcher-alive-after-failure",
        harmless("a launcher ends with its machine; its log and its records stay as long as the Pod"),
    ),
    ("kubevirt.io/libvirt-log-filters", harmless("no libvirt runs; `kubectl logs` shows the launcher")),
    ("kubevirt.io/memfd", harmless("guest memory is backed by what the machine's devices need")),
    (
        "kubevirt.io/placePCIDevicesOnRootComplex",
        harmless("devices stay behind root ports, where they keep their addresses"),
    ),
    (
        "smbios.vm.kubevirt.io/baseBoardManufacturer",
        refused(
            "the base board's maker cannot be set yet",
            "set the system's in the KubeVirt object, or remove it",
        ),
    ),
];

/// Calls `report` for each annotation of an object of `kind` that the table knows: path as the user knows it, value, state.
pub(super) fn visit(kind: &str, object: &Value, report: &mut dyn FnMut(&str, &Value, State)) {
    let (pointer, shown) = match kind {
        "VirtualMachineInstance" => ("/metadata/annotations", "metadata.annotations"),
        "VirtualMachine" | "VirtualMachineInstanceReplicaSet" => {
            ("/spec/template/metadata/annotations", "spec.template.metadata.annotations")
        }
        "VirtualMachinePool" => (
            "/spec/virtualMachineTemplate/spec/template/metadata/annotations",
            "spec.virtualMachineTemplate.spec.template.metadata.annotations",
        ),
        _ => return,
    };
    let Some(annotations) = object.pointer(pointer).and_then(Value::as_object) else { return };
    for (name, state) in TABLE {
        if let Some(value) = annotations.get(*name) {
            report(&format!("{shown}[{name}]"), value, *state);
        }
    }
}
