//! Features for Windows guests: switched on where they are named, together with what they stand on.

use api::kubevirt::v1::{CPUFeature, DomainSpec, FeatureHyperv, FeatureState};

/// Switches on what is named and what that needs. Returns whether the processor has to offer `vmx`.
pub(super) fn fill(hyperv: &mut FeatureHyperv) -> bool {
    let on = |state: &Option<FeatureState>| state.as_ref().is_some_and(|state| state.enabled != Some(false));
    if let Some(timer) = &mut hyperv.synictimer {
        timer.enabled.get_or_insert(true);
        if let Some(direct) = &mut timer.direct {
            direct.enabled.get_or_insert(true);
        }
    }
    if let Some(spinlocks) = &mut hyperv.spinlocks {
        spinlocks.enabled.get_or_insert(true);
        if spinlocks.enabled == Some(true) {
            spinlocks.spinlocks.get_or_insert(4096);
        }
    }
    if let Some(vendor) = &mut hyperv.vendorid {
        vendor.enabled.get_or_insert(true);
    }
    if let Some(flush) = &mut hyperv.tlbflush {
        flush.enabled.get_or_insert(true);
        for part in [&mut flush.direct, &mut flush.extended].into_iter().flatten() {
            part.enabled.get_or_insert(true);
        }
    }
    // What stands on what: timers on the interrupt controller, that on processor indices; nested control
    // structures on the virtual APIC.
    let timer = hyperv.synictimer.as_ref().is_some_and(|timer| timer.enabled == Some(true));
    if timer && hyperv.synic.is_none() {
        hyperv.synic = Some(FeatureState::default());
    }
    let flush = hyperv.tlbflush.as_ref().is_some_and(|flush| flush.enabled == Some(true));
    let indexed = on(&hyperv.synic) || on(&hyperv.ipi) || flush;
    if indexed && hyperv.vpindex.is_none() {
        hyperv.vpindex = Some(FeatureState::default());
    }
    let evmcs = on(&hyperv.evmcs);
    if evmcs && hyperv.vapic.is_none() {
        hyperv.vapic = Some(FeatureState::default());
    }
    for state in [
        &mut hyperv.evmcs,
        &mut hyperv.frequencies,
        &mut hyperv.ipi,
        &mut hyperv.reenlightenment,
        &mut hyperv.relaxed,
        &mut hyperv.reset,
        &mut hyperv.runtime,
        &mut hyperv.synic,
        &mut hyperv.vapic,
        &mut hyperv.vpindex,
    ]
    .into_iter()
    .flatten()
    {
        state.enabled.get_or_insert(true);
    }
    evmcs
}

pub(super) fn require_vmx(domain: &mut DomainSpec) {
    let features = &mut domain.cpu.get_or_insert_default().features;
    match features.iter_mut().find(|feature| feature.name == "vmx") {
        Some(feature) => feature.policy = Some("require".to_owned()),
        None => features.push(CPUFeature { name: "vmx".to_owned(), policy: Some("require".to_owned()) }),
    }
}
