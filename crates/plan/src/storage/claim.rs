//! What a claim needs: a class, a volume, its status, its end.

use std::fmt;

use super::{Claim, Class, NO_PROVISIONER, PROVISIONER, Place, Volume, fit};
use crate::{Notice, Plan};

/// A claim and everything that could fill it.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The claim.
    pub claim: Claim,
    /// All volumes.
    pub volumes: Vec<Volume>,
    /// All classes.
    pub classes: Vec<Class>,
    /// All nodes, in the order of their names.
    pub places: Vec<Place>,
    /// Pods that use the claim and have not ended.
    pub users: Vec<String>,
}

/// A volume to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVolume {
    /// Name.
    pub name: String,
    /// Class.
    pub class: String,
    /// Capacity.
    pub capacity: String,
    /// Access modes.
    pub modes: Vec<String>,
    /// Reclaim policy.
    pub reclaim: String,
    /// Node that it is on.
    pub node: String,
    /// Its directory.
    pub path: String,
}

/// One thing to do for a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Give it the default class.
    SetClass {
        /// The class.
        class: String,
    },
    /// Write down who shall make its volume.
    AskProvisioner {
        /// Name of the provisioner.
        provisioner: String,
    },
    /// Make a volume for it.
    Provision(NewVolume),
    /// Have a volume name the claim.
    BindVolume {
        /// The volume.
        volume: String,
    },
    /// Have the claim name its volume.
    BindClaim {
        /// The volume.
        volume: String,
    },
    /// Have its volume be as large as the claim asks for.
    Grow {
        /// The volume.
        volume: String,
        /// Its new capacity.
        capacity: String,
    },
    /// Write the status.
    Status {
        /// Phase.
        phase: &'static str,
        /// Capacity and access modes of the volume, once there is one.
        of: Option<(String, Vec<String>)>,
    },
    /// Let it go.
    RemoveProtection,
    /// Tell what happened.
    Tell(Notice),
}

/// Decides what a claim needs now.
pub fn step(observed: &Observed) -> Plan<Action> {
    let mut plan = Plan::nothing();
    let claim = &observed.claim;
    if claim.deleting && observed.users.is_empty() {
        if claim.is_protected() {
            plan.push(Action::RemoveProtection);
        }
        return plan;
    }
    if !claim.volume.is_empty() {
        named(observed, &mut plan);
    } else if !claim.deleting {
        unnamed(observed, &mut plan);
    }
    plan
}

/// The claim names a volume.
fn named(observed: &Observed, plan: &mut Plan<Action>) {
    let claim = &observed.claim;
    let Some(volume) = observed.volumes.iter().find(|volume| volume.name == claim.volume) else {
        if claim.bind_completed {
            lose(
                claim,
                "ClaimLost",
                "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
                plan,
            );
        }
        return;
    };
    match &volume.claim {
        Some(owner) if owner.is(claim) => {
            if !claim.bind_completed {
                plan.push(Action::BindClaim { volume: volume.name.clone() });
            } else if claim.phase != "Bound" || claim.capacity_text != volume.capacity_text {
                let of = Some((volume.capacity_text.clone(), volume.modes.clone()));
                plan.push(Action::Status { phase: "Bound", of });
            } else if volume.capacity < claim.request {
                grow(observed, volume, plan);
            }
        }
        Some(owner) if owner.names(claim) && owner.uid.is_empty() => {
            plan.push(Action::BindVolume { volume: volume.name.clone() });
        }
        None => match fit::mismatch(claim, volume) {
            None => plan.push(Action::BindVolume { volume: volume.name.clone() }),
            Some(why) => {
                let message = format!("Cannot bind to requested volume {:?}: {why}", volume.name);
                plan.push(Action::Tell(Notice::warning("VolumeMismatch", message)));
            }
        },
        Some(_) if claim.bind_completed => {
            let why = "Two claims are bound to the same volume, this one is bound incorrectly";
            lose(claim, "ClaimMisbound", why, plan);
        }
        Some(_) => {
            let message = format!("volume {:?} already bound to a different claim.", volume.name);
            plan.push(Action::Tell(Notice::warning("FailedBinding", message)));
        }
    }
}

