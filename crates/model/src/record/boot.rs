//! What a machine starts from, and who it says it is.

use api::kubevirt::v1::DomainSpec;
use wire::machine::{Boot, Firmware, KernelBoot, Smbios};

use super::{RecordError, SmbiosFacts};

/// Descriptor of the kernel that is loaded directly.
pub const KERNEL: &str = "boot/kernel";
/// Descriptor of UEFI variables that outlive the instance.
pub const VARIABLES: &str = "firmware/vars";
/// Descriptor of what a TPM keeps that outlives the instance.
pub const TPM: &str = "tpm/state";
/// Descriptor of the initial RAM disk that is loaded directly.
pub const INITRD: &str = "boot/initrd";

/// Returns the descriptor of each ACPI table that a specification brings, and the volume that it is in.
pub fn acpi_tables(domain: &DomainSpec) -> impl Iterator<Item = (&'static str, &str)> {
    let tables = domain.firmware.as_ref().and_then(|firmware| firmware.acpi.as_ref());
    let named = tables.into_iter().flat_map(|tables| {
        [("firmware/slic", &tables.slic_name_ref), ("firmware/msdm", &tables.msdm_name_ref)]
    });
    named.filter_map(|(descriptor, volume)| {
        let volume = volume.as_deref().filter(|volume| !volume.is_empty())?;
        Some((descriptor, volume))
    })
}

pub(super) fn boot(domain: &DomainSpec) -> Result<Boot, RecordError> {
    let firmware = domain.firmware.as_ref();
    let efi =
        firmware.and_then(|firmware| firmware.bootloader.as_ref()).and_then(|loader| loader.efi.as_ref());
    let kernel = match firmware.and_then(|firmware| firmware.kernel_boot.as_ref()) {
        Some(kernel_boot) => match &kernel_boot.container {
            Some(container) => {
                if container.kernel_path.as_deref().unwrap_or_default().is_empty() {
                    return Err(RecordError::field(
                        "spec.domain.firmware.kernelBoot.container.kernelPath",
                        "",
                        "a machine that starts from a container image needs the path of a kernel in it",
                    ));
                }
                let initrd = container.initrd_path.as_deref().is_some_and(|path| !path.is_empty());
                Some(KernelBoot {
                    kernel: KERNEL.to_owned(),
                    initrd: initrd.then(|| INITRD.to_owned()),
                    cmdline: kernel_boot.kernel_args.clone().unwrap_or_default(),
                })
            }
            None => None,
        },
        None => None,
    };
    let without_acpi = domain.features.as_ref().is_some_and(|features| features.acpi.enabled == Some(false));
    if without_acpi && efi.is_some() {
        return Err(RecordError::field(
            "spec.domain.features.acpi.enabled",
            "false",
            "UEFI needs ACPI; write true, or start the machine by BIOS",
        ));
    }
    Ok(Boot {
        firmware: match efi {
            Some(efi) => Firmware::Uefi {
                secure_boot: efi.secure_boot.unwrap_or(true),
                persistent: efi.persistent.unwrap_or(false),
            },
            None => Firmware::Bios,
        },
        firmware_on_serial: firmware
            .and_then(|firmware| firmware.bootloader.as_ref()?.bios.as_ref())
            .is_some_and(|bios| bios.use_serial == Some(true)),
        kernel,
        acpi_tables: acpi_tables(domain).map(|(descriptor, _)| descriptor.to_owned()).collect(),
    })
}

pub(super) fn smbios(domain: &DomainSpec, facts: &SmbiosFacts, uuid: &str) -> Smbios {
    let chassis = domain.chassis.clone().unwrap_or_default();
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    Smbios {
        uuid: uuid.to_owned(),
        serial: domain.firmware.as_ref().and_then(|firmware| firmware.serial.clone()),
        manufacturer: facts.manufacturer.clone(),
        product: facts.product.clone(),
        version: facts.version.clone(),
        family: facts.family.clone(),
        sku: facts.sku.clone(),
        asset_tag: chassis.asset,
        chassis_manufacturer: given(chassis.manufacturer),
        chassis_version: given(chassis.version),
        chassis_serial: given(chassis.serial),
        chassis_sku: given(chassis.sku),
    }
}
