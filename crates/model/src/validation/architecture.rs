//! Rules of one architecture, for instances: a template may still be waiting for its own.

use api::kubevirt::v1::VirtualMachineInstanceSpec;
use machinery::field::Problem;

use super::{Errors, Scope};

pub(super) fn spec(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    match scope.config.architecture(spec.architecture.as_deref()) {
        "amd64" => amd64(scope, spec, errors),
        "arm64" => arm64(scope, spec, errors),
        "s390x" => s390x(scope, spec, errors),
        "riscv64" => {}
        other => errors.invalid(scope.at("architecture"), other, "write one of amd64, arm64, riscv64, s390x"),
    }
    video(scope, spec, errors);
}

fn amd64(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    if spec.domain.devices.watchdog.as_ref().is_some_and(|watchdog| watchdog.diag288.is_some()) {
        errors.add(
            Problem::NotSupported,
            scope.at("domain.devices.watchdog"),
            "diag288",
            "amd64 has the watchdog i6300esb",
        );
    }
}

fn arm64(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let domain = &spec.domain;
    let unsupported = |errors: &mut Errors, field: &str, value: &str, rule: &str| {
        errors.add(Problem::NotSupported, scope.at(field), value, rule);
    };
    let loader = domain.firmware.as_ref().and_then(|firmware| firmware.bootloader.as_ref());
    if loader.is_some_and(|loader| loader.bios.is_some()) {
        unsupported(errors, "domain.firmware.bootloader.bios", "bios", "arm64 starts from UEFI; set efi");
    }
    if let Some(cpu) = &domain.cpu {
        let model = cpu.model.as_deref().unwrap_or_default();
        if !["", "host-passthrough"].contains(&model) {
            unsupported(errors, "domain.cpu.model", model, "arm64 has the model host-passthrough");
        }
        if cpu.dedicated_cpu_placement == Some(true) && cpu.threads.is_some_and(|threads| threads > 1) {
            errors.invalid(scope.at("domain.cpu.threads"), cpu.threads, "arm64 has one thread in each core");
        }
    }
    for (index, disk) in domain.devices.disks.iter().enumerate() {
        let targets = [
            ("disk", disk.disk.as_ref().and_then(|disk| disk.bus.as_deref())),
            ("lun", disk.lun.as_ref().and_then(|lun| lun.bus.as_deref())),
            ("cdrom", disk.cdrom.as_ref().and_then(|cdrom| cdrom.bus.as_deref())),
        ];
        for (kind, bus) in targets {
            let Some(bus) = bus.filter(|bus| !bus.is_empty()) else {
                continue;
            };
            let allowed = matches!(bus, "virtio" | "scsi") || (kind == "cdrom" && bus == "usb");
            if !allowed {
                let field = format!("domain.devices.disks[{index}].{kind}.bus");
                unsupported(errors, &field, bus, "arm64 has the buses virtio and scsi");
            }
        }
    }
    if domain.devices.watchdog.is_some() {
        unsupported(errors, "domain.devices.watchdog", "watchdog", "arm64 has no watchdog; remove it");
    }
    if domain.devices.sound.is_some() {
        unsupported(errors, "domain.devices.sound", "sound", "arm64 has no sound device; remove it");
    }
}

fn s390x(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    if spec.domain.devices.watchdog.as_ref().is_some_and(|watchdog| watchdog.i6300esb.is_some()) {
        errors.add(
            Problem::NotSupported,
            scope.at("domain.devices.watchdog"),
            "i6300esb",
            "s390x has the watchdog diag288",
        );
    }
}

fn video(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let Some(kind) = spec.domain.devices.video.as_ref().and_then(|video| video.type_.as_deref()) else {
        return;
    };
    if kind.is_empty() || !scope.config.gate("VideoConfig") {
        return;
    }
    let allowed: &[&str] = match scope.config.architecture(spec.architecture.as_deref()) {
        "amd64" => &["vga", "cirrus", "virtio", "ramfb", "bochs"],
        "arm64" => &["virtio", "ramfb"],
        _ => &["virtio"],
    };
    if !allowed.contains(&kind) {
        errors.add(
            Problem::NotSupported,
            scope.at("domain.devices.video.type"),
            kind,
            format!("write one of {}", allowed.join(", ")),
        );
    }
}
