//! Features of board and processor, and the machine's timers.

use api::kubevirt::v1::{Clock as SpecClock, DomainSpec, FeatureHyperv, FeatureState};
use wire::machine::{Clock, Enlightenment, Features, Hyperv, MissedTicks, RtcTrack, Timers};

use super::RecordError;

pub(super) fn features(domain: &DomainSpec) -> Features {
    let Some(spec) = &domain.features else {
        return Features::default();
    };
    let passthrough = spec.hyperv_passthrough.as_ref().is_some_and(|all| all.enabled != Some(false));
    let hyperv = spec.hyperv.as_ref().map(hyperv).unwrap_or_default();
    let hyperv = Hyperv { passthrough, ..hyperv };
    Features {
        // On is what every machine has anyway.
        acpi: spec.acpi.enabled.filter(|on| !on),
        smm: spec.smm.as_ref().map(|state| state.enabled != Some(false)),
        hidden: spec.kvm.as_ref().is_some_and(|kvm| kvm.hidden == Some(true)),
        spin_locks: spec.pvspinlock.as_ref().map(|state| state.enabled != Some(false)),
        end_of_interrupt: spec.apic.as_ref().and_then(|apic| apic.end_of_interrupt),
        hyperv: (hyperv != Hyperv::default()).then_some(hyperv),
    }
}

fn on(state: Option<&FeatureState>) -> bool {
    state.is_some_and(|state| state.enabled != Some(false))
}

fn hyperv(spec: &FeatureHyperv) -> Hyperv {
    use Enlightenment as Part;
    let timer = spec.synictimer.as_ref().filter(|timer| timer.enabled != Some(false));
    let flush = spec.tlbflush.as_ref().filter(|flush| flush.enabled != Some(false));
    let parts = [
        (Part::Relaxed, on(spec.relaxed.as_ref())),
        (Part::Vapic, on(spec.vapic.as_ref())),
        (Part::Vpindex, on(spec.vpindex.as_ref())),
        (Part::Runtime, on(spec.runtime.as_ref())),
        (Part::Synic, on(spec.synic.as_ref())),
        (Part::Stimer, timer.is_some()),
        (Part::StimerDirect, on(timer.and_then(|timer| timer.direct.as_ref()))),
        (Part::Reset, on(spec.reset.as_ref())),
        (Part::Frequencies, on(spec.frequencies.as_ref())),
        (Part::Reenlightenment, on(spec.reenlightenment.as_ref())),
        (Part::TlbFlush, flush.is_some()),
        (Part::TlbFlushDirect, on(flush.and_then(|flush| flush.direct.as_ref()))),
        (Part::TlbFlushExtended, on(flush.and_then(|flush| flush.extended.as_ref()))),
        (Part::Ipi, on(spec.ipi.as_ref())),
        (Part::Evmcs, on(spec.evmcs.as_ref())),
    ];
    Hyperv {
        passthrough: false,
        enlightenments: parts.into_iter().filter(|(_, wanted)| *wanted).map(|(part, _)| part).collect(),
        spin_lock_retries: spec
            .spinlocks
            .as_ref()
            .filter(|locks| locks.enabled != Some(false))
            .map(|locks| locks.spinlocks.unwrap_or(4096)),
        vendor_id: spec
            .vendorid
            .as_ref()
            .filter(|vendor| vendor.enabled != Some(false))
            .and_then(|vendor| vendor.vendorid.clone()),
    }
}

pub(super) fn clock(domain: &DomainSpec) -> Result<Clock, RecordError> {
    let Some(spec) = &domain.clock else {
        return Ok(Clock { offset_seconds: 0, timezone: None, timers: Timers::default() });
    };
    Ok(Clock {
        offset_seconds: spec.utc.as_ref().and_then(|utc| utc.offset_seconds).map_or(0, i64::from),
        timezone: timezone(spec)?,
        timers: timers(spec)?,
    })
}

/// The name becomes part of a path on the node, so it may not lead out of the folder of zones.
fn timezone(spec: &SpecClock) -> Result<Option<String>, RecordError> {
    let Some(zone) = spec.timezone.as_deref().filter(|zone| !zone.is_empty()) else {
        return Ok(None);
    };
    let plain = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part.chars().all(|one| one.is_ascii_alphanumeric() || "_+-".contains(one))
    };
    if zone.split('/').all(plain) {
        return Ok(Some(zone.to_owned()));
    }
    Err(RecordError::field(
        "spec.domain.clock.timezone",
        zone,
        "write the name of a time zone, for example Europe/Berlin",
    ))
}

fn timers(spec: &SpecClock) -> Result<Timers, RecordError> {
    let Some(timer) = &spec.timer else {
        return Ok(Timers::default());
    };
    let pit = timer.pit.as_ref();
    let rtc = timer.rtc.as_ref();
    let present = |present: Option<bool>| Some(present != Some(false));
    Ok(Timers {
        hpet: timer.hpet.as_ref().and_then(|hpet| present(hpet.present)),
        pit: pit.and_then(|pit| present(pit.present)),
        pit_ticks: ticks("pit", pit.and_then(|pit| pit.tick_policy.as_deref()))?,
        rtc_ticks: ticks("rtc", rtc.and_then(|rtc| rtc.tick_policy.as_deref()))?,
        rtc_track: match rtc.and_then(|rtc| rtc.track.as_deref()) {
            None | Some("") => None,
            Some("guest") => Some(RtcTrack::Guest),
            Some("wall") => Some(RtcTrack::Wall),
            Some(other) => {
                return Err(RecordError::field(
                    "spec.domain.clock.timer.rtc.track",
                    other,
                    "write guest or wall",
                ));
            }
        },
        kvm_clock: timer.kvm.as_ref().and_then(|kvm| present(kvm.present)),
        hyperv_clock: timer.hyperv.as_ref().and_then(|hyperv| present(hyperv.present)),
    })
}

fn ticks(timer: &str, policy: Option<&str>) -> Result<Option<MissedTicks>, RecordError> {
    Ok(match policy {
        None | Some("") => None,
        Some("delay") => Some(MissedTicks::Delay),
        Some("catchup") => Some(MissedTicks::Catchup),
        Some("discard") => Some(MissedTicks::Discard),
        Some(other) => {
            return Err(RecordError::field(
                format!("spec.domain.clock.timer.{timer}.tickPolicy"),
                other,
                "write one of delay, catchup, discard",
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_zone_is_a_name_and_no_path() {
        for (zone, valid) in [
            ("Europe/Berlin", true),
            ("Etc/GMT+3", true),
            ("America/Argentina/Buenos_Aires", true),
            ("UTC", true),
            ("../../etc/passwd", false),
            ("/etc/localtime", false),
            ("Europe//Berlin", false),
            ("Berlin,x", false),
        ] {
            let spec = SpecClock { timezone: Some(zone.to_owned()), ..SpecClock::default() };
            assert_eq!(timezone(&spec).is_ok(), valid, "{zone}");
        }
    }
}
