//! The launcher Pod, as YAML, and what it asks for in the reference's own examples.

use api::kubevirt::v1::VirtualMachineInstance;
use plan::vmi::launcher::{self, Config};
use serde_json::{Value, json};

fn config() -> Config {
    Config {
        image: "ironclad.local/virt-launcher:1.0".into(),
        machine_type_labels: true,
        ..Config::default()
    }
}

fn instance(spec: Value) -> VirtualMachineInstance {
    serde_json::from_value(json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "uid": "0f5a9d8e-3a1c-4f2b-9d7e-1b2c3d4e5f60",
            "labels": {"app": "web"},
            "annotations": {"kubevirt.io/latest-observed-api-version": "v1", "team": "blue"},
        },
        "spec": spec,
    }))
    .unwrap()
}

#[test]
fn launcher_pod() {
    let vmi = instance(json!({
        "architecture": "amd64",
        "nodeSelector": {"zone": "a"},
        "terminationGracePeriodSeconds": 60,
        "domain": {
            "cpu": {"cores": 2},
            "memory": {"guest": "1Gi"},
            "machine": {"type": "q35"},
            "firmware": {"kernelBoot": {"container": {
                "image": "ironclad.local/guest-kernel:1", "kernelPath": "/boot/vmlinuz", "imagePullSecret": "registry",
            }}},
            "devices": {
                "disks": [{"name": "root", "disk": {"bus": "virtio"}}],
                "interfaces": [{"name": "default", "masquerade": {}}],
            },
        },
        "networks": [{"name": "default", "pod": {}}],
        "volumes": [
            {"name": "root", "containerDisk": {"image": "ironclad.local/guest:1", "imagePullPolicy": "IfNotPresent"}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "seed", "cloudInitNoCloud": {"secretRef": {"name": "seed"}}},
        ],
    }));
    let name = plan::name::launcher_pod("web", "0f5a9d8e-3a1c-4f2b-9d7e-1b2c3d4e5f60");
    insta::with_settings!({
        snapshot_path => ".", prepend_module_to_snapshot => false, omit_expression => true,
    }, {
        insta::assert_yaml_snapshot!("launcher-pod", launcher::pod(&vmi, &name, None, &config()));
    });
}

/// What the reference answered for the same specifications, less 140 MiB that it counts for programs which are not here.
#[test]
fn resources_are_the_references() {
    let devices = ["devices.kubevirt.io/kvm", "devices.kubevirt.io/tun", "devices.kubevirt.io/vhost-net"];
    for (case, domain, requests, limits) in [
        (
            "cores",
            json!({"memory": {"guest": "1Gi"}, "cpu": {"cores": 3}}),
            json!({"cpu": "300m", "memory": "1168Mi"}),
            json!({}),
        ),
        (
            "limits",
            json!({"memory": {"guest": "128Mi"}, "resources": {
                "requests": {"memory": "1Gi", "cpu": "500m"}, "limits": {"memory": "2Gi", "cpu": "2"},
            }}),
            json!({"cpu": "500m", "memory": "1162Mi"}),
            json!({"cpu": "2", "memory": "2326Mi"}),
        ),
        (
            "dedicated",
            json!({"memory": {"guest": "128Mi"}, "cpu": {"cores": 2, "dedicatedCpuPlacement": true}}),
            json!({"cpu": "2", "memory": "504Mi"}),
            json!({"cpu": "2", "memory": "504Mi"}),
        ),
        (
            "hugepages",
            json!({"memory": {"guest": "64Mi", "hugepages": {"pageSize": "2Mi"}}}),
            json!({"cpu": "100m", "memory": "128Mi", "hugepages-2Mi": "64Mi"}),
            json!({"hugepages-2Mi": "64Mi"}),
        ),
        (
            "overcommit",
            json!({"memory": {"guest": "1Gi"}, "resources": {"overcommitGuestOverhead": true}}),
            json!({"cpu": "100m", "memory": "1Gi"}),
            json!({}),
        ),
        (
            "no graphics",
            json!({"memory": {"guest": "128Mi"}, "devices": {"autoattachGraphicsDevice": false}}),
            json!({"cpu": "100m", "memory": "224Mi"}),
            json!({}),
        ),
        (
            "I/O threads",
            json!({"memory": {"guest": "128Mi"}, "ioThreadsPolicy": "shared"}),
            json!({"cpu": "100m", "memory": "256Mi"}),
            json!({}),
        ),
    ] {
        let pod = launcher::pod(&instance(json!({ "domain": domain })), "p", None, &config());
        let spec = pod.spec.unwrap();
        let resources = serde_json::to_value(spec.containers[0].resources.as_ref().unwrap()).unwrap();
        let (mut wanted_requests, mut wanted_limits) = (requests, limits);
        wanted_requests["ephemeral-storage"] = json!("50M");
        for device in devices {
            wanted_requests[device] = json!("1");
            wanted_limits[device] = json!("1");
        }
        assert_eq!(resources["requests"], wanted_requests, "{case}");
        assert_eq!(resources["limits"], wanted_limits, "{case}");
    }
}

