//! Virtual processors.

use wire::machine::{Accelerator, Cpu};

use super::builder::{Builder, escape};

pub(super) fn add(builder: &mut Builder<'_>, cpu: &Cpu, accelerator: Accelerator) {
    // Both mean "everything there is"; the emulator's own name for it is `max`.
    let model = match (cpu.model.as_str(), accelerator) {
        ("host", Accelerator::Tcg) => "max",
        (model, _) => model,
    };
    let mut value = escape(model);
    for feature in &cpu.features {
        let state = if feature.enabled { "=on" } else { "=off" };
        value.extend([",", &escape(&feature.name), state]);
    }
    builder.option("-cpu", value);
    let Cpu { sockets, cores, threads, max_sockets, .. } = cpu;
    let most = max_sockets.max(sockets) * cores * threads;
    builder.option(
        "-smp",
        format!(
            "cpus={},sockets={},cores={cores},threads={threads},maxcpus={most}",
            cpu.count(),
            max_sockets.max(sockets)
        ),
    );
}
