//! What names stand for, as tables.

use api::kubevirt::v1::VirtualMachine;
use serde_json::{Value, json};

use super::*;

fn specs(instancetype: Value, preference: Value) -> Specs {
    let read = |value: Value| (!value.is_null()).then_some(value);
    Specs {
        instancetype: read(instancetype).map(|value| serde_json::from_value(value).unwrap()),
        preference: read(preference).map(|value| serde_json::from_value(value).unwrap()),
    }
}

fn machine(spec: Value) -> VirtualMachine {
    serde_json::from_value(json!({"spec": {"runStrategy": "Halted", "template": {"spec": spec}}})).unwrap()
}

fn expanded(specs: &Specs, spec: Value) -> Value {
    let vm = expand(&machine(spec), specs, &ClusterConfig::default()).unwrap();
    serde_json::to_value(vm.spec.template).unwrap()
}

fn two() -> Value {
    json!({"cpu": {"guest": 2}, "memory": {"guest": "1Gi"}})
}

#[test]
fn processors_are_spread_as_the_preference_says() {
    for (guest, cpu, topology) in [
        (8, json!({}), [8, 1, 1]),
        (3, json!({"preferredCPUTopology": "any"}), [3, 1, 1]),
        (3, json!({"preferredCPUTopology": "preferCores"}), [1, 3, 1]),
        (3, json!({"preferredCPUTopology": "threads"}), [1, 1, 3]),
        (8, json!({"preferredCPUTopology": "spread"}), [4, 2, 1]),
        (8, json!({"preferredCPUTopology": "spread", "spreadOptions": {"ratio": 4}}), [2, 4, 1]),
        (
            8,
            json!({"preferredCPUTopology": "spread", "spreadOptions": {"across": "CoresThreads"}}),
            [1, 4, 2],
        ),
        (
            8,
            json!({"preferredCPUTopology": "spread", "spreadOptions": {"across": "SocketsCoresThreads"}}),
            [2, 2, 2],
        ),
        (5, json!({"preferredCPUTopology": "spread"}), [2, 2, 1]),
    ] {
        let instancetype = json!({"cpu": {"guest": guest}, "memory": {"guest": "64Mi"}});
        let preference = json!({"cpu": cpu});
        let template = expanded(&specs(instancetype, preference), json!({"domain": {"devices": {}}}));
        let own = &template["spec"]["domain"]["cpu"];
        assert_eq!([&own["sockets"], &own["cores"], &own["threads"]], topology, "{guest} {cpu}");
    }
}

#[test]
fn what_cannot_be_spread_is_refused() {
    for (guest, options, good) in [
        (4, json!({}), true),
        (5, json!({}), false),
        (1, json!({}), false),
        (0, json!({}), false),
        (6, json!({"across": "CoresThreads"}), true),
        (3, json!({"across": "CoresThreads"}), false),
        (8, json!({"across": "SocketsCoresThreads"}), true),
        (6, json!({"across": "SocketsCoresThreads"}), false),
        (6, json!({"across": "SocketsCoresThreads", "ratio": 3}), true),
    ] {
        let specs = specs(
            json!({"cpu": {"guest": guest}, "memory": {"guest": "64Mi"}}),
            json!({"cpu": {"preferredCPUTopology": "spread", "spreadOptions": options}}),
        );
        let errors = check(&machine(json!({"domain": {"devices": {}}})), &specs, &ClusterConfig::default());
        assert_eq!(errors.is_empty(), good, "{guest} {options} {errors:?}");
        if let Some(error) = errors.first() {
            assert_eq!(error.path.as_str(), "instancetype.spec.cpu.guest");
        }
    }
}

