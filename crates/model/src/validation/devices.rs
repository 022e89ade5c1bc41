//! Rules of small and passed-through devices.

use std::collections::BTreeSet;

use api::kubevirt::v1::VirtualMachineInstanceSpec;
use machinery::field::Problem;

use super::{Errors, Scope};

pub(super) fn check(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let devices = &spec.domain.devices;
    for (index, input) in devices.inputs.iter().enumerate() {
        let at = scope.at("domain.devices.inputs").index(index);
        let bus = input.bus.as_deref().unwrap_or_default();
        if !["", "virtio", "usb"].contains(&bus) {
            errors.invalid(at.child("bus"), bus, "write virtio or usb");
        }
        if input.type_ != "tablet" {
            errors.invalid(at.child("type"), input.type_.as_str(), "write tablet");
        }
    }
    if let Some(sound) = &devices.sound {
        if sound.name.is_empty() {
            errors.invalid(scope.at("Sound"), "", "give the sound device a name");
        }
        let model = sound.model.as_deref().unwrap_or_default();
        if !["", "ich9", "ac97"].contains(&model) {
            errors.invalid(scope.at("Sound"), model, "write ich9 or ac97");
        }
    }
    if !devices.host_devices.is_empty() && !scope.config.gate("HostDevices") {
        errors.gate(scope.at("HostDevices"), devices.host_devices.len(), "HostDevices");
    }
    let framebuffers = devices
        .gpus
        .iter()
        .filter(|gpu| {
            let display = gpu.virtual_gpu_options.as_ref().and_then(|options| options.display.as_ref());
            display.is_some_and(|display| {
                display.enabled != Some(false)
                    && display.ram_fb.as_ref().is_none_or(|state| state.enabled != Some(false))
            })
        })
        .count();
    if framebuffers > 1 {
        errors.invalid(
            scope.at("GPUs"),
            framebuffers,
            "only one GPU can show the first picture; switch ramFB off on the others",
        );
    }
    claims(scope, spec, errors);
    gated(scope, spec, errors);
    filesystems(scope, spec, errors);
}

/// Devices by resource claim.
fn claims(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let devices = &spec.domain.devices;
    let gpus: Vec<_> =
        devices.gpus.iter().map(|gpu| (&gpu.device_name, &gpu.claim_name, &gpu.request_name)).collect();
    let host: Vec<_> = devices
        .host_devices
        .iter()
        .map(|device| (&device.device_name, &device.claim_name, &device.request_name))
        .collect();
    let listed: BTreeSet<&str> = spec.resource_claims.iter().map(|claim| claim.name.as_str()).collect();
    let set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let mut unlisted = false;
    for (field, gate, list) in [("gpus", "GPUsWithDRA", gpus), ("hostDevices", "HostDevicesWithDRA", host)] {
        let at = scope.at("domain.devices").child(field);
        let claimed = list.iter().filter(|(_, claim, _)| set(claim)).count();
        if claimed == 0 {
            continue;
        }
        if !scope.config.gate(gate) {
            errors.gate(at.clone(), claimed, gate);
            continue;
        }
        if claimed < list.len() {
            errors.invalid(at.clone(), claimed, "either all devices here come by claim, or none");
        }
        let mut pairs = BTreeSet::new();
        for (index, (_, claim, request)) in list.iter().enumerate().filter(|(_, (_, claim, _))| set(claim)) {
            if !set(request) {
                errors.add(
                    Problem::Required,
                    at.index(index).child("requestName"),
                    (),
                    "name the request of the claim",
                );
            }
            if !pairs.insert((claim, request)) {
                errors.add(
                    Problem::Duplicate,
                    at.index(index),
                    claim.as_deref().unwrap_or_default(),
                    "another device has the same claim and request",
                );
            }
            unlisted |= !claim.as_deref().is_some_and(|claim| listed.contains(claim));
        }
    }
    if unlisted {
        errors.invalid(scope.at("resourceClaims"), listed.len(), "list every claim that a device uses");
    }
}

/// Features that wait behind gates.
fn gated(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let devices = &spec.domain.devices;
    if devices.autoattach_vsock == Some(true) && !scope.config.gate("VSOCK") {
        errors.gate(scope.at("domain.devices.autoattachVSOCK"), true, "VSOCK");
    }
    if let Some(video) = &devices.video {
        let kind = video.type_.as_deref().unwrap_or_default();
        if !scope.config.gate("VideoConfig") {
            errors.gate(scope.at("video"), kind, "VideoConfig");
        } else if devices.autoattach_graphics_device == Some(false) {
            errors.invalid(
                scope.at("video"),
                kind,
                "the machine has no graphics (autoattachGraphicsDevice: false)",
            );
        }
    }
    if !devices.panic_devices.is_empty() {
        let at = scope.at("domain.devices.panicDevices");
        if !scope.config.gate("PanicDevices") {
            errors.gate(at, devices.panic_devices.len(), "PanicDevices");
        } else if spec.architecture.as_deref() == Some("s390x") {
            errors.invalid(at, devices.panic_devices.len(), "s390x has no such devices");
        } else {
            for (index, device) in devices.panic_devices.iter().enumerate() {
                let model = device.model.as_deref().unwrap_or_default();
                if !["", "isa", "hyperv", "pvpanic"].contains(&model) {
                    errors.invalid(
                        at.index(index).child("model"),
                        model,
                        "write one of isa, hyperv, pvpanic",
                    );
                }
            }
        }
    }
    if let Some(policy) = spec.domain.reboot_policy.as_deref().filter(|policy| !policy.is_empty()) {
        let at = scope.at("domain.rebootPolicy");
        if !scope.config.gate("RebootPolicy") {
            errors.gate(at, policy, "RebootPolicy");
        } else if !["Reboot", "Terminate"].contains(&policy) {
            errors.invalid(at, policy, "write Reboot or Terminate");
        }
    }
    if devices.downward_metrics.is_some() && !scope.config.gate("DownwardMetrics") {
        errors.gate(scope.at("domain.devices.downwardMetrics"), (), "DownwardMetrics");
    }
}

fn filesystems(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    for (index, filesystem) in spec.domain.devices.filesystems.iter().enumerate() {
        let storage = spec.volumes.iter().any(|volume| {
            volume.name == filesystem.name
                && (volume.persistent_volume_claim.is_some() || volume.data_volume.is_some())
        });
        if storage && !scope.config.gate("EnableVirtioFsStorageVolumes") {
            errors.gate(
                scope.at("domain.devices.filesystems").index(index),
                filesystem.name.as_str(),
                "EnableVirtioFsStorageVolumes",
            );
        }
    }
}
