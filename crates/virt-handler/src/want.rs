//! A hypervisor that the kernel killed for want of memory: its launcher sees only the signal.

use host::Root;
use host::cgroup::Want;
use plan::handler::{Machine, MachinePhase};

/// What a launcher says of a hypervisor that a signal ended which nobody of ours sent.
const KILLED: &str = "HypervisorKilled";
/// Reason of the end instead.
const OUT_OF_MEMORY: &str = "OutOfMemory";

/// Puts the reason that the kernel knows in the place of a signal's number. `pid` is the launcher, which shares the
/// hypervisor's control group and outlives it for a moment.
pub(crate) fn explain(machine: &mut Machine, pid: i32) {
    if machine.phase != MachinePhase::Crashed || machine.reason != KILLED {
        return;
    }
    if let Some(want) =
        u32::try_from(pid).ok().and_then(|pid| Want::of(&Root::default(), pid)).filter(|want| want.kills > 0)
    {
        OUT_OF_MEMORY.clone_into(&mut machine.reason);
        machine.message = sentence(&want);
    }
}

fn sentence(want: &Want) -> String {
    let used = want.peak.map_or_else(String::new, |peak| format!(" and had used {}", mebibytes(peak)));
    match want.limit {
        Some(limit) => format!(
            "the kernel killed the hypervisor for want of memory: its Pod may use {}{used}; raise \
             spec.domain.resources.limits.memory above the guest's memory, or remove it",
            mebibytes(limit)
        ),
        None => format!(
            "the kernel killed the hypervisor because the node ran out of memory: the Pod has no limit{used}; run fewer \
             machines on the node, or give them less memory"
        ),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_limit_use_and_remedy() {
        let limited = Want { kills: 1, limit: Some(96 << 20), peak: Some(96 << 20) };
        assert_eq!(
            sentence(&limited),
            "the kernel killed the hypervisor for want of memory: its Pod may use 96 MiB and had used 96 MiB; raise \
             spec.domain.resources.limits.memory above the guest's memory, or remove it"
        );
        let free = Want { kills: 1, limit: None, peak: None };
        assert!(sentence(&free).contains("the node ran out of memory"), "{}", sentence(&free));
    }

    #[test]
    fn other_ends_stay_what_they_are() {
        let mut machine =
            Machine { phase: MachinePhase::Crashed, reason: "GuestPanicked".into(), ..Machine::default() };
        let before = machine.clone();
        explain(&mut machine, 1);
        assert_eq!(machine, before);
    }
}
