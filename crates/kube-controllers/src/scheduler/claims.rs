//! What a Pod's claims mean for its place.

use kube_ext::Key;
use plan::scheduler::PodClaim;

use crate::storage::Caches;

/// Looks at the claims `names` of a Pod in `namespace`.
pub(super) fn of(caches: &Caches, namespace: &str, names: &[String]) -> Vec<PodClaim> {
    names.iter().map(|name| one(caches, &Key::new(namespace, name))).collect()
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
    if class.is_some_and(|class| class.delayed) && claim.volume.is_empty() {
        return PodClaim::Delayed { name, selected: claim.selected_node.clone() };
    }
    unusable("pod has unbound immediate PersistentVolumeClaims".to_owned())
}
