//! Failures in a row: how they are counted and how long the next start waits.
//!
//! An instance counts that failed, and one that ended, for whatever reason, before its guest ever ran.
//!
//! The wait is `10 s * n²` and up to half of that again, at most 300 s. The extra part follows from the failed
//! instance's identity, so that machines which failed together do not start together, and a replay repeats it. An
//! instance that ran for 300 s clears the count.

use std::time::Duration;

use jiff::Timestamp;

use super::strategy::{self, Want};
use super::{Instance, Observed, StartFailure, Status};
use crate::{name, time};

/// Longest wait, and the running time that clears the count.
const LIMIT: Duration = Duration::from_secs(300);

/// Returns the wait after `failures` in a row, of which `uid` was the last.
pub fn backoff(failures: u32, uid: &str) -> Duration {
    let base = Duration::from_secs(10).saturating_mul(failures.saturating_mul(failures));
    if base >= LIMIT {
        return LIMIT;
    }
    let share = name::hash(uid) % 501;
    (base + base.mul_f64(share as f64 / 1000.0)).min(LIMIT)
}

/// Returns how long a start still has to wait.
pub(super) fn wait(status: &Status, now: Timestamp) -> Option<Duration> {
    time::until(status.start_failure.as_ref()?.retry_after_timestamp?, LIMIT, now)
}

/// Returns the count as it should be now.
pub(super) fn count(observed: &Observed, now: Timestamp) -> Option<StartFailure> {
    let known = observed.vm.status.start_failure.as_ref();
    let Some(instance) = observed.owned_instance() else {
        return known.filter(|_| observed.vm.strategy.counts_starts()).cloned();
    };
    if is_uncounted(observed) {
        let failures = known.map_or(0, |known| known.consecutive_fail_count).saturating_add(1);
        let wait = backoff(failures.unsigned_abs(), &instance.uid);
        let retry = time::stamp(now).checked_add(Duration::from_secs(wait.as_secs())).unwrap_or(now);
        return Some(StartFailure {
            consecutive_fail_count: failures,
            last_failed_vmi_uid: Some(instance.uid.clone()),
            retry_after_timestamp: Some(retry),
        });
    }
    let lasted = instance.running_since.is_some_and(|since| time::between(since, now) >= LIMIT);
    known.filter(|_| !lasted && !ends_well(observed, instance)).cloned()
}

/// Tells whether what the instance says of failures is not in the status yet. It must be before the instance goes.
pub(super) fn is_unrecorded(observed: &Observed) -> bool {
    let known = observed.vm.status.start_failure.is_some();
    is_uncounted(observed)
        || known && observed.owned_instance().is_some_and(|instance| ends_well(observed, instance))
}

/// Tells whether a guest that ran has ended in order, or is being stopped: nothing has to be waited for after it.
fn ends_well(observed: &Observed, instance: &Instance) -> bool {
    let stops = || matches!(strategy::want(&observed.vm, Some(instance)), Want::Stop { .. });
    let ran = instance.ran || instance.running_since.is_some();
    ran && !instance.is_failed() && (instance.deleting || instance.phase == "Succeeded" || stops())
}

/// Tells whether the instance failed and that has not been recorded.
fn is_uncounted(observed: &Observed) -> bool {
    let vm = &observed.vm;
    let known = vm.status.start_failure.as_ref().and_then(|known| known.last_failed_vmi_uid.as_ref());
    observed.owned_instance().is_some_and(|instance| {
        // One that is to be stopped is counted before it begins to go: afterwards it may be gone before anybody looks.
        let stops = || matches!(strategy::want(vm, Some(instance)), Want::Stop { .. });
        let ends = instance.deleting || instance.is_final() || stops();
        let early = ends && instance.never_ran() && vm.strategy.counts_starts() && !vm.deleting;
        (instance.is_failed() || early) && known != Some(&instance.uid)
    })
}

/// Returns when a running instance will clear the count.
pub(super) fn clears_in(observed: &Observed, now: Timestamp) -> Option<Duration> {
    observed.vm.status.start_failure.as_ref()?;
    time::left(observed.owned_instance()?.running_since?, LIMIT, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_by_the_square_and_stop_at_five_minutes() {
        for (failures, least) in [(1, 10), (2, 40), (3, 90), (4, 160), (5, 250)] {
            let wait = backoff(failures, "a").as_secs_f64();
            let (least, most) = (f64::from(least), (f64::from(least) * 1.5).min(300.0));
            assert!((least..=most).contains(&wait), "{failures} failures: {wait}");
        }
        assert_eq!(backoff(6, "a"), LIMIT);
        assert_eq!(backoff(u32::MAX, "a"), LIMIT);
        assert_ne!(backoff(3, "a"), backoff(3, "b"));
    }
}
