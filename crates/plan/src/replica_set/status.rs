//! What a replica set says.

use api::names::condition as kind;
use jiff::Timestamp;
use machinery::selector::LabelSelector;

use super::{Observed, Status, Trouble};
use crate::condition::{self, Condition};

/// Returns the status as it should be.
pub(super) fn of(observed: &Observed, trouble: Option<&Trouble>, now: Timestamp) -> Status {
    let set = &observed.set;
    let mut conditions = set.status.conditions.clone();
    if set.paused {
        let paused = Condition::new(
            kind::REPLICA_PAUSED,
            true,
            "Paused",
            "spec.paused is true: its instances stay as they are",
        );
        condition::set(&mut conditions, paused, now);
    } else {
        condition::remove(&mut conditions, kind::REPLICA_PAUSED);
    }
    if let Some(Trouble { reason, message }) = trouble {
        condition::set(&mut conditions, Condition::new(kind::REPLICA_FAILURE, true, reason, message), now);
    } else {
        condition::remove(&mut conditions, kind::REPLICA_FAILURE);
    }
    Status {
        replicas: Some(observed.active().count()),
        ready_replicas: Some(observed.active().filter(|member| member.ready).count()),
        label_selector: Some(text(&set.selector)),
        conditions,
    }
}

/// Writes a selector in the order of its keys, as Kubernetes does.
fn text(selector: &LabelSelector) -> String {
    let mut requirements = selector.requirements().to_vec();
    requirements.sort_by(|a, b| a.key.cmp(&b.key));
    for one in &mut requirements {
        one.values.sort();
    }
    LabelSelector::new(requirements).to_string()
}
