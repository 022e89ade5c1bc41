//! Cables of network interfaces: `spec.domain.devices.interfaces[].state` while the guest runs.

use std::time::Duration;

use jiff::Timestamp;

use super::{Action, LONGEST_WAIT, Launcher, Machine, MachinePhase, Observed};
use crate::{Plan, time};

/// Tells whether a cable of the machine is not as the specification says.
pub fn links_differ(observed: &Observed) -> bool {
    matches!(&observed.launcher, Launcher::Connected(machine) if !differing(observed, machine).is_empty())
}

/// Has the cables connected and disconnected that are not as the specification says.
pub(super) fn command(observed: &Observed, machine: &Machine, now: Timestamp, plan: &mut Plan<Action>) {
    let links = differing(observed, machine);
    if links.is_empty() {
        return;
    }
    match wait(observed, now) {
        Some(wait) => plan.look_again(wait, "the cables are tried again"),
        None => plan.push(Action::SetLinks { links }),
    }
}

fn wait(observed: &Observed, now: Timestamp) -> Option<Duration> {
    observed.trouble.as_ref().and_then(|trouble| time::until(trouble.retry_at, LONGEST_WAIT, now))
}

/// Returns the interfaces whose cable is not as the specification says, with what it says.
fn differing(observed: &Observed, machine: &Machine) -> Vec<(String, bool)> {
    let runs = matches!(machine.phase, MachinePhase::Running | MachinePhase::Paused);
    if !runs || observed.instance.deleting {
        return Vec::new();
    }
    let wanted = |name: &str| observed.instance.links.get(name).copied();
    let interfaces = machine.interfaces.iter().filter(|interface| !interface.name.is_empty());
    interfaces
        .filter_map(|interface| {
            let up = wanted(&interface.name).filter(|up| *up != interface.link_up)?;
            Some((interface.name.clone(), up))
        })
        .collect()
}