/// The claim asks for more than its volume has.
fn grow(observed: &Observed, volume: &Volume, plan: &mut Plan<Action>) {
    let claim = &observed.claim;
    let class = observed.classes.iter().find(|class| class.name == volume.class);
    if volume.provisioned_by.as_deref() == Some(PROVISIONER) && class.is_some_and(|class| class.expandable) {
        let capacity = claim.request_text.clone();
        let message = format!(
            "volume {:?} grows from {} to {capacity}; a machine finds its disk grown at its next start",
            volume.name, volume.capacity_text
        );
        plan.push(Action::Grow { volume: volume.name.clone(), capacity });
        plan.push(Action::Tell(Notice::normal("VolumeResizeSuccessful", message)));
        return;
    }
    let message = format!(
        "volume {:?} has {} and does not grow: it was made by hand, or its class {:?} does not say \
         allowVolumeExpansion; copy its content into a larger claim",
        volume.name, volume.capacity_text, volume.class
    );
    plan.push(Action::Tell(Notice::warning("VolumeResizeFailed", message)));
}

fn lose(claim: &Claim, reason: &'static str, message: &str, plan: &mut Plan<Action>) {
    if claim.phase != "Lost" {
        plan.push(Action::Status { phase: "Lost", of: None });
        plan.push(Action::Tell(Notice::warning(reason, message)));
    }
}

/// The claim has no volume yet.
fn unnamed(observed: &Observed, plan: &mut Plan<Action>) {
    let claim = &observed.claim;
    let reserved = |volume: &&Volume| {
        let owner = volume.claim.as_ref().filter(|owner| owner.names(claim));
        !volume.deleting && owner.is_some_and(|owner| owner.uid.is_empty() || owner.uid == claim.uid)
    };
    if let Some(volume) = observed.volumes.iter().find(reserved) {
        let mine = volume.claim.as_ref().is_some_and(|owner| owner.is(claim));
        plan.push(if mine {
            Action::BindClaim { volume: volume.name.clone() }
        } else {
            Action::BindVolume { volume: volume.name.clone() }
        });
        return;
    }
    let Some(name) = &claim.class else {
        match default_class(&observed.classes) {
            Some(class) => plan.push(Action::SetClass { class: class.name.clone() }),
            None => plan.push(Action::Tell(nothing_fits())),
        }
        return;
    };
    let class = observed.classes.iter().find(|class| class.name == *name);
    let place = if class.is_some_and(|class| class.delayed) {
        let Some(node) = &claim.selected_node else {
            let message = "waiting for first consumer to be created before binding";
            plan.push(Action::Tell(Notice::normal("WaitForFirstConsumer", message)));
            return;
        };
        observed.places.iter().find(|place| place.node == *node)
    } else {
        None
    };
    if let Some(volume) = fit::best(claim, &observed.volumes, place) {
        plan.push(Action::BindVolume { volume: volume.name.clone() });
        return;
    }
    match class {
        None if name.is_empty() => plan.push(Action::Tell(nothing_fits())),
        None => {
            let message = format!("storageclass.storage.k8s.io {name:?} not found");
            plan.push(Action::Tell(Notice::warning("ProvisioningFailed", message)));
        }
        Some(class) if class.provisioner == NO_PROVISIONER => plan.push(Action::Tell(nothing_fits())),
        Some(class) if class.provisioner == PROVISIONER => match provision(observed, class, place) {
            Ok(volume) => {
                let message = format!("Successfully provisioned volume {}", volume.name);
                plan.push(Action::Provision(volume));
                plan.push(Action::Tell(Notice::normal("ProvisioningSucceeded", message)));
            }
            Err(why) => {
                let message = format!("failed to provision volume with StorageClass {:?}: {why}", class.name);
                plan.push(Action::Tell(Notice::warning("ProvisioningFailed", message)));
            }
        },
        Some(class) => {
            let provisioner = class.provisioner.clone();
            if claim.provisioner.as_ref() != Some(&provisioner) {
                plan.push(Action::AskProvisioner { provisioner: provisioner.clone() });
            }
            let message = format!(
                "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by \
                 the system administrator. If volume creation is delayed, please verify that the provisioner is \
                 running and correctly registered."
            );
            plan.push(Action::Tell(Notice::normal("ExternalProvisioning", message)));
        }
    }
}

