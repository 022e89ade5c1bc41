//! What of a machine outlives its instance beside its disks: UEFI variables and what its TPM keeps. Both are in a
//! claim of the machine's own, which virt-controller makes and nobody else uses.

use api::kubevirt::v1::{DomainSpec, VirtualMachineInstance};

/// Label that leads from a machine's name to its claim, and beginning of the claim's name; part of the API's contract.
pub const CLAIM: &str = "persistent-state-for";
/// Volume of the launcher's Pod that shows the claim.
pub const VOLUME: &str = "vm-state";
/// Size of the claim; part of the API's contract.
pub const SIZE: &str = "10Mi";
/// In the claim: UEFI variables.
pub const VARIABLES: &str = "firmware-variables.fd";
/// In the claim: what the TPM keeps.
pub const TPM: &str = "tpm-state";

/// Whether a machine's UEFI variables outlive its instance.
pub fn keeps_variables(domain: &DomainSpec) -> bool {
    let bootloader = domain.firmware.as_ref().and_then(|firmware| firmware.bootloader.as_ref());
    bootloader.and_then(|loader| loader.efi.as_ref()).is_some_and(|efi| efi.persistent == Some(true))
}

/// Whether what a machine's TPM keeps outlives its instance.
pub fn keeps_tpm(domain: &DomainSpec) -> bool {
    let tpm = domain.devices.tpm.as_ref().filter(|tpm| tpm.enabled != Some(false));
    tpm.is_some_and(|tpm| tpm.persistent == Some(true))
}

/// Whether an instance needs the claim.
pub fn is_needed(vmi: &VirtualMachineInstance) -> bool {
    keeps_variables(&vmi.spec.domain) || keeps_tpm(&vmi.spec.domain)
}
