//! Values that the API lets in and that no machine can have.
//!
//! Admission refuses what clients of the API expect it to refuse; some values beyond that, such as a memory of 0, have
//! always been let in. They are treated like a field that is refused at start: a warning when the object is written,
//! and a condition that names field, value and remedy instead of a machine.

use api::kubevirt::v1::VirtualMachineInstanceSpec;

use super::Unsupported;
use crate::amount;
use crate::resources::topology;

/// Least memory that firmware runs in.
const LEAST_MEMORY: u64 = 1 << 20;
/// Most memory that a processor of any supported instruction set can address.
const MOST_MEMORY: u64 = 1 << 52;
/// Most virtual processors of the machine types there are.
const MOST_PROCESSORS: u32 = 4096;
/// Instruction sets that a machine can have, as the API names them.
const ARCHITECTURES: [&str; 5] = ["", "amd64", "arm64", "riscv64", "s390x"];

/// Returns the values of a specification at `base` (`spec`, or `spec.template.spec`) that keep it from starting.
pub(super) fn impossible(base: &str, spec: &VirtualMachineInstanceSpec) -> Vec<Unsupported> {
    let mut out = Vec::new();
    let mut refuse = |path: String, value: &str, reason: &'static str, remedy: &'static str| {
        out.push(Unsupported {
            field: format!("{base}.{path}"),
            value: format!("{value:?}"),
            reason,
            remedy,
        });
    };
    memory(spec, &mut refuse);
    processors(spec, &mut refuse);
    if let Some(name) = spec.architecture.as_deref().filter(|name| !ARCHITECTURES.contains(name)) {
        refuse(
            "architecture".to_owned(),
            name,
            "there is no such instruction set",
            "write one of amd64, arm64, riscv64, s390x, or leave it out",
        );
    }
    let firmware = spec.domain.firmware.as_ref();
    if let Some(uuid) = firmware.and_then(|firmware| firmware.uuid.as_deref())
        && !uuid.is_empty()
        && uuid::Uuid::try_parse(uuid).is_err()
    {
        refuse(
            "domain.firmware.uuid".to_owned(),
            uuid,
            "this is no UUID",
            "write one such as 5d307ca9-b3ef-428c-8861-06e72d69f223, or leave it out to get one",
        );
    }
    for (index, interface) in spec.domain.devices.interfaces.iter().enumerate() {
        if let Some(mac) = interface.mac_address.as_deref().filter(|mac| is_group(mac)) {
            refuse(
                format!("domain.devices.interfaces[{index}].macAddress"),
                mac,
                "this address is a group's, which no interface can have",
                "write one whose first pair is even, for example 02:00:00:00:00:01",
            );
        }
    }
    for (index, volume) in spec.volumes.iter().enumerate() {
        if volume.container_disk.as_ref().is_some_and(|disk| disk.image.is_empty()) {
            refuse(
                format!("volumes[{index}].containerDisk.image"),
                "",
                "no image is named",
                "write REGISTRY/NAME:TAG, or the name of one that `ironclad image list` shows",
            );
        }
        if let Some(disk) = &volume.empty_disk
            && amount::bytes(&disk.capacity).is_none_or(|bytes| bytes == 0)
        {
            refuse(
                format!("volumes[{index}].emptyDisk.capacity"),
                disk.capacity.as_str(),
                "a disk has at least one byte",
                "write a size, for example 2Gi",
            );
        }
    }
    arguments(spec, &mut refuse);
    if let Some(seconds) = spec.termination_grace_period_seconds.filter(|seconds| *seconds < 0) {
        refuse(
            "terminationGracePeriodSeconds".to_owned(),
            &seconds.to_string(),
            "time does not run backwards",
            "write 0 to end the guest at once, or the seconds that it may take",
        );
    }
    out
}

fn memory(
    spec: &VirtualMachineInstanceSpec,
    refuse: &mut impl FnMut(String, &str, &'static str, &'static str),
) {
    let domain = &spec.domain;
    let guest = domain.memory.as_ref().and_then(|memory| memory.guest.as_ref());
    let request = domain.resources.requests.get("memory");
    let limit = domain.resources.limits.get("memory");
    let given = [
        ("domain.memory.guest", guest),
        ("domain.resources.requests.memory", request),
        ("domain.resources.limits.memory", limit),
    ];
    // The first that is there decides how much memory the guest has; a limit of 0 limits nothing.
    let Some((path, amount)) = given.into_iter().find_map(|(path, amount)| Some((path, amount?))) else {
        return;
    };
    let bytes = amount::bytes(amount).unwrap_or(0);
    if bytes < LEAST_MEMORY && !(bytes == 0 && path.ends_with("limits.memory")) {
        refuse(
            path.to_owned(),
            amount.as_str(),
            "no machine runs in less than 1Mi of memory",
            "write for example 1Gi",
        );
    } else if bytes > MOST_MEMORY {
        refuse(
            path.to_owned(),
            amount.as_str(),
            "no processor can address more than 4Pi of memory",
            "write for example 1Gi",
        );
    }
}

fn processors(
    spec: &VirtualMachineInstanceSpec,
    refuse: &mut impl FnMut(String, &str, &'static str, &'static str),
) {
    let count = topology(&spec.domain).count();
    if count <= MOST_PROCESSORS {
        return;
    }
    let given =
        spec.domain.cpu.as_ref().is_some_and(|cpu| {
            [cpu.sockets, cpu.cores, cpu.threads].into_iter().flatten().any(|part| part > 0)
        });
    let path = if given { "domain.cpu" } else { "domain.resources" };
    let value = if count == u32::MAX {
        "over 4 thousand million processors".to_owned()
    } else {
        format!("{count} processors")
    };
    refuse(
        path.to_owned(),
        &value,
        "a machine has at most 4096 virtual processors",
        "lower sockets, cores or threads",
    );
}

