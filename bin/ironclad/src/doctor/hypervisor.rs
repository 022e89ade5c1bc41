//! The hypervisor's programs: is QEMU there, is it new enough, can it do what machines ask for?

use std::path::Path;

use host::probe::Finding;
use hypervisor_qemu::probe;

use crate::up::node::hypervisor::{PROGRAM, REMEDY};

/// Oldest major version that the argument lists are made for.
const OLDEST: u32 = 8;
/// UEFI for guests, as Debian's package ovmf has it.
const UEFI: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";

/// Looks at QEMU and at the firmware.
pub(super) async fn examine() -> Vec<Finding> {
    let mut findings = vec![program().await];
    findings.push(if Path::new(UEFI).exists() {
        Finding::good("firmware", "machines may boot by UEFI and by BIOS")
    } else {
        Finding::limited(
            "firmware",
            format!("BIOS only: {UEFI} is not there, so machines with spec.domain.firmware.bootloader.efi do not start"),
            "install the package ovmf",
        )
    });
    findings
}

async fn program() -> Finding {
    let facts = match probe(Path::new(PROGRAM)).await {
        Ok(facts) => facts,
        Err(error) => {
            let error = anyhow::Error::from(error);
            return Finding::bad("hypervisor", format!("QEMU cannot be used: {error:#}"), REMEDY);
        }
    };
    let major: u32 = facts.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    let machine = facts.machine("q35");
    match machine {
        _ if major < OLDEST => Finding::bad(
            "hypervisor",
            format!("QEMU {} is too old", facts.version),
            format!("install {OLDEST} or newer; Debian 12 has it in backports (make deps)"),
        ),
        None => Finding::bad(
            "hypervisor",
            format!("QEMU {} has no q35 machine", facts.version),
            "install a full build",
        ),
        Some(machine) => Finding::good(
            "hypervisor",
            format!(
                "QEMU {} answers; machines that name no type get {machine}, and may choose among {} processor models",
                facts.version,
                facts.cpu_models.len()
            ),
        ),
    }
}
