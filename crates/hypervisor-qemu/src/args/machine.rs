//! The machine type and what executes it.

use hypervisor::PlanError;
use wire::machine::{Accelerator, Firmware, MachineRecord, MissedTicks};

use super::boot::Drives;
use super::builder::{Builder, contradiction, escape};
use super::memory;

/// MiB of translated code that the emulator keeps. Measured with the repository's guest from power-on to its
/// login prompt (QEMU 10.0, 192 MiB, mean of 4 interleaved runs): 16 takes 5.5 s of CPU and 191 MiB of memory
/// in all, 32 takes 4.7 s and 204 MiB, 64 takes 4.7 s and 239 MiB, QEMU's own choice 4.7 s and 236 MiB.
const TRANSLATION_CACHE_MIB: u32 = 32;

pub(super) fn add(
    builder: &mut Builder<'_>,
    record: &MachineRecord,
    drives: &Drives,
) -> Result<(), PlanError> {
    let kind = &record.machine_type;
    if kind != "q35" && !kind.starts_with("pc-q35-") {
        return Err(contradiction(
            "machine type",
            format!("{kind} is not a q35 machine; use q35 or pc-q35-VERSION"),
        ));
    }
    let mut machine = format!("{},vmport=off,dump-guest-core=off", escape(kind));
    if matches!(record.boot.firmware, Firmware::Uefi { secure_boot: true, .. }) {
        // The variable store is writable from system management mode only.
        machine.push_str(",smm=on");
        builder.option("-global", "driver=cfi.pflash01,property=secure,value=on");
    }
    let secure = matches!(record.boot.firmware, Firmware::Uefi { secure_boot: true, .. });
    for (property, wanted) in [
        ("acpi", record.features.acpi),
        ("smm", record.features.smm.filter(|_| !secure)),
        ("hpet", record.clock.timers.hpet),
        ("pit", record.clock.timers.pit),
        // Without a screen of its own the firmware writes to the serial port.
        ("graphics", (record.boot.firmware_on_serial && record.serial).then_some(false)),
    ] {
        if let Some(on) = wanted {
            machine.extend([",", property, if on { "=on" } else { "=off" }]);
        }
    }
    for (slot, node) in drives.nodes() {
        machine.extend([",", slot, "=", node]);
    }
    if memory::has_backend(&record.memory) {
        machine.extend([",memory-backend=", memory::BACKEND]);
    }
    builder.option("-machine", machine);
    if record.reboot_ends {
        builder.option("-action", "reboot=shutdown");
    }
    let missed = match record.clock.timers.pit_ticks {
        Some(MissedTicks::Delay) => Some("delay"),
        Some(MissedTicks::Discard) => Some("discard"),
        // What KVM's timer does anyway.
        Some(MissedTicks::Catchup) | None => None,
    };
    if let Some(policy) = missed.filter(|_| record.accelerator == Accelerator::Kvm) {
        builder.option("-global", format!("driver=kvm-pit,property=lost_tick_policy,value={policy}"));
    }
    builder.option(
        "-accel",
        match record.accelerator {
            Accelerator::Kvm => "kvm".to_owned(),
            Accelerator::Mshv => "mshv".to_owned(),
            Accelerator::Tcg => format!("tcg,tb-size={TRANSLATION_CACHE_MIB}"),
        },
    );
    Ok(())
}