/// Bytes of arguments that a Linux kernel takes: with one more, one for x86 does not start, and others lose the end of
/// them.
fn longest_arguments(architecture: Option<&str>) -> usize {
    if architecture == Some("s390x") { 4095 } else { 2047 }
}

fn arguments(
    spec: &VirtualMachineInstanceSpec,
    refuse: &mut impl FnMut(String, &str, &'static str, &'static str),
) {
    let boot = spec.domain.firmware.as_ref().and_then(|firmware| firmware.kernel_boot.as_ref());
    let length = boot.and_then(|boot| boot.kernel_args.as_deref()).map_or(0, str::len);
    if length > longest_arguments(spec.architecture.as_deref()) {
        refuse(
            "domain.firmware.kernelBoot.kernelArgs".to_owned(),
            &format!("{length} bytes"),
            "a kernel takes 2047 bytes of arguments at most, and 4095 on s390x",
            "write fewer, or give the guest what it needs by cloud-init",
        );
    }
}

/// Tells whether a hardware address is one of many interfaces: the lowest bit of its first byte is set.
fn is_group(mac: &str) -> bool {
    let first = mac.split([':', '-', '.']).next().and_then(|pair| u16::from_str_radix(pair, 16).ok());
    first.is_some_and(|first| first & 1 == 1) && mac.split([':', '-']).count() == 6
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn refused(spec: Value) -> Vec<String> {
        let mut spec = spec;
        if spec.get("domain").is_none() {
            spec["domain"] = json!({});
        }
        if spec["domain"].get("devices").is_none() {
            spec["domain"]["devices"] = json!({});
        }
        let spec: VirtualMachineInstanceSpec = serde_json::from_value(spec).unwrap();
        impossible("spec", &spec).into_iter().map(|one| one.field).collect()
    }

    #[test]
    fn values_that_no_machine_can_have_are_named() {
        let memory = |amount: &str| json!({"domain": {"memory": {"guest": amount}}});
        let disk = |amount: &str| json!({"volumes": [{"name": "d", "emptyDisk": {"capacity": amount}}]});
        let mac =
            |mac: &str| json!({"domain": {"devices": {"interfaces": [{"name": "d", "macAddress": mac}]}}});
        let boot = |architecture: Option<&str>, length: usize| {
            let boot = json!({"kernelArgs": "x".repeat(length)});
            json!({"architecture": architecture, "domain": {"firmware": {"kernelBoot": boot}}})
        };
        for (spec, field) in [
            (memory("0"), "spec.domain.memory.guest"),
            (memory("-64Mi"), "spec.domain.memory.guest"),
            (memory("1500m"), "spec.domain.memory.guest"),
            (memory("7E"), "spec.domain.memory.guest"),
            (
                json!({"domain": {"resources": {"requests": {"memory": "0"}}}}),
                "spec.domain.resources.requests.memory",
            ),
            (json!({"domain": {"cpu": {"cores": 100_000}}}), "spec.domain.cpu"),
            (
                json!({"domain": {"cpu": {"cores": u32::MAX, "sockets": u32::MAX, "threads": u32::MAX}}}),
                "spec.domain.cpu",
            ),
            (json!({"domain": {"resources": {"requests": {"cpu": "5k"}}}}), "spec.domain.resources"),
            (json!({"architecture": "z80"}), "spec.architecture"),
            (json!({"domain": {"firmware": {"uuid": "abc"}}}), "spec.domain.firmware.uuid"),
            (mac("01:00:5e:00:00:01"), "spec.domain.devices.interfaces[0].macAddress"),
            (disk("0"), "spec.volumes[0].emptyDisk.capacity"),
            (disk("-1Gi"), "spec.volumes[0].emptyDisk.capacity"),
            (
                json!({"volumes": [{"name": "d", "containerDisk": {"image": ""}}]}),
                "spec.volumes[0].containerDisk.image",
            ),
            (json!({"terminationGracePeriodSeconds": -5}), "spec.terminationGracePeriodSeconds"),
            (boot(None, 2048), "spec.domain.firmware.kernelBoot.kernelArgs"),
            (boot(Some("s390x"), 4096), "spec.domain.firmware.kernelBoot.kernelArgs"),
        ] {
            assert_eq!(refused(spec.clone()), [field], "{spec}");
        }
    }

    #[test]
    fn what_is_possible_is_left_alone() {
        for spec in [
            json!({"domain": {"memory": {"guest": "1Mi"}}}),
            json!({"domain": {"memory": {"guest": "100Ti"}}}),
            json!({"domain": {"cpu": {"cores": 0}}}),
            json!({"domain": {"cpu": {"cores": 4096}}}),
            json!({"domain": {"resources": {"limits": {"memory": "0"}}}}),
            json!({"domain": {"devices": {"interfaces": [{"name": "d", "macAddress": "02:00:00:00:00:01"}]}}}),
            json!({"domain": {"firmware": {"uuid": "5d307ca9-b3ef-428c-8861-06e72d69f223"}}}),
            json!({"architecture": "amd64", "terminationGracePeriodSeconds": 0}),
            json!({"volumes": [{"name": "d", "emptyDisk": {"capacity": "1"}}]}),
        ] {
            assert_eq!(refused(spec.clone()), Vec::<String>::new(), "{spec}");
        }
    }
}
