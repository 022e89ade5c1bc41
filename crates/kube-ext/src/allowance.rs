//! How many Events one object may have: some at once, then few. Whoever makes an object fail, and chooses the words of its
//! failures, must not decide how often the server writes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ObjectRef;

/// Events of one object for one reason that may follow each other at once.
const BURST: u32 = 25;
/// After which time there may be one more.
const REFILL: Duration = Duration::from_secs(300);
/// Objects that are remembered; who is forgotten begins anew.
const REMEMBERED: usize = 4096;

/// What objects have used up, by object and reason: noise of one kind must not hide news of another.
#[derive(Debug, Default)]
pub(crate) struct Allowances(BTreeMap<(ObjectRef, String), Duration>);

impl Allowances {
    /// Takes one Event out of an object's allowance; false when nothing is left of it. `now` is the time since some start
    /// that all calls share.
    pub(crate) fn take(&mut self, object: &ObjectRef, reason: &str, now: Duration) -> bool {
        let key = (object.clone(), reason.to_owned());
        // What is kept is when all will have been refilled.
        let full_at = self.0.get(&key).map_or(now, |at| (*at).max(now));
        if full_at.saturating_sub(now) > REFILL * (BURST - 1) {
            return false;
        }
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&key) {
            self.0.retain(|_, full_at| *full_at > now);
            // Whoever has used least has least to gain from it.
            let thriftiest = self.0.iter().min_by_key(|(_, full_at)| **full_at).map(|(key, _)| key.clone());
            if let Some(thriftiest) = thriftiest.filter(|_| self.0.len() >= REMEMBERED) {
                self.0.remove(&thriftiest);
            }
        }
        self.0.insert(key, full_at.saturating_add(REFILL));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, resources};

    fn pod(name: &str) -> ObjectRef {
        ObjectRef::new(&resources::POD, Key::new("ns", name), "uid")
    }

    #[test]
    fn a_burst_and_then_one_in_a_while_for_each_object_and_reason() {
        let mut allowances = Allowances::default();
        let start = Duration::from_secs(1000);
        let mut each_second = |name: &str, reason: &str, from: u64, seconds: u64| {
            let times = (from..from + seconds).map(Duration::from_secs);
            times.filter(|at| allowances.take(&pod(name), reason, start + *at)).count()
        };
        // 25 at once, and one for each five minutes that passed.
        assert_eq!(each_second("a", "Unhealthy", 0, 100), 25);
        assert_eq!(each_second("a", "Unhealthy", 100, 3500), 11);
        assert_eq!(each_second("a", "Killing", 3600, 2), 2);
        assert_eq!(each_second("b", "Unhealthy", 3600, 2), 2);
        // After a long silence there may be a burst again, and not more.
        assert_eq!(each_second("a", "Unhealthy", 100_000, 100), 25);
    }

    #[test]
    fn memory_is_bounded() {
        let mut allowances = Allowances::default();
        for number in 0..2 * REMEMBERED {
            assert!(allowances.take(&pod(&number.to_string()), "Unhealthy", Duration::ZERO));
        }
        assert_eq!(allowances.0.len(), REMEMBERED);
    }

    #[test]
    fn who_has_used_everything_is_not_forgotten_for_others() {
        let mut allowances = Allowances::default();
        let noisy = pod("a");
        while allowances.take(&noisy, "Unhealthy", Duration::ZERO) {}
        for number in 0..2 * REMEMBERED {
            allowances.take(&pod(&format!("other-{number}")), "Unhealthy", Duration::ZERO);
        }
        assert!(!allowances.take(&noisy, "Unhealthy", Duration::ZERO));
    }
}
