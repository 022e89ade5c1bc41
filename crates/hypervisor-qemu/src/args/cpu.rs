//! Virtual processors.

use std::fmt::Write as _;

use wire::machine::{Accelerator, Enlightenment, Features, Hyperv, MachineRecord, PanicDevice, Timers};

use super::builder::{Builder, escape};

/// Features that tell a guest that copying memory byte by byte (`rep movsb`, `rep stosb`) is fast. It is on hardware; the
/// emulator does one byte at a time, where a guest without the hint copies eight. Counted with `-icount` over the boot of
/// the repository's guest (QEMU 10.0): 1,743 million instructions with them, 1,668 million without.
const MISLEADING_UNDER_EMULATION: [&str; 2] = ["erms", "fsrm"];

pub(super) fn add(builder: &mut Builder<'_>, record: &MachineRecord) {
    let cpu = &record.cpu;
    // Both mean "everything there is"; the emulator's own name for it is `max`.
    let model = match (cpu.model.as_str(), record.accelerator) {
        ("host", Accelerator::Tcg) => "max",
        (model, _) => model,
    };
    let mut value = escape(model);
    if model == "max" && record.accelerator == Accelerator::Tcg {
        for hint in MISLEADING_UNDER_EMULATION {
            switch(&mut value, hint, false);
        }
    }
    // Later properties win: what the user asks for stands.
    for feature in &cpu.features {
        switch(&mut value, &escape(&feature.name), feature.enabled);
    }
    match record.accelerator {
        Accelerator::Kvm => paravirtual(&mut value, record),
        // The emulator gives itself away by a name only.
        Accelerator::Tcg if record.features.hidden => switch(&mut value, "tcg-cpuid", false),
        Accelerator::Tcg | Accelerator::Mshv => {}
    }
    builder.option("-cpu", value);
    let most = cpu.max_sockets.max(cpu.sockets);
    builder.option(
        "-smp",
        format!(
            "cpus={},sockets={most},cores={cores},threads={threads},maxcpus={}",
            cpu.count(),
            most * cpu.cores * cpu.threads,
            cores = cpu.cores,
            threads = cpu.threads,
        ),
    );
}

fn switch(value: &mut String, property: &str, on: bool) {
    value.extend([",", property, if on { "=on" } else { "=off" }]);
}

/// What only KVM can offer.
fn paravirtual(value: &mut String, record: &MachineRecord) {
    let Features { hidden, spin_locks, end_of_interrupt, hyperv, .. } = &record.features;
    let Timers { kvm_clock, hyperv_clock, .. } = &record.clock.timers;
    if *hidden {
        switch(value, "kvm", false);
    }
    for (property, wanted) in [
        ("kvm-pv-unhalt", spin_locks),
        ("kvm-pv-eoi", end_of_interrupt),
        ("kvmclock", kvm_clock),
        ("hv-time", hyperv_clock),
    ] {
        if let Some(on) = wanted {
            switch(value, property, *on);
        }
    }
    if record.panic_devices.contains(&PanicDevice::Hyperv) {
        switch(value, "hv-crash", true);
    }
    if let Some(hyperv) = hyperv {
        enlighten(value, hyperv);
    }
}

fn enlighten(value: &mut String, hyperv: &Hyperv) {
    if hyperv.passthrough {
        switch(value, "hv-passthrough", true);
    }
    for part in &hyperv.enlightenments {
        switch(value, property(*part), true);
    }
    if let Some(retries) = hyperv.spin_lock_retries {
        // Writing to a string cannot fail.
        let _ = write!(value, ",hv-spinlocks={retries:#x}");
    }
    if let Some(vendor) = &hyperv.vendor_id {
        value.extend([",hv-vendor-id=", &escape(vendor)]);
    }
}

fn property(part: Enlightenment) -> &'static str {
    match part {
        Enlightenment::Relaxed => "hv-relaxed",
        Enlightenment::Vapic => "hv-vapic",
        Enlightenment::Vpindex => "hv-vpindex",
        Enlightenment::Runtime => "hv-runtime",
        Enlightenment::Synic => "hv-synic",
        Enlightenment::Stimer => "hv-stimer",
        Enlightenment::StimerDirect => "hv-stimer-direct",
        Enlightenment::Reset => "hv-reset",
        Enlightenment::Frequencies => "hv-frequencies",
        Enlightenment::Reenlightenment => "hv-reenlightenment",
        Enlightenment::TlbFlush => "hv-tlbflush",
        Enlightenment::TlbFlushDirect => "hv-tlbflush-direct",
        Enlightenment::TlbFlushExtended => "hv-tlbflush-ext",
        Enlightenment::Ipi => "hv-ipi",
        Enlightenment::Evmcs => "hv-evmcs",
    }
}
