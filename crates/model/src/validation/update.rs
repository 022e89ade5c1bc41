//! Rules of changes to an instance: users change nothing that the machine runs by; the installation's own
//! components change what can be changed while it runs.

use api::kubevirt::v1::VirtualMachineInstance;
use api::names::{account, label};
use machinery::field::{FieldError, Path, Problem};

use super::Errors;

/// Checks a change of an instance by `user`.
pub fn vmi_update(old: &VirtualMachineInstance, new: &VirtualMachineInstance, user: &str) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let own = account::is_own(user);
    if old.spec != new.spec {
        if own {
            by_component(old, new, &mut errors);
        } else {
            errors.add(
                Problem::NotSupported,
                Path::new("spec"),
                (),
                "the specification of an instance cannot be changed; change its VirtualMachine, or make a new one",
            );
        }
    }
    if !own {
        let value = |vmi: &VirtualMachineInstance, name: &str| {
            vmi.metadata.labels.as_ref().and_then(|labels| labels.get(name).cloned())
        };
        if let Some(name) = label::RESERVED.iter().find(|name| value(old, name) != value(new, name)) {
            errors.add(
                Problem::NotSupported,
                Path::new("metadata.labels").key(name),
                value(new, name),
                "this label is set by the installation itself; leave it as it is",
            );
        }
    }
    errors.0
}

fn by_component(old: &VirtualMachineInstance, new: &VirtualMachineInstance, errors: &mut Errors) {
    let max_sockets =
        |vmi: &VirtualMachineInstance| vmi.spec.domain.cpu.as_ref().and_then(|cpu| cpu.max_sockets);
    if max_sockets(old) != max_sockets(new) {
        errors.invalid(
            Path::new("spec.domain.cpu.maxSockets"),
            max_sockets(new),
            "maxSockets is fixed while the machine runs",
        );
    }
    let max_guest = |vmi: &VirtualMachineInstance| {
        vmi.spec.domain.memory.as_ref().and_then(|memory| memory.max_guest.as_ref()).map(ToString::to_string)
    };
    if max_guest(old) != max_guest(new) {
        errors.invalid(
            Path::new("spec.domain.memory.maxGuest"),
            max_guest(new),
            "maxGuest is fixed while the machine runs",
        );
    }
    let volumes = new.spec.volumes.iter().filter(|volume| volume.memory_dump.is_none()).count();
    let devices = &new.spec.domain.devices;
    let used = new.spec.volumes.iter().filter(|volume| {
        devices.disks.iter().any(|disk| disk.name == volume.name)
            || devices.filesystems.iter().any(|filesystem| filesystem.name == volume.name)
    });
    if old.spec.volumes != new.spec.volumes && used.count() < volumes {
        errors.invalid(
            Path::new("spec.volumes"),
            volumes,
            "every volume needs a disk or file system of the same name",
        );
    }
    for volume in &old.spec.volumes {
        let hotplugged = |volume: &api::kubevirt::v1::Volume| {
            volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.hotpluggable == Some(true))
                || volume.data_volume.as_ref().is_some_and(|source| source.hotpluggable == Some(true))
                || volume.memory_dump.is_some()
        };
        let still = new.spec.volumes.iter().any(|other| other.name == volume.name);
        if !still && !hotplugged(volume) {
            errors.invalid(
                Path::new("spec.volumes"),
                volume.name.as_str(),
                "only volumes that were attached while the machine runs can be removed",
            );
        }
    }
}
