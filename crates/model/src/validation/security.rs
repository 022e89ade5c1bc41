//! Rules of encrypted and measured machines.

use api::kubevirt::v1::VirtualMachineInstanceSpec;
use machinery::field::Problem;

use super::{Errors, Scope};

pub(super) fn check(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let Some(security) = &spec.domain.launch_security else {
        return;
    };
    let at = scope.at("launchSecurity");
    let architecture = scope.config.architecture(spec.architecture.as_deref());
    if architecture == "s390x" {
        if !scope.config.gate("SecureExecution") {
            errors.gate(at, architecture, "SecureExecution");
        }
        return;
    }
    if architecture != "amd64" {
        errors.invalid(scope.at("architecture"), architecture, "launchSecurity needs amd64 or s390x");
        return;
    }
    let kinds =
        [("SEV", security.sev.is_some()), ("SNP", security.snp.is_some()), ("TDX", security.tdx.is_some())];
    let mut set = kinds.into_iter().filter(|(_, set)| *set).map(|(kind, _)| kind);
    let (Some(kind), None) = (set.next(), set.next()) else {
        errors.add(Problem::Forbidden, at, (), "name exactly one of sev, snp, tdx");
        return;
    };
    let gate = if kind == "TDX" { "WorkloadEncryptionTDX" } else { "WorkloadEncryptionSEV" };
    if !scope.config.gate(gate) {
        errors.gate(at, kind, gate);
        return;
    }
    let efi = spec
        .domain
        .firmware
        .as_ref()
        .and_then(|firmware| firmware.bootloader.as_ref())
        .and_then(|loader| loader.efi.as_ref());
    let Some(efi) = efi else {
        errors.invalid(at, kind, format!("{kind} needs UEFI: set firmware.bootloader.efi"));
        return;
    };
    if kind != "TDX" && efi.secure_boot.unwrap_or(true) {
        errors.invalid(
            at.clone(),
            kind,
            format!("{kind} and Secure Boot exclude each other: set efi.secureBoot: false"),
        );
    }
    if kind != "SEV" && efi.persistent == Some(true) {
        errors.invalid(
            at.clone(),
            kind,
            format!("{kind} keeps no firmware variables: remove efi.persistent"),
        );
    }
    let smm = spec.domain.features.as_ref().and_then(|features| features.smm.as_ref());
    if kind == "TDX" && smm.is_some_and(|smm| smm.enabled != Some(false)) {
        errors.invalid(
            at.clone(),
            kind,
            "TDX and system management mode exclude each other: remove features.smm",
        );
    }
    let attested = security.sev.as_ref().is_some_and(|sev| sev.attestation.is_some());
    if attested && spec.start_strategy.as_deref() != Some("Paused") {
        errors.invalid(
            at.clone(),
            kind,
            "attestation happens before the guest runs: set startStrategy: Paused",
        );
    }
    for (index, interface) in spec.domain.devices.interfaces.iter().enumerate() {
        if interface.boot_order.is_some() {
            let at = scope.at("domain.devices.interfaces").index(index).child("bootOrder");
            errors.invalid(at, kind, format!("a machine with {kind} cannot start from the network"));
        }
    }
}
