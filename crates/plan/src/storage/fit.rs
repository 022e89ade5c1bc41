//! Which volumes that are already there could fill a claim.

use machinery::selector::LabelSelector;

use super::{Claim, Place, Volume};
use crate::scheduler::{Node, meets_any};

/// Returns the smallest free volume that fills `claim`; of equals the first by name.
pub(super) fn best<'a>(claim: &Claim, volumes: &'a [Volume], place: Option<&Place>) -> Option<&'a Volume> {
    let free = volumes.iter().filter(|volume| volume.claim.is_none());
    let fitting = free.filter(|volume| fits(claim, volume));
    let reachable = fitting.filter(|volume| place.is_none_or(|place| reaches(volume, place)));
    reachable.min_by(|a, b| (a.capacity, &a.name).cmp(&(b.capacity, &b.name)))
}

/// Tells whether `volume` could fill `claim`, were it free and within reach.
pub(super) fn fits(claim: &Claim, volume: &Volume) -> bool {
    let selector = claim.selector.as_ref();
    !volume.deleting
        && mismatch(claim, volume).is_none()
        && selector.is_none_or(|selector| matches(selector, volume))
}

/// Says why `volume` cannot fill `claim`.
pub(super) fn mismatch(claim: &Claim, volume: &Volume) -> Option<&'static str> {
    if volume.capacity < claim.request {
        Some("requested PV is too small")
    } else if volume.class != claim.class.as_deref().unwrap_or_default() {
        Some("storageClassName does not match")
    } else if volume.block != claim.block {
        Some("incompatible volumeMode")
    } else if claim.modes.iter().any(|mode| !volume.modes.contains(mode)) {
        Some("incompatible accessMode")
    } else {
        None
    }
}

fn matches(selector: &LabelSelector, volume: &Volume) -> bool {
    selector.matches_labels(|key| volume.labels.get(key).map(String::as_str))
}

fn reaches(volume: &Volume, place: &Place) -> bool {
    let node = Node { name: place.node.clone(), labels: place.labels.clone(), ..Node::default() };
    meets_any(&volume.nodes, &node)
}
