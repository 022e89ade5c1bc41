//! Rules of a `VirtualMachineInstanceMigration`.

use api::kubevirt::v1::{VirtualMachineInstance, VirtualMachineInstanceMigration};
use api::names::{account, condition, label, reason};
use machinery::field::{FieldError, Path, Problem};

use super::Errors;
use crate::config::ClusterConfig;
use crate::lifecycle::Phase;

/// Checks a new migration. `instance` is the instance that it names, if there is one; `others` tells whether
/// another migration of it is under way; `user` is who creates it.
pub fn vmim(
    migration: &VirtualMachineInstanceMigration,
    instance: Option<&VirtualMachineInstance>,
    others: bool,
    config: &ClusterConfig,
    user: &str,
) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = &migration.spec;
    let at = Path::new("spec.vmiName");
    let name = spec.vmi_name.as_deref().unwrap_or_default();
    if name.is_empty() {
        errors.add(Problem::Required, at.clone(), (), "name the instance that shall move");
    }
    if spec.priority.as_deref().is_some_and(|priority| !priority.is_empty()) {
        // Clients know the field by another name here.
        let at = Path::new("spec.migrationPriority");
        if !config.gate("MigrationPriorityQueue") {
            errors.add(
                Problem::Forbidden,
                at,
                (),
                "spec.priority waits behind the feature gate MigrationPriorityQueue; an administrator can switch it on",
            );
        } else if user != account::CONTROLLER {
            errors.invalid(
                at,
                spec.priority.clone().unwrap_or_default(),
                "the controller sets the priority; remove it",
            );
        }
    }
    if !errors.0.is_empty() {
        return errors.0;
    }
    if (spec.send_to.is_some() || spec.receive.is_some()) && !config.gate("DecentralizedLiveMigration") {
        errors.gate(Path::new("spec"), name, "DecentralizedLiveMigration");
        return errors.0;
    }
    if let (Some(send), Some(receive)) = (&spec.send_to, &spec.receive)
        && send.migration_id != receive.migration_id
    {
        errors.invalid(
            Path::new("spec.sendTo.migrationID"),
            send.migration_id.as_str(),
            "sendTo and receive carry the same migrationID",
        );
    }
    if name.is_empty() || spec.receive.is_some() {
        return errors.0;
    }
    let Some(instance) = instance else {
        errors.add(Problem::NotFound, at, name, "there is no such instance in this namespace");
        return errors.0;
    };
    let status = instance.status.as_ref();
    let phase =
        status.and_then(|status| status.phase.as_deref()).and_then(Phase::parse).unwrap_or(Phase::Pending);
    if phase.is_final() {
        errors.invalid(at.clone(), name, format!("the instance has ended ({})", phase.as_str()));
    }
    let blocked = status.into_iter().flat_map(|status| &status.conditions).find(|own| {
        own.type_ == condition::LIVE_MIGRATABLE
            && own.status == "False"
            && !(spec.send_to.is_some() && own.reason.as_deref() == Some(reason::DISKS_NOT_LIVE_MIGRATABLE))
    });
    if let Some(blocked) = blocked {
        let why = blocked.message.as_deref().or(blocked.reason.as_deref()).unwrap_or_default();
        errors.invalid(at.clone(), name, format!("the instance cannot move while it runs: {why}"));
    }
    if others {
        errors.invalid(at, name, "another migration of this instance is under way; wait until it has ended");
    }
    errors.0
}

/// Checks a change of a migration.
pub fn vmim_update(
    old: &VirtualMachineInstanceMigration,
    new: &VirtualMachineInstanceMigration,
) -> Vec<FieldError> {
    let mut errors = Errors::default();
    if old.spec != new.spec {
        errors.add(
            Problem::NotSupported,
            Path::root(),
            (),
            "the spec of a migration cannot be changed; delete it and make another",
        );
    }
    let selected = |migration: &VirtualMachineInstanceMigration| {
        migration.metadata.labels.as_ref().and_then(|labels| labels.get(label::MIGRATION_VMI_NAME).cloned())
    };
    if selected(old) != selected(new) {
        errors.add(
            Problem::NotSupported,
            Path::root(),
            label::MIGRATION_VMI_NAME,
            "this label names the instance that moves; leave it as it is",
        );
    }
    errors.0
}
