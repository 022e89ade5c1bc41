//! Whether a machine could move to another node while it runs, and what stands in the way.

use std::collections::BTreeMap;

use api::kubevirt::v1::{VirtualMachineInstance, Volume};
use api::names::{condition as kind, reason};
use jiff::Timestamp;
use model::claims::{self, Claim};
use serde::{Deserialize, Serialize};

use crate::condition::{self, Condition};

/// Annotation with which a user accepts that a bridged machine changes its address when it moves.
const ALLOW_BRIDGE: &str = "kubevirt.io/allow-pod-bridge-network-live-migration";
/// Access mode of a claim that several nodes write at once.
const SHARED: &str = "ReadWriteMany";
/// Reason for what has no word of its own.
const NOT_MIGRATABLE: &str = "NotMigratable";
/// What is true of every machine. Goes with the first release that moves one.
const NOT_YET: &str = "This release cannot move a running machine; stop it, and start it on the other node";

/// What a machine's specification says about moving it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Moving {
    /// What stands in the way, the first being the one to tell.
    pub obstacles: Vec<Obstacle>,
    /// Whether disks that only this node has would have to be copied.
    pub copies_disks: bool,
}

/// One thing that stands in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Obstacle {
    /// One word.
    pub reason: String,
    /// One sentence without its full stop.
    pub message: String,
}

impl Moving {
    /// Judges an instance whose claims are `claims`, by name.
    pub fn of(vmi: &VirtualMachineInstance, claims: &BTreeMap<String, Claim>) -> Self {
        let found = [disks(vmi, claims), interfaces(vmi), clock(vmi), passthrough(vmi), devices(vmi)];
        Self {
            obstacles: found.into_iter().flatten().collect(),
            copies_disks: vmi.spec.volumes.iter().any(|volume| is_local(vmi, volume)),
        }
    }

    /// Returns the API's word for how the machine would move.
    pub(super) fn method(&self) -> &'static str {
        if self.copies_disks { "BlockMigration" } else { "LiveMigration" }
    }

    /// Sets the two conditions that tell.
    pub(super) fn tell(&self, conditions: &mut Vec<Condition>, now: Timestamp) {
        let machine = match self.obstacles.first() {
            Some(first) => Condition::new(kind::LIVE_MIGRATABLE, false, &first.reason, first.message.clone()),
            None => Condition::new(
                kind::LIVE_MIGRATABLE,
                false,
                NOT_MIGRATABLE,
                format!("Nothing in the machine stands in the way. {NOT_YET}"),
            ),
        };
        condition::set(conditions, machine, now);
        // Its disks are what would be moved here, so they are no obstacle.
        let others = self.obstacles.iter().filter(|one| one.reason != reason::DISKS_NOT_LIVE_MIGRATABLE);
        let mut all: Vec<&str> = others.map(|one| one.message.as_str()).collect();
        all.push(NOT_YET);
        let storage = Condition::new(kind::STORAGE_LIVE_MIGRATABLE, false, NOT_MIGRATABLE, all.join(". "));
        condition::set(conditions, storage, now);
    }

    /// Removes them: a machine that does not run is not moved.
    pub(super) fn forget(conditions: &mut Vec<Condition>) {
        condition::remove(conditions, kind::LIVE_MIGRATABLE);
        condition::remove(conditions, kind::STORAGE_LIVE_MIGRATABLE);
    }
}

fn obstacle(reason: &str, message: String) -> Obstacle {
    Obstacle { reason: reason.to_owned(), message }
}

fn disks(vmi: &VirtualMachineInstance, claims: &BTreeMap<String, Claim>) -> Option<Obstacle> {
    vmi.spec.volumes.iter().find_map(|volume| {
        let refuse = |why: String| Some(obstacle(reason::DISKS_NOT_LIVE_MIGRATABLE, why));
        let name = &volume.name;
        if volume.host_disk.as_ref().is_some_and(|disk| disk.shared != Some(true)) {
            return refuse(format!(
                "The disk of volume {name} is a file of this node (hostDisk that is not shared)"
            ));
        }
        let claim = claimed(volume)?;
        match claims.get(claim) {
            None => refuse(format!("What other nodes can do with the claim {claim} is not known")),
            Some(known) if known.is_accessed(SHARED) => None,
            Some(_) => refuse(format!(
                "The claim {claim} of volume {name} is not shared: only claims with the access mode {SHARED} are used on \
                 two nodes at once"
            )),
        }
    })
}

/// Returns the claim that the guest's writes go to.
fn claimed(volume: &Volume) -> Option<&str> {
    if let Some(source) = &volume.data_volume {
        return Some(&source.name);
    }
    let (claim, _) = claims::of_volume(volume).filter(|_| volume.ephemeral.is_none())?;
    Some(claim)
}

/// Tells whether the disk of a volume is made on the node.
fn is_local(vmi: &VirtualMachineInstance, volume: &Volume) -> bool {
    let is_folder = vmi.spec.domain.devices.filesystems.iter().any(|folder| folder.name == volume.name);
    !is_folder && claimed(volume).is_none() && volume.host_disk.is_none()
}