#[test]
fn what_the_instance_type_decides_the_machine_does_not_say() {
    let full = json!({
        "cpu": {"guest": 2, "model": "x", "dedicatedCPUPlacement": true, "maxSockets": 4},
        "memory": {"guest": "1Gi", "maxGuest": "2Gi", "hugepages": {"pageSize": "2Mi"}},
        "nodeSelector": {"a": "b"}, "schedulerName": "s", "ioThreadsPolicy": "auto",
        "gpus": [{"name": "g", "deviceName": "d"}], "annotations": {"k": "v"},
    });
    for (instancetype, spec, fields) in [
        (two(), json!({"domain": {"devices": {}, "cpu": {"cores": 2}}}), vec!["domain.cpu.cores"]),
        (two(), json!({"domain": {"devices": {}, "cpu": {"model": "y"}}}), vec![]),
        (
            two(),
            json!({"domain": {"devices": {}, "resources": {"requests": {"cpu": 1}, "limits": {"memory": "2Gi"}}}}),
            vec!["domain.resources.requests.cpu", "domain.resources.limits.memory"],
        ),
        (two(), json!({"domain": {"devices": {}, "memory": {"guest": "1Gi"}}}), vec!["domain.memory.guest"]),
        (
            full.clone(),
            json!({
                "nodeSelector": {"c": "d"}, "schedulerName": "t",
                "domain": {
                    "cpu": {"model": "y", "dedicatedCpuPlacement": true},
                    "memory": {"maxGuest": "3Gi"},
                    "ioThreadsPolicy": "shared",
                    "devices": {"gpus": [{"name": "h", "deviceName": "e"}]},
                },
            }),
            vec![
                "nodeSelector",
                "schedulerName",
                "domain.cpu.model",
                "domain.cpu.dedicatedCPUPlacement",
                "domain.memory.maxGuest",
                "domain.ioThreadsPolicy",
                "domain.devices.gpus",
            ],
        ),
        (full, json!({"domain": {"devices": {}}}), vec![]),
    ] {
        let errors =
            check(&machine(spec.clone()), &specs(instancetype, Value::Null), &ClusterConfig::default());
        let told: Vec<&str> =
            errors.iter().map(|e| e.path.as_str().trim_start_matches("spec.template.spec.")).collect();
        assert_eq!(told, fields, "{spec}");
    }
}

#[test]
fn an_instance_type_gives_what_it_has() {
    let instancetype = json!({
        "cpu": {"guest": 2, "maxSockets": 6, "isolateEmulatorThread": true},
        "memory": {"guest": "1Gi", "overcommitPercent": 20},
        "annotations": {"x": "y"},
    });
    let template = expanded(&specs(instancetype, Value::Null), json!({"domain": {"devices": {}}}));
    let domain = &template["spec"]["domain"];
    assert_eq!(template["metadata"]["annotations"], json!({"x": "y"}));
    assert_eq!(domain["cpu"]["maxSockets"], 6);
    assert_eq!(domain["cpu"]["isolateEmulatorThread"], true);
    assert_eq!(domain["memory"]["guest"], "1Gi");
    assert_eq!(domain["resources"]["requests"]["memory"], "858993472");
    assert_eq!(domain["devices"]["interfaces"], json!([{"name": "default", "bridge": {}}]));
    assert_eq!(template["spec"]["evictionStrategy"], "None");
}

