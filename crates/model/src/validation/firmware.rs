//! Rules of firmware, direct kernel boot and machine features.

use api::kubevirt::v1::{Firmware, VirtualMachineInstanceSpec};
use machinery::field::Problem;

use super::{Errors, Scope};

pub(super) fn check(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    machine_type(scope, spec, errors);
    let features = spec.domain.features.as_ref();
    if features.is_some_and(|features| {
        features.hyperv.is_some()
            && features.hyperv_passthrough.as_ref().is_some_and(|all| all.enabled == Some(true))
    }) {
        errors.invalid(
            scope.at("domain.features.hyperv"),
            (),
            "hyperv and hypervPassthrough exclude each other; remove one",
        );
    }
    let Some(firmware) = &spec.domain.firmware else {
        return;
    };
    if let Some(loader) = &firmware.bootloader {
        if loader.efi.is_some() && loader.bios.is_some() {
            errors.invalid(
                scope.at("domain.firmware.bootloader.efi"),
                (),
                "a machine starts from BIOS or from UEFI; remove one",
            );
        }
        let secure = loader.efi.as_ref().is_some_and(|efi| efi.secure_boot.unwrap_or(true));
        let smm = features
            .and_then(|features| features.smm.as_ref())
            .is_some_and(|smm| smm.enabled.unwrap_or(true));
        if secure && !smm {
            errors.invalid(
                scope.at("domain"),
                "efi.secureBoot",
                "Secure Boot needs features.smm.enabled: true; or set firmware.bootloader.efi.secureBoot: false",
            );
        }
    }
    kernel_boot(scope, firmware, errors);
    acpi(scope, spec, firmware, errors);
}

fn machine_type(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let Some(machine) = spec.domain.machine.as_ref().and_then(|machine| machine.type_.as_deref()) else {
        return;
    };
    let architecture = scope.config.architecture(spec.architecture.as_deref());
    let patterns = scope.config.emulated_machines(architecture);
    // A template may name an architecture that nobody knows; its instances are refused.
    if !machine.is_empty()
        && !patterns.is_empty()
        && !patterns.iter().any(|pattern| matches(pattern, machine))
    {
        errors.invalid(
            scope.at("domain.machine.type"),
            machine,
            format!("for {architecture} write a machine type like {}", patterns.join(", ")),
        );
    }
}

/// Returns whether text fits a pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Returns whether a path is absolute and goes straight down.
pub(super) fn is_clean_path(path: &str) -> bool {
    path.len() > 1
        && path.starts_with('/')
        && !path.ends_with('/')
        && path[1..].split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

fn kernel_boot(scope: &Scope<'_>, firmware: &Firmware, errors: &mut Errors) {
    let Some(kernel_boot) = &firmware.kernel_boot else {
        return;
    };
    let at = scope.at("domain.firmware.kernelBoot");
    let Some(container) = &kernel_boot.container else {
        if kernel_boot.kernel_args.as_deref().is_some_and(|arguments| !arguments.is_empty()) {
            errors.invalid(
                at.child("kernelArgs"),
                kernel_boot.kernel_args.clone().unwrap_or_default(),
                "kernel arguments need a kernel; set kernelBoot.container",
            );
        }
        return;
    };
    let at = at.child("container");
    if container.image.is_empty() {
        errors.add(Problem::Required, at.child("image"), (), "name the image that holds the kernel");
        return;
    }
    let given = |path: &Option<String>| path.as_deref().is_some_and(|path| !path.is_empty());
    if !given(&container.kernel_path) && !given(&container.initrd_path) {
        errors.add(
            Problem::Required,
            at,
            (),
            "name the kernel or the initial RAM disk: kernelPath, initrdPath",
        );
        return;
    }
    for (name, path) in [("kernelPath", &container.kernel_path), ("initrdPath", &container.initrd_path)] {
        if let Some(path) = path.as_deref().filter(|path| !path.is_empty())
            && !is_clean_path(path)
        {
            errors.invalid(at.child(name), path, "write an absolute path to a file without . or .. in it");
        }
    }
}

fn acpi(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, firmware: &Firmware, errors: &mut Errors) {
    let Some(acpi) = &firmware.acpi else { return };
    let at = scope.at("domain.firmware.acpi");
    let tables =
        [("slicNameRef", acpi.slic_name_ref.as_deref()), ("msdmNameRef", acpi.msdm_name_ref.as_deref())];
    if tables.iter().all(|(_, name)| name.is_none_or(str::is_empty)) {
        errors.add(Problem::Required, at, (), "name a table's volume: slicNameRef or msdmNameRef");
        return;
    }
    for (field, name) in tables {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            continue;
        };
        match spec.volumes.iter().find(|volume| volume.name == name) {
            None => errors.add(Problem::NotFound, at.child(field), name, "no volume has this name"),
            Some(volume) if volume.secret.is_none() => {
                errors.invalid(at.child(field), name, "the volume must be a secret");
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_paths() {
        for (pattern, text, fits) in [
            ("q35*", "q35", true),
            ("pc-q35*", "pc-q35-9.2", true),
            ("q35*", "pc-q35-9.2", false),
            ("*-9.*", "pc-q35-9.2", true),
            ("virt", "virt-9", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
        for (path, clean) in
            [("/boot/vmlinuz", true), ("boot/x", false), ("/a/../b", false), ("/a//b", false), ("/", false)]
        {
            assert_eq!(is_clean_path(path), clean, "{path}");
        }
    }
}
