//! What the tables hold, and what is said of an object.

use super::*;
use serde_json::json;

#[test]
fn no_field_of_a_specification_is_missing() {
    let mut missing = Vec::new();
    for kind in api::facts::kinds() {
        api::facts::leaves(kind.definition, &mut |path| {
            if path.starts_with("spec") && state(kind.kind, path).is_none() {
                missing.push(format!("{} {path}", kind.kind));
            }
        });
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn empty_parts_that_clients_write_by_themselves_are_not_warned_of() {
    let written = json!({"spec": {"certificateRotateStrategy": {}, "customizeComponents": {}, "workloadUpdateStrategy": {}}});
    assert_eq!(warnings("KubeVirt", &written), Vec::<String>::new());
    let meant = json!({"spec": {"certificateRotateStrategy": {"selfSigned": {"ca": {"duration": "1h"}}}}});
    assert_eq!(warnings("KubeVirt", &meant).len(), 1);
}

#[test]
fn annotations_have_states_too() {
    let annotations = json!({"hooks.kubevirt.io/hookSidecars": "[{}]", "kubevirt.io/disablePCIHole64": "false", "mine": "x"});
    let machine = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    let warned = warnings("VirtualMachine", &machine);
    assert_eq!(warned.len(), 1, "{warned:?}");
    let at = "spec.template.metadata.annotations[hooks.kubevirt.io/hookSidecars]";
    assert!(
        warned[0].starts_with(&format!("ironclad: {at} keeps the machine from starting: ")),
        "{warned:?}"
    );
    let instance = json!({"metadata": {"annotations": annotations}, "spec": {"domain": {"devices": {}}}});
    let refused = unsupported(&serde_json::from_value(instance).unwrap());
    assert_eq!(refused[0].field, "metadata.annotations[hooks.kubevirt.io/hookSidecars]");
}

#[test]
fn every_entry_names_a_field_that_exists() {
    for kind in api::facts::kinds() {
        let mut paths = Vec::new();
        api::facts::leaves(kind.definition, &mut |path| paths.push(path.to_owned()));
        for (entry, _) in entries(kind.kind) {
            assert!(paths.iter().any(|path| below(&entry, path).is_some()), "{} {entry}", kind.kind);
        }
    }
}

fn instance(spec: Value) -> VirtualMachineInstance {
    serde_json::from_value(json!({"spec": spec})).unwrap()
}

#[test]
fn what_keeps_an_instance_from_starting_is_named_once_with_its_place() {
    let vmi = instance(json!({
        "domain": {"devices": {
            "interfaces": [{"name": "a", "masquerade": {}}, {"name": "b", "sriov": {}}],
            "autoattachVSOCK": true,
        }},
        "volumes": [{"name": "c", "memoryDump": {"claimName": "s"}}],
    }));
    let fields: Vec<String> = unsupported(&vmi).into_iter().map(|one| one.field).collect();
    assert_eq!(
        fields,
        [
            "spec.domain.devices.autoattachVSOCK",
            "spec.domain.devices.interfaces[1].sriov",
            "spec.volumes[0].memoryDump"
        ]
    );
}

#[test]
fn what_a_machine_itself_asks_for_comes_first() {
    let vm: VirtualMachine = serde_json::from_value(json!({"spec": {
        "dataVolumeTemplates": [{"metadata": {"name": "d"}, "spec": {"source": {"blank": {}}}}], "runStrategy": "Always",
        "template": {"spec": {"domain": {"devices": {"downwardMetrics": {}}}}},
    }}))
    .unwrap();
    let fields: Vec<String> = unsupported_machine(&vm).into_iter().map(|one| one.field).collect();
    assert_eq!(fields, ["spec.dataVolumeTemplates[0]", "spec.template.spec.domain.devices.downwardMetrics"]);
}

#[test]
fn values_decide_where_only_some_work() {
    let drive = |bus: &str| {
        instance(json!({"domain": {"devices": {"disks": [{"name": "d", "cdrom": {"bus": bus}}]}}}))
    };
    assert!(unsupported(&drive("scsi")).is_empty());
    let refused = unsupported(&drive("virtio"));
    assert_eq!(refused[0].field, "spec.domain.devices.disks[0].cdrom.bus");
    assert!(refused[0].to_string().contains("\"virtio\""));
}

#[test]
fn warnings_begin_with_our_name_and_the_field() {
    let object = json!({"spec": {"template": {"spec": {"domain": {"devices": {
        "networkInterfaceMultiqueue": true, "interfaces": [{"name": "a", "masquerade": {}, "tag": "x"}],
    }}}}}});
    let pool = json!({"spec": {"virtualMachineTemplate": object}});
    for (kind, object, at) in [
        ("VirtualMachine", &object, "spec"),
        ("VirtualMachineInstanceReplicaSet", &object, "spec"),
        ("VirtualMachinePool", &pool, "spec.virtualMachineTemplate.spec"),
    ] {
        let warnings = warnings(kind, object);
        assert_eq!(warnings.len(), 2, "{kind}: {warnings:?}");
        let named = format!("ironclad: {at}.template.spec.domain.devices.");
        assert!(warnings.iter().all(|warning| warning.starts_with(&named)), "{warnings:?}");
    }
}

#[test]
fn of_the_state_that_a_pool_keeps_disks_are_all() {
    for (word, warned) in [("Disabled", 0), ("Offline", 0), ("Online", 1)] {
        let pool = json!({"spec": {"scaleInStrategy": {"proactive": {"statePreservation": word}}}});
        assert_eq!(warnings("VirtualMachinePool", &pool).len(), warned, "{word}");
    }
}
