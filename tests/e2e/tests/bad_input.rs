//! Manifests with mistakes: each is refused with field, value and remedy, when it is written or before it starts, and
//! none of them disturbs anybody else.

use std::time::Duration;

use e2e::{BLANK, blank, container_disk, machine};
use kit::{Installation, Options, until, until_some};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);

/// A stopped or started machine with a disk and an interface, changed at one place of its template's specification.
fn manifest(name: &str, strategy: &str, pointer: &str, value: &Value) -> String {
    let mut machine = json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": {"runStrategy": strategy, "template": {"spec": {
            "terminationGracePeriodSeconds": 0,
            "domain": {
                "cpu": {},
                "firmware": {},
                "memory": {"guest": "64Mi"},
                "devices": {
                    "disks": [{"name": "d", "disk": {"bus": "virtio"}}],
                    "interfaces": [{"name": "default", "masquerade": {}}],
                },
            },
            "networks": [{"name": "default", "pod": {}}],
            "volumes": [{"name": "d", "containerDisk": {"image": BLANK}}],
        }}},
    });
    let (above, field) = pointer.rsplit_once('/').expect("a pointer has a slash");
    let above = machine.pointer_mut(&format!("/spec/template/spec{above}")).expect("the manifest has it");
    above[field] = value.clone();
    machine.to_string()
}

#[test]
fn mistakes_are_named_with_field_value_and_remedy() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    let volume = |source: Value| {
        let mut volume = json!({"name": "d"});
        volume.as_object_mut().expect("an object").extend(source.as_object().expect("an object").clone());
        json!([volume])
    };
    // Refused when they are written. Each answer names the field, and the value or what is wrong with it.
    let refused = [
        ("/domain/cpuu", json!({"cores": 1}), "unknown field", "domain.cpuu"),
        ("/domain/cpu", json!({"cores": "two"}), "two", "domain.cpu.cores"),
        ("/domain/cpu", json!({"cores": -1}), "-1", "cores"),
        ("/volumes", json!("none"), "none", "spec.template.spec.volumes"),
        ("/domain/memory/guest", json!("64 megabytes"), "64 megabytes", "domain.memory.guest"),
        ("/domain/devices/disks", json!([{"name": "d"}, {"name": "d"}]), "same name", "disks[1].name"),
        ("/domain/devices/disks", json!([{"name": "x"}]), "no volume has this name", "disks[0].name"),
        ("/volumes", volume(json!({})), "one source", "volumes[0]"),
        (
            "/volumes",
            volume(json!({"cloudInitNoCloud": {"userDataBase64": "%"}})),
            "base64",
            "volumes[0].cloudInitNoCloud.userDataBase64",
        ),
        ("/volumes", volume(json!({"emptyDisk": {"capacity": "lots"}})), "lots", "emptyDisk.capacity"),
    ];
    for (pointer, value, what, field) in &refused {
        let manifest = manifest("refused", "Halted", pointer, value);
        let output = installation.kubectl_with(&["apply", "-f", "-"], Some(&manifest));
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(!output.success && said.contains(field) && said.contains(what), "{pointer} {value}: {said}");
    }
    // Let in, because clients of the API expect it: a warning, and a condition instead of a machine.
    let let_in = [
        ("/domain/memory/guest", json!("0"), "domain.memory.guest"),
        ("/domain/memory/guest", json!("-64Mi"), "domain.memory.guest"),
        ("/domain/memory/guest", json!("1"), "domain.memory.guest"),
        ("/domain/cpu", json!({"cores": 4_294_967_295_u32, "sockets": 4_294_967_295_u32}), "domain.cpu"),
        ("/domain/firmware/uuid", json!("abc"), "domain.firmware.uuid"),
        ("/volumes", volume(json!({"emptyDisk": {"capacity": "0"}})), "volumes[0].emptyDisk.capacity"),
        ("/terminationGracePeriodSeconds", json!(-5), "terminationGracePeriodSeconds"),
        (
            "/domain/firmware/kernelBoot",
            json!({"container": {"image": BLANK, "kernelPath": "/k"}, "kernelArgs": "x".repeat(200_000)}),
            "domain.firmware.kernelBoot.kernelArgs",
        ),
    ];
    for (index, (pointer, value, field)) in let_in.iter().enumerate() {
        let name = format!("let-in-{index}");
        let manifest = manifest(&name, "Always", pointer, value);
        let output = installation.kubectl_with(&["apply", "-f", "-"], Some(&manifest));
        assert!(output.success, "{pointer} {value}: {}", output.stderr);
        let warning = format!("ironclad: spec.template.spec.{field} keeps the machine from starting");
        assert!(output.stderr.contains(&warning), "{pointer} {value}: {}", output.stderr);
        let told = until_some(&format!("{name} says what is wrong"), PATIENCE, || {
            installation.condition("vm", &name, "Unsupported")
        });
        assert!(told.contains(field) && told.contains("write") || told.contains("lower"), "{name}: {told}");
    }
    // Let in too: the memory of a machine that runs may be lowered.
    let low = manifest("low", "Always", "/domain/resources", &json!({"limits": {"memory": "32Mi"}}));
    let output = installation.kubectl_with(&["apply", "-f", "-"], Some(&low));
    let problem =
        "domain.resources.limits.memory is 32Mi, less than the guest's memory, 64Mi; raise it to 64Mi";
    assert!(output.success && output.stderr.contains(problem), "{}", output.stderr);
    let told =
        until_some("the machine says so", PATIENCE, || installation.condition("vm", "low", "Synchronized"));
    assert!(told.contains(problem), "{told}");
    // Too much for this node, but not for every node.
    installation.apply(&manifest("large", "Always", "/domain/memory/guest", &json!("100Ti")));
    // It may say first that there is no node yet.
    until("the machine says that no node is large enough", PATIENCE, || {
        installation.condition("vm", "large", "PodScheduled").is_some_and(|told| told.contains("memory"))
    });
    let large = installation.get("vm", "default", "large").expect("it is there");
    assert_eq!(large["status"]["printableStatus"], "ErrorUnschedulable");

    // A mistake that is mended is forgotten, and nobody else is disturbed.
    installation.apply(&machine("other", &container_disk(BLANK)));
    installation.apply(&manifest("let-in-0", "Always", "/domain/memory/guest", &json!("64Mi")));
    installation.kubectl(&["delete", "vmi", "let-in-0"]).expect("starting it anew");
    for name in ["other", "let-in-0"] {
        until(&format!("{name} runs"), PATIENCE, || {
            installation
                .get("vm", "default", name)
                .is_some_and(|vm| vm["status"]["printableStatus"] == "Running")
        });
    }
}
