//! Firmware, and a kernel loaded past it.

use std::path::Path;

use hypervisor::{Access, PlanError};
use serde_json::json;
use wire::machine::{Firmware, KernelBoot, MachineRecord};

use super::builder::{Builder, contradiction};
use crate::{FirmwareFiles, VARIABLES};

/// Descriptor of a variable store that outlives the machine.
const VARIABLES_DESCRIPTOR: &str = "firmware/vars";

/// Flash drives of the machine, if it has any.
pub(super) struct Drives(bool);

impl Drives {
    /// Returns the machine's property and the block node of each drive.
    pub(super) fn nodes(&self) -> &'static [(&'static str, &'static str)] {
        if self.0 { &[("pflash0", "firmware-code"), ("pflash1", "firmware-vars")] } else { &[] }
    }
}

pub(super) fn add(
    builder: &mut Builder<'_>,
    files: &FirmwareFiles,
    record: &MachineRecord,
) -> Result<Drives, PlanError> {
    // Only what the record lists is tried, in its order.
    builder.option("-boot", "menu=off,strict=on");
    if let Some(kernel) = &record.boot.kernel {
        add_kernel(builder, kernel)?;
    }
    for table in &record.boot.acpi_tables {
        // Its header is the file's own.
        let number = builder.descriptor("ACPI table", table)?;
        builder.option("-acpitable", format!("file=/proc/self/fd/{number}"));
    }
    let Firmware::Uefi { secure_boot, persistent } = record.boot.firmware else {
        return Ok(Drives(false));
    };
    let (code, template) = if secure_boot {
        (&files.secure_code, &files.secure_variables)
    } else {
        (&files.code, &files.variables)
    };
    for file in [code, template] {
        let file_name = file.display();
        builder.need(
            file,
            format!("UEFI firmware ({file_name}) is not on this node; install it (Debian: ovmf), the start is tried again"),
        );
    }
    let variables = if persistent {
        match builder.image("firmware variables", VARIABLES_DESCRIPTOR)? {
            (file, Access::ReadWrite) => file,
            (_, Access::Read) => {
                return Err(contradiction("firmware variables", "the descriptor is open for reading only"));
            }
        }
    } else {
        builder.copy(template, VARIABLES)
    };
    flash(builder, "firmware-code", &path(code), true);
    flash(builder, "firmware-vars", &variables, false);
    Ok(Drives(true))
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn flash(builder: &mut Builder<'_>, node: &str, file: &str, read_only: bool) {
    let carrier = format!("{node}-file");
    builder.json(
        "-blockdev",
        json!({"driver": "file", "node-name": carrier, "filename": file, "read-only": read_only}),
    );
    builder.json(
        "-blockdev",
        json!({"driver": "raw", "node-name": node, "file": carrier, "read-only": read_only}),
    );
}

fn add_kernel(builder: &mut Builder<'_>, kernel: &KernelBoot) -> Result<(), PlanError> {
    // QEMU opens these by name only, so they are named through the open descriptor.
    let number = builder.descriptor("kernel", &kernel.kernel)?;
    builder.option("-kernel", format!("/proc/self/fd/{number}"));
    if let Some(initrd) = &kernel.initrd {
        let number = builder.descriptor("initrd", initrd)?;
        builder.option("-initrd", format!("/proc/self/fd/{number}"));
    }
    if !kernel.cmdline.is_empty() {
        builder.option("-append", kernel.cmdline.clone());
    }
    Ok(())
}