#[test]
fn preferences_count_where_the_machine_is_silent() {
    let devices = json!({
        "preferredDiskBus": "virtio", "preferredCdromBus": "sata", "preferredLunBus": "scsi",
        "preferredDiskCache": "none", "preferredDiskDedicatedIoThread": true, "preferredInterfaceModel": "virtio",
        "preferredInterfaceMasquerade": {}, "preferredTPM": {}, "preferredAutoattachGraphicsDevice": false,
        "preferredInputBus": "virtio", "preferredInputType": "tablet",
    });
    let preference = json!({
        "devices": devices,
        "cpu": {"preferredCPUFeatures": [{"name": "a"}, {"name": "b", "policy": "require"}]},
        "features": {"preferredAcpi": {"enabled": false}, "preferredHyperv": {"relaxed": {}, "vapic": {}}},
        "firmware": {"preferredUseEfi": true, "preferredUseSecureBoot": false},
        "clock": {"preferredClockOffset": {"timezone": "Europe/Berlin"}, "preferredTimer": {"hpet": {"present": false}}},
        "preferredSubdomain": "sub", "preferredTerminationGracePeriodSeconds": 15, "annotations": {"k": "v"},
    });
    let spec = json!({
        "volumes": [{"name": "v", "emptyDisk": {"capacity": "1Gi"}}],
        "networks": [{"name": "p", "pod": {}}, {"name": "m", "multus": {"networkName": "n"}}],
        "terminationGracePeriodSeconds": 0,
        "domain": {
            "cpu": {"features": [{"name": "b", "policy": "disable"}]},
            "features": {"hyperv": {"relaxed": {"enabled": false}}},
            "devices": {
                "disks": [{"name": "c", "cdrom": {}}, {"name": "l", "lun": {}}, {"name": "s", "disk": {"bus": "sata"}}],
                "interfaces": [{"name": "p"}, {"name": "m", "bridge": {}, "model": "e1000"}],
                "inputs": [{"name": "i", "type": "", "bus": "usb"}],
                "autoattachGraphicsDevice": true,
            },
        },
    });
    let template = expanded(&specs(Value::Null, preference), spec);
    let (spec, domain) = (&template["spec"], &template["spec"]["domain"]);
    let devices = &domain["devices"];
    let disk = |index: usize| devices["disks"][index].clone();
    assert_eq!(disk(0)["cdrom"]["bus"], "sata");
    assert_eq!(disk(1)["lun"]["bus"], "scsi");
    assert_eq!(disk(2), json!({"name": "s", "disk": {"bus": "sata"}, "cache": "none"}));
    assert_eq!(
        disk(3),
        json!({"name": "v", "disk": {"bus": "virtio"}, "cache": "none", "dedicatedIOThread": true})
    );
    assert_eq!(devices["interfaces"][0], json!({"name": "p", "masquerade": {}, "model": "virtio"}));
    assert_eq!(devices["interfaces"][1], json!({"name": "m", "bridge": {}, "model": "e1000"}));
    assert_eq!(devices["inputs"][0], json!({"name": "i", "type": "tablet", "bus": "usb"}));
    assert_eq!(devices["autoattachGraphicsDevice"], true);
    assert_eq!(devices["tpm"], json!({}));
    let features = &domain["cpu"]["features"];
    assert_eq!(*features, json!([{"name": "b", "policy": "disable"}, {"name": "a"}]));
    assert_eq!(domain["features"]["acpi"]["enabled"], false);
    assert_eq!(domain["features"]["hyperv"], json!({"relaxed": {"enabled": false}, "vapic": {}}));
    assert_eq!(domain["firmware"]["bootloader"], json!({"efi": {"secureBoot": false}}));
    assert_eq!(domain["clock"]["timezone"], "Europe/Berlin");
    assert_eq!((&spec["subdomain"], &spec["terminationGracePeriodSeconds"]), (&json!("sub"), &json!(0)));
    assert_eq!(template["metadata"]["annotations"], json!({"k": "v"}));
}

#[test]
fn the_first_requirement_that_is_not_met_is_told_of() {
    let requirements =
        json!({"requirements": {"cpu": {"guest": 2}, "memory": {"guest": "1Gi"}, "architecture": "arm64"}});
    let small = json!({"cpu": {"guest": 1}, "memory": {"guest": "1Gi"}});
    let lean = json!({"cpu": {"guest": 2}, "memory": {"guest": "1Mi"}});
    let at = "spec.template.spec";
    for (instancetype, spec, field) in [
        (small, json!({"domain": {"devices": {}}}), "spec.instancetype".to_owned()),
        (lean, json!({"domain": {"devices": {}}}), "spec.instancetype".to_owned()),
        (two(), json!({"domain": {"devices": {}}}), format!("{at}.architecture")),
        (Value::Null, json!({"domain": {"devices": {}}}), format!("{at}.domain.cpu")),
        (
            Value::Null,
            json!({"domain": {"devices": {}, "cpu": {"cores": 2}}}),
            format!("{at}.domain.cpu.sockets"),
        ),
        (
            Value::Null,
            json!({"domain": {"devices": {}, "cpu": {"sockets": 2}}}),
            format!("{at}.domain.memory"),
        ),
    ] {
        let errors = check(
            &machine(spec.clone()),
            &specs(instancetype, requirements.clone()),
            &ClusterConfig::default(),
        );
        let told: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(told, [field], "{spec}");
        assert_eq!(errors[0].problem, Problem::NotFound);
    }
    let enough = json!({
        "architecture": "arm64",
        "domain": {"devices": {}, "cpu": {"sockets": 2}, "memory": {"guest": "1Gi"}},
    });
    let met = check(&machine(enough), &specs(Value::Null, requirements), &ClusterConfig::default());
    assert_eq!(met, []);
}

