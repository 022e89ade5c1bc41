//! Signs of life: whether a guest that runs has ever been heard of.
//!
//! Processors that execute say nothing about a guest: one that spins in its firmware looks like one that works. What
//! tells them apart is what only a system that has come up does: print, ask for an address, answer through its agent.

use std::time::Duration;

use api::names::condition as kind;
use jiff::Timestamp;

use super::{Machine, MachinePhase, Observed};
use crate::condition::{self, Condition};
use crate::time;

/// Reason of the condition.
const NO_BOOT_PROGRESS: &str = "NoBootProgress";

/// Returns how long a guest that was not heard of yet may still take.
pub(super) fn time_left(observed: &Observed, machine: &Machine, now: Timestamp) -> Option<Duration> {
    let since = silent_since(observed, machine)?;
    time::left(since, observed.boot_patience, now)
}

/// Sets or removes the condition that tells of a guest which does not come up.
pub(super) fn judge(conditions: &mut Vec<Condition>, observed: &Observed, machine: &Machine, now: Timestamp) {
    let late = silent_since(observed, machine)
        .is_some_and(|since| time::left(since, observed.boot_patience, now).is_none());
    if !late {
        condition::remove(conditions, kind::BOOTING);
        return;
    }
    let message = format!(
        "The machine has executed for more than {} s without a sign of life: nothing on its serial console, no request \
         for an address, no guest agent. Check that its disks or spec.domain.firmware.kernelBoot hold a system that \
         boots on this machine, and the node by `ironclad doctor`",
        observed.boot_patience.as_secs()
    );
    condition::set(conditions, Condition::new(kind::BOOTING, true, NO_BOOT_PROGRESS, message), now);
}

/// Returns what speaks against the node's accelerator, when this guest's silence is news: where KVM is there without
/// working, guests spin for ever, and people look for the fault in them.
pub(super) fn suspicion(observed: &Observed, wanted: &[Condition]) -> Option<String> {
    let known = condition::is_true(&observed.instance.status.conditions, kind::BOOTING);
    let news = observed.accelerated && !known && condition::is_true(wanted, kind::BOOTING);
    news.then(|| {
        format!(
            "The guest of instance {} has executed under KVM for more than {} s without a sign of life. If that happens \
             to guests that boot elsewhere, this machine's KVM does not work: look at `ironclad doctor`",
            observed.instance.name,
            observed.boot_patience.as_secs()
        )
    })
}

fn silent_since(observed: &Observed, machine: &Machine) -> Option<Timestamp> {
    let waits = machine.phase == MachinePhase::Running && !machine.shows_life && !observed.instance.deleting;
    machine.executed_at.filter(|_| waits)
}
