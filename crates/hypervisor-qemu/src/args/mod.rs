//! The command line, one file per device area.
//!
//! Devices, objects and block nodes are written as JSON, which needs no escaping and is what QMP takes for the
//! same thing when it is plugged later.

pub(crate) mod agent;
mod balloon;
mod boot;
mod builder;
mod clock;
mod controllers;
mod cpu;
mod disks;
mod graphics;
mod inputs;
mod machine;
mod memory;
mod monitor;
mod nics;
mod panic;
mod pci;
mod rng;
mod sandbox;
mod serial;
mod smbios;
mod sound;
mod threads;
mod tpm;
mod virtio;
mod watchdog;

use hypervisor::{Invocation, PlanError, Surroundings};
use wire::machine::MachineRecord;

use crate::Qemu;
use builder::Builder;
use virtio::Virtio;

/// Plans the whole process.
pub(crate) fn invocation(
    qemu: &Qemu,
    record: &MachineRecord,
    surroundings: &Surroundings<'_>,
) -> Result<Invocation, PlanError> {
    let mut builder = Builder::new(surroundings);
    builder.option("-name", format!("guest={},debug-threads=on", builder::escape(&record.name)));
    for plain in ["-nodefaults", "-no-user-config"] {
        builder.flag(plain);
    }
    builder.option("-msg", "timestamp=on");
    // The processors wait until the supervisor has attached and says go.
    builder.flag("-S");
    sandbox::add(&mut builder);
    let drives = boot::add(&mut builder, &qemu.firmware, record)?;
    machine::add(&mut builder, record, &drives)?;
    cpu::add(&mut builder, record);
    memory::add(&mut builder, &record.memory);
    smbios::add(&mut builder, &record.smbios);
    clock::add(&mut builder, &record.clock, surroundings.now);
    monitor::add(&mut builder);
    pci::add(&mut builder, record)?;
    controllers::add(&mut builder, record);
    serial::add(&mut builder, record.serial);
    threads::add(&mut builder, record.io_threads);
    let virtio = Virtio::of(record);
    disks::add(&mut builder, &record.disks, virtio)?;
    nics::add(&mut builder, &record.nics, virtio)?;
    agent::add(&mut builder, record.agent.as_ref(), virtio)?;
    rng::add(&mut builder, record.rng.as_ref(), virtio)?;
    balloon::add(&mut builder, record.balloon.as_ref(), virtio)?;
    graphics::add(&mut builder, record.graphics.as_ref())?;
    inputs::add(&mut builder, &record.inputs)?;
    sound::add(&mut builder, record.sound.as_ref())?;
    watchdog::add(&mut builder, record.watchdog.as_ref())?;
    tpm::add(&mut builder, record.tpm)?;
    panic::add(&mut builder, &record.panic_devices)?;
    Ok(builder.finish(qemu.program.clone()))
}
