//! What a Pod's claims mean for its place.

use kube_ext::Key;
use plan::scheduler::PodClaim;

use crate::storage::Caches;

/// Looks at the claims `names` of a Pod in `namespace`; `is_taken` says whether another Pod with a node uses a claim.
pub(super) fn of(
    caches: &Caches,
    namespace: &str,
    names: &[String],
    is_taken: impl Fn(&str) -> bool,
) -> Vec<PodClaim> {
    let look = |name: &String| {
        let key = Key::new(namespace, name);
        let is_alone = caches.claims.get(&key).is_some_and(|claim| is_exclusive(&claim.modes));
        if is_alone && is_taken(name) {
            return PodClaim::Unusable { why: TAKEN.to_owned() };
        }
        one(caches, &key)
    };
    names.iter().map(look).collect()
}

/// Kubernetes' words for a claim that belongs to another Pod alone.
const TAKEN: &str =
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";

fn is_exclusive(modes: &[String]) -> bool {
    modes.iter().any(|mode| mode == "ReadWriteOncePod")
}

fn one(caches: &Caches, key: &Key) -> PodClaim {
    let name = key.name.clone();
    let unusable = |why: String| PodClaim::Unusable { why };
    let Some(claim) = caches.claims.get(key) else {
        return unusable(format!("persistentvolumeclaim {name:?} not found"));
    };
    if claim.deleting {
        return unusable(format!("persistentvolumeclaim {name:?} is being deleted"));
    }
    if claim.phase == "Lost" {
        return unusable(format!(
            "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {:?}",
            claim.volume
        ));
    }
    if claim.is_bound() {
        // The volume of a bound claim is only unknown for as long as its news are under way.
        return match caches.volumes.get(&Key::cluster(&claim.volume)) {
            Some(volume) => PodClaim::Bound { name, nodes: volume.nodes.clone() },
            None => unusable(format!("persistentvolume {:?} not found", claim.volume)),
        };
    }
    let class = claim.class.as_ref().and_then(|class| caches.classes.get(&Key::cluster(class)));
    if let Some(class) = &class
        && claim.volume.is_empty()
    {
        let volumes: Vec<_> = caches.volumes.all().into_iter().map(|(_, volume)| volume).collect();
        if let Some(why) = plan::storage::claim::hopeless(&claim, class, volumes.iter().map(AsRef::as_ref)) {
            return unusable(format!("persistentvolumeclaim {name:?} gets no volume: {why}"));
        }
    }
    if class.is_some_and(|class| class.delayed) && waits(&claim.volume, claim.selected_node.as_deref()) {
        return PodClaim::Delayed { name, selected: claim.selected_node.clone() };
    }
    unusable("pod has unbound immediate PersistentVolumeClaims".to_owned())
}

/// Tells whether an unbound claim of a class that waits for Pods waits for this one, or for the volume that was asked for
/// on a node: that is written into the claim before the two are bound.
fn waits(volume: &str, selected_node: Option<&str>) -> bool {
    volume.is_empty() || selected_node.is_some()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_claim_waits_until_the_volume_that_was_asked_for_is_bound() {
        for (volume, node, waits) in
            [("", None, true), ("", Some("a"), true), ("pv", Some("a"), true), ("pv", None, false)]
        {
            assert_eq!(super::waits(volume, node), waits, "{volume} on {node:?}");
        }
    }
}