#[test]
fn rules_of_the_objects() {
    for (cpu, field) in [
        (json!({"preferredCPUTopology": "sideways"}), "spec.cpu.preferredCPUTopology"),
        (json!({"spreadOptions": {"across": "Everything"}}), "spec.cpu.spreadOptions.across"),
        (json!({"spreadOptions": {"across": "CoresThreads", "ratio": 3}}), "spec.cpu.spreadOptions.ratio"),
    ] {
        let spec = serde_json::from_value(json!({"cpu": cpu})).unwrap();
        assert_eq!(check_preference(&spec)[0].path.as_str(), field);
    }
    for (memory, count) in [
        (json!({"guest": "1Gi", "overcommitPercent": 15}), 0),
        (json!({"guest": "1Gi", "overcommitPercent": 150}), 1),
        (json!({"guest": "1Gi", "overcommitPercent": 15, "hugepages": {"pageSize": "2Mi"}}), 1),
    ] {
        let spec = serde_json::from_value(json!({"cpu": {"guest": 1}, "memory": memory})).unwrap();
        assert_eq!(check_instancetype(&spec).len(), count, "{memory}");
    }
}

#[test]
fn kinds_are_read_in_any_spelling() {
    let of = |kind: Value| {
        let vm: VirtualMachine = serde_json::from_value(json!({
            "spec": {"instancetype": {"name": "a", "kind": kind}, "template": {"spec": {"domain": {"devices": {}}}}},
        }))
        .unwrap();
        instancetype(&vm)
            .map(|matcher| matcher.unwrap().scope)
            .map_err(|error| error.path.as_str().to_owned())
    };
    assert_eq!(of(Value::Null), Ok(Scope::Cluster));
    assert_eq!(of(json!("virtualmachineinstancetypes")), Ok(Scope::Namespace));
    assert_eq!(of(json!("VirtualMachineClusterInstancetype")), Ok(Scope::Cluster));
    assert_eq!(of(json!("Pod")), Err("spec.instancetype.kind".to_owned()));
}

#[test]
fn a_name_is_held_for_its_kind_only() {
    let vm = |spec: Value| -> VirtualMachine {
        serde_json::from_value(
            json!({"spec": {"runStrategy": "Halted", "template": {"spec": {}}, "instancetype": spec}}),
        )
        .unwrap()
    };
    let own = "VirtualMachineInstancetype";
    let cluster = "VirtualMachineClusterInstancetype";
    for (named, held, is_held) in [
        (json!({"name": "a"}), json!({"name": "a"}), true),
        (json!({"name": "a"}), json!({"name": "a", "kind": cluster}), true),
        (json!({"name": "a", "kind": own}), json!({"name": "a", "kind": own}), true),
        (json!({"name": "a", "kind": own}), json!({"name": "a", "kind": cluster}), false),
        (json!({"name": "a", "kind": own}), json!({"name": "a"}), false),
        (json!({"name": "a"}), json!({"name": "a", "kind": own}), false),
        (json!({"name": "a"}), json!({"name": "b"}), false),
        (json!({"name": "a"}), json!({"name": "a", "kind": "VirtualMachinePreference"}), false),
    ] {
        let matcher = instancetype(&vm(named.clone())).unwrap().unwrap();
        let mut status = held.clone();
        status["controllerRevisionRef"] = json!({"name": "r"});
        let status = serde_json::from_value(status).unwrap();
        assert_eq!(matcher.held(Some(&status)).is_some(), is_held, "{named} by {held}");
    }
}