#[test]
fn limits_are_found_for_machines_that_name_none() {
    let automatic = launcher::AutomaticLimits { cpu: true, memory: Some(1.5) };
    let config = Config { automatic_limits: automatic, use_emulation: true, ..config() };
    let limits = |domain: Value| {
        let pod = launcher::pod(&instance(json!({ "domain": domain })), "p", None, &config);
        let resources = serde_json::to_value(pod.spec.unwrap().containers[0].resources.as_ref().unwrap());
        let mut limits = resources.unwrap()["limits"].take();
        limits.as_object_mut().unwrap().remove("devices.kubevirt.io/tun");
        limits
    };
    let cpu = json!({"sockets": 2, "cores": 2});
    // Of 256 MiB that are asked for: what the quota then counts is what the Pod may use.
    let devices = json!({"autoattachGraphicsDevice": false});
    let memory = json!({"guest": "136Mi"});
    assert_eq!(
        limits(json!({"memory": memory, "cpu": cpu, "devices": devices})),
        json!({"cpu": "4", "memory": "384Mi"})
    );
    let own = json!({"limits": {"cpu": "1", "memory": "256Mi"}});
    let limited = limits(json!({"memory": memory, "cpu": cpu, "devices": devices, "resources": own}));
    assert_eq!(limited, json!({"cpu": "1", "memory": "516Mi"}), "its own stay, with what the launcher needs");
}

#[test]
fn what_outlives_the_instance_is_in_a_claim_of_the_machines() {
    let kept = json!({"domain": {
        "memory": {"guest": "64Mi"},
        "firmware": {"bootloader": {"efi": {"secureBoot": false, "persistent": true}}},
        "devices": {"logSerialConsole": false},
    }});
    let vmi = instance(kept);
    let name = vmi.metadata.name.clone().unwrap();
    let classed = Config { state_storage_class: Some("fast".to_owned()), ..config() };
    let claim = serde_json::to_value(launcher::state_claim(&vmi, &classed).unwrap()).unwrap();
    assert_eq!(claim["metadata"]["generateName"], format!("persistent-state-for-{name}-"));
    assert_eq!(claim["metadata"]["labels"], json!({"persistent-state-for": name}));
    assert_eq!(claim["metadata"]["ownerReferences"][0]["kind"], "VirtualMachineInstance");
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "10Mi");
    let pod = launcher::pod(&vmi, "p", Some("persistent-state-for-web-x"), &config());
    let spec = serde_json::to_value(pod.spec.unwrap()).unwrap();
    let volume =
        json!({"name": "vm-state", "persistentVolumeClaim": {"claimName": "persistent-state-for-web-x"}});
    assert!(spec["volumes"].as_array().unwrap().contains(&volume), "{spec:#}");
    let mount = json!({"name": "vm-state", "mountPath": "/var/run/kubevirt-private/vm-state"});
    assert!(spec["containers"][0]["volumeMounts"].as_array().unwrap().contains(&mount), "{spec:#}");
    assert_eq!(spec.get("initContainers"), None, "its console is not logged");

    let usual = instance(json!({"domain": {"memory": {"guest": "64Mi"}, "devices": {"tpm": {}}}}));
    assert_eq!(launcher::state_claim(&usual, &config()), None);
}

#[test]
fn emulation_asks_for_no_accelerator() {
    let config = Config { use_emulation: true, ..config() };
    let pod = launcher::pod(&instance(json!({"domain": {"memory": {"guest": "64Mi"}}})), "p", None, &config);
    let spec = pod.spec.unwrap();
    let limits = spec.containers[0].resources.as_ref().unwrap().limits.as_ref().unwrap();
    assert_eq!(limits.keys().collect::<Vec<_>>(), ["devices.kubevirt.io/tun"]);
}

#[test]
fn the_installation_says_how_launchers_are_made() {
    let configuration = json!({
        "defaultRuntimeClass": "fast",
        "imagePullPolicy": "Always",
        "additionalGuestMemoryOverheadRatio": "2",
        "architectureConfiguration": {"defaultArchitecture": "arm64"},
        "supportContainerResources": [
            {"type": "guest-console-log", "resources": {"requests": {"cpu": "7m"}, "limits": {"memory": "70M"}}},
        ],
        "developerConfiguration": {
            "useEmulation": true, "cpuAllocationRatio": 2, "memoryOvercommit": 200,
            "nodeSelectors": {"example.test/pool": "machines"},
        },
    });
    let config = config().configured(&serde_json::from_value(configuration).unwrap());
    let domain = json!({"memory": {"guest": "1Gi"}, "cpu": {"sockets": 4}});
    let pod = launcher::pod(&instance(json!({ "domain": domain })), "p", None, &config);
    let spec = serde_json::to_value(pod.spec.unwrap()).unwrap();
    assert_eq!(spec["runtimeClassName"], "fast");
    assert_eq!(spec["nodeSelector"]["example.test/pool"], "machines");
    assert_eq!(spec["nodeSelector"]["kubernetes.io/arch"], "arm64");
    let (compute, console) = (&spec["containers"][0], &spec["initContainers"][0]);
    assert_eq!(
        (&compute["imagePullPolicy"], &console["imagePullPolicy"]),
        (&json!("Always"), &json!("Always"))
    );
    assert_eq!(compute["resources"]["requests"]["cpu"], "2");
    // Half of the guest's memory, and twice the usual 152 MiB beside it.
    assert_eq!(compute["resources"]["requests"]["memory"], "816Mi");
    assert!(compute["resources"]["limits"].get("devices.kubevirt.io/kvm").is_none());
    assert_eq!(console["resources"], json!({"requests": {"cpu": "7m"}, "limits": {"memory": "70M"}}));
}

#[test]
fn what_the_installation_leaves_open_stays() {
    let base = Config { use_emulation: true, cpu_allocation_ratio: 3, ..config() };
    assert_eq!(base.configured(&api::kubevirt::v1::KubeVirtConfiguration::default()), base);
    let zero = json!({"developerConfiguration": {"cpuAllocationRatio": 0, "memoryOvercommit": -1}});
    assert_eq!(base.configured(&serde_json::from_value(zero).unwrap()), base);
}
