//! Clocks and probes: what is named is on, and runs at the usual pace.

use api::kubevirt::v1::{DomainSpec, Probe, VirtualMachineInstanceSpec};

pub(super) fn fill(domain: &mut DomainSpec) {
    let Some(timer) = domain.clock.as_mut().and_then(|clock| clock.timer.as_mut()) else {
        return;
    };
    if let Some(hpet) = &mut timer.hpet {
        hpet.present.get_or_insert(true);
    }
    if let Some(hyperv) = &mut timer.hyperv {
        hyperv.present.get_or_insert(true);
    }
    if let Some(kvm) = &mut timer.kvm {
        kvm.present.get_or_insert(true);
    }
    if let Some(pit) = &mut timer.pit {
        pit.present.get_or_insert(true);
    }
    if let Some(rtc) = &mut timer.rtc {
        rtc.present.get_or_insert(true);
    }
}

pub(super) fn probes(spec: &mut VirtualMachineInstanceSpec) {
    for probe in [&mut spec.liveness_probe, &mut spec.readiness_probe].into_iter().flatten() {
        pace(probe);
    }
}

fn pace(probe: &mut Probe) {
    let fill = |own: &mut Option<i32>, usual| {
        if own.is_none_or(|own| own < 1) {
            *own = Some(usual);
        }
    };
    fill(&mut probe.timeout_seconds, 1);
    fill(&mut probe.period_seconds, 10);
    fill(&mut probe.success_threshold, 1);
    fill(&mut probe.failure_threshold, 3);
}