fn interfaces(vmi: &VirtualMachineInstance) -> Option<Obstacle> {
    let pod = vmi.spec.networks.iter().find(|network| network.pod.is_some())?;
    let interface = vmi.spec.domain.devices.interfaces.iter().find(|one| one.name == pod.name)?;
    let accepted = vmi.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(ALLOW_BRIDGE));
    if interface.masquerade.is_some() || interface.passt_binding.is_some() {
        return None;
    }
    if interface.bridge.is_some() && accepted {
        return None;
    }
    Some(obstacle(
        reason::INTERFACE_NOT_LIVE_MIGRATABLE,
        format!(
            "The interface {} would change its address: use masquerade on the Pod's network, or accept the change by the \
             annotation {ALLOW_BRIDGE}",
            interface.name
        ),
    ))
}

/// A guest that counts on its processor's clock needs one of the same speed.
fn clock(vmi: &VirtualMachineInstance) -> Option<Obstacle> {
    let features = vmi.spec.domain.cpu.as_ref().map(|cpu| cpu.features.as_slice()).unwrap_or_default();
    let counts = features.iter().any(|feature| {
        feature.name == "invtsc" && matches!(feature.policy.as_deref(), None | Some("" | "require"))
    });
    if !counts {
        return None;
    }
    let why = "The guest is promised a clock of constant speed (CPU feature invtsc), and the speed of other nodes is not known";
    Some(obstacle("NoTSCFrequencyNotLiveMigratable", why.to_owned()))
}

fn passthrough(vmi: &VirtualMachineInstance) -> Option<Obstacle> {
    let all = vmi.spec.domain.features.as_ref()?.hyperv_passthrough.as_ref()?;
    if all.enabled == Some(false) {
        return None;
    }
    let why = "The guest uses every Hyper-V feature of this node (hypervPassthrough)";
    Some(obstacle("HypervPassthroughNotLiveMigratable", why.to_owned()))
}

fn devices(vmi: &VirtualMachineInstance) -> Option<Obstacle> {
    let devices = &vmi.spec.domain.devices;
    if devices.host_devices.is_empty() && devices.gpus.is_empty() {
        return None;
    }
    Some(obstacle("HostDeviceNotLiveMigratable", "The guest uses devices of this node".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn judge(spec: Value, modes: &[&str]) -> (Vec<String>, &'static str) {
        let vmi: VirtualMachineInstance =
            serde_json::from_value(json!({ "metadata": {"name": "web"}, "spec": spec })).unwrap();
        let claim = Claim { shown: json!({ "accessModes": modes }), ..Claim::default() };
        let moving = Moving::of(&vmi, &BTreeMap::from([("data".to_owned(), claim)]));
        (moving.obstacles.iter().map(|one| one.reason.clone()).collect(), moving.method())
    }

    fn spec(interface: Value, volumes: Value, domain: Value) -> Value {
        let mut spec = json!({
            "domain": {"devices": {"interfaces": [interface]}},
            "networks": [{"name": "default", "pod": {}}],
            "volumes": volumes,
        });
        for (name, value) in domain.as_object().unwrap() {
            spec["domain"][name] = value.clone();
        }
        spec
    }

    #[test]
    fn each_obstacle_has_its_word() {
        let masquerade = || json!({"name": "default", "masquerade": {}});
        let container = || json!([{"name": "root", "containerDisk": {"image": "i"}}]);
        let claim = || json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
        for (spec, modes, reasons, method) in [
            (spec(masquerade(), container(), json!({})), vec![], vec![], "BlockMigration"),
            (spec(masquerade(), claim(), json!({})), vec!["ReadWriteMany"], vec![], "LiveMigration"),
            (
                spec(masquerade(), claim(), json!({})),
                vec!["ReadWriteOnce"],
                vec!["DisksNotLiveMigratable"],
                "LiveMigration",
            ),
            (
                spec(json!({"name": "default", "bridge": {}}), container(), json!({})),
                vec![],
                vec!["InterfaceNotLiveMigratable"],
                "BlockMigration",
            ),
            (
                spec(
                    masquerade(),
                    json!([{"name": "h", "hostDisk": {"path": "/d", "type": "Disk"}}]),
                    json!({"cpu": {"features": [{"name": "invtsc"}]}}),
                ),
                vec![],
                vec!["DisksNotLiveMigratable", "NoTSCFrequencyNotLiveMigratable"],
                "LiveMigration",
            ),
            (
                spec(masquerade(), container(), json!({"features": {"hypervPassthrough": {}}})),
                vec![],
                vec!["HypervPassthroughNotLiveMigratable"],
                "BlockMigration",
            ),
        ] {
            let text = spec.to_string();
            let (found, how) = judge(spec, &modes);
            assert_eq!((found, how), (reasons.iter().map(ToString::to_string).collect(), method), "{text}");
        }
    }

    #[test]
    fn a_bridge_is_accepted_by_annotation_and_no_network_needs_nothing() {
        let vmi = |spec: Value, annotations: Value| -> VirtualMachineInstance {
            serde_json::from_value(json!({"metadata": {"annotations": annotations}, "spec": spec})).unwrap()
        };
        let bridge = spec(json!({"name": "default", "bridge": {}}), json!([]), json!({}));
        let accepted = vmi(bridge, json!({ ALLOW_BRIDGE: "" }));
        assert_eq!(Moving::of(&accepted, &BTreeMap::new()), Moving::default());
        assert_eq!(Moving::of(&vmi(json!({}), json!({})), &BTreeMap::new()), Moving::default());
    }
}