fn nothing_fits() -> Notice {
    let message = "no persistent volumes available for this claim and no storage class is set";
    Notice::normal("FailedBinding", message)
}

/// Returns the newest of the classes that say they are the default.
fn default_class(classes: &[Class]) -> Option<&Class> {
    let defaults = classes.iter().filter(|class| class.is_default);
    defaults.max_by(|a, b| a.created.cmp(&b.created).then_with(|| b.name.cmp(&a.name)))
}

/// Describes the directory that fills a claim, or says why there can be none.
fn provision(observed: &Observed, class: &Class, place: Option<&Place>) -> Result<NewVolume, String> {
    let claim = &observed.claim;
    if let Some(why) = unlike_local_volumes(claim) {
        return Err(why);
    }
    // Whoever binds at once names no node; any that keeps volumes will do.
    let place = if class.delayed { place } else { observed.places.iter().find(|p| p.directory.is_some()) };
    let (node, directory) = place
        .and_then(|place| Some((&place.node, place.directory.as_ref()?)))
        .ok_or_else(|| format!("node {} keeps no local volumes", node_of(claim)))?;
    let name = format!("pvc-{}", claim.uid);
    Ok(NewVolume {
        path: format!("{}/{name}", directory.trim_end_matches('/')),
        name,
        class: class.name.clone(),
        capacity: claim.request_text.clone(),
        modes: claim.modes.clone(),
        reclaim: class.reclaim.clone(),
        node: node.clone(),
    })
}

/// Says why no local volume can be made for `claim`, on whatever node.
fn unlike_local_volumes(claim: &Claim) -> Option<String> {
    if claim.block {
        return Some("volumeMode is Block: local volumes are directories; ask for Filesystem".to_owned());
    }
    if claim.has_source {
        return Some("dataSource is set: local volumes begin empty; leave it out".to_owned());
    }
    if claim.selector.is_some() {
        return Some("selector is set: it chooses among volumes that exist; leave it out".to_owned());
    }
    let mode = claim.modes.iter().find(|mode| !MODES.contains(&mode.as_str()))?;
    Some(format!("accessModes has {mode}: a local volume is on one node; ask for ReadWriteOnce"))
}

/// Says why an unbound `claim` of `class` will have no volume on any node: none of `volumes` fits and none can be made.
pub fn hopeless<'a>(
    claim: &Claim,
    class: &Class,
    volumes: impl IntoIterator<Item = &'a Volume>,
) -> Option<String> {
    let why = (class.provisioner == PROVISIONER).then(|| unlike_local_volumes(claim)).flatten()?;
    // One that is there is good enough, and one that names the claim will be.
    let fits = |volume: &Volume| match &volume.claim {
        Some(owner) => owner.names(claim),
        None => fit::fits(claim, volume),
    };
    (!volumes.into_iter().any(fits)).then_some(why)
}

/// Access modes that one node can give.
pub const MODES: [&str; 2] = ["ReadWriteOnce", "ReadWriteOncePod"];

fn node_of(claim: &Claim) -> &str {
    claim.selected_node.as_deref().unwrap_or("(none)")
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetClass { class } => write!(f, "give it the class {class}"),
            Self::AskProvisioner { provisioner } => write!(f, "ask {provisioner} for a volume"),
            Self::Provision(volume) => {
                write!(f, "make volume {} of {} on {}", volume.name, volume.capacity, volume.node)
            }
            Self::BindVolume { volume } => write!(f, "have volume {volume} name the claim"),
            Self::BindClaim { volume } => write!(f, "have the claim name volume {volume}"),
            Self::Grow { volume, capacity } => write!(f, "grow volume {volume} to {capacity}"),
            Self::Status { phase, of: Some((capacity, _)) } => write!(f, "write {phase} with {capacity}"),
            Self::Status { phase, of: None } => write!(f, "write {phase}"),
            Self::RemoveProtection => f.write_str("let it go"),
            Self::Tell(notice) => notice.fmt(f),
        }
    }
}
