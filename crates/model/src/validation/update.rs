//! Rules of changes to an instance: users change nothing that the machine runs by; the installation's own
//! components change what can be changed while it runs.
//!
//! Clients know these refusals by their reason, without a field: the sentences name it.

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
                Path::root(),
                (),
                "spec of an instance cannot be changed; change its VirtualMachine, or make a new one",
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
                Path::root(),
                value(new, name),
                format!("metadata.labels[{name}] is set by the installation itself; leave it as it is"),
            );
        }
    }
    errors.0
}

/// Checks a change by a node's agent, known to act on `node`: it may touch what its node has, and has no say in where an
/// instance goes.
pub fn vmi_node(
    old: &VirtualMachineInstance,
    new: &VirtualMachineInstance,
    node: Option<&str>,
) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let target = |vmi: &VirtualMachineInstance| {
        vmi.status.as_ref().and_then(|status| status.migration_state.as_ref()?.target_node.clone())
    };
    let source = old.status.as_ref().and_then(|status| status.node_name.clone());
    let rule = match node {
        None => {
            "the agent's service account does not say on which node it acts; its token has to be bound to its Pod"
        }
        Some(node) if source.as_deref() != Some(node) && target(old).as_deref() != Some(node) => {
            "the instance is on another node than the agent that changes it"
        }
        Some(_) if target(old) != target(new) => {
            "status.migrationState.targetNode is set by the controller; leave it as it is"
        }
        Some(_) => return errors.0,
    };
    errors.invalid(Path::root(), node, rule);
    errors.0
}

fn by_component(old: &VirtualMachineInstance, new: &VirtualMachineInstance, errors: &mut Errors) {
    let max_sockets =
        |vmi: &VirtualMachineInstance| vmi.spec.domain.cpu.as_ref().and_then(|cpu| cpu.max_sockets);
    if max_sockets(old) != max_sockets(new) {
        errors.invalid(
            Path::root(),
            max_sockets(new),
            "spec.domain.cpu.maxSockets is fixed while the machine runs",
        );
    }
    let max_guest = |vmi: &VirtualMachineInstance| {
        vmi.spec.domain.memory.as_ref().and_then(|memory| memory.max_guest.as_ref()).map(ToString::to_string)
    };
    if max_guest(old) != max_guest(new) {
        errors.invalid(
            Path::root(),
            max_guest(new),
            "spec.domain.memory.maxGuest is fixed while the machine runs",
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
            Path::root(),
            volumes,
            "every volume of spec.volumes needs a disk or file system of the same name",
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
                Path::root(),
                volume.name.as_str(),
                "of spec.volumes, only what was attached while the machine runs can be removed",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_agent_touches_what_its_node_has() {
        let on_a = |target: Option<&str>| -> VirtualMachineInstance {
            let status = json!({"nodeName": "a", "migrationState": {"targetNode": target}});
            serde_json::from_value(json!({"spec": {"domain": {"devices": {}}}, "status": status})).unwrap()
        };
        let cases = [
            (None, None, Some("a"), true),
            (None, None, Some("b"), false),
            (Some("b"), Some("b"), Some("b"), true),
            (None, Some("c"), Some("a"), false),
            (None, None, None, false),
        ];
        for (before, after, node, allowed) in cases {
            let errors = vmi_node(&on_a(before), &on_a(after), node);
            assert_eq!(errors.is_empty(), allowed, "{node:?} {errors:?}");
            assert!(errors.iter().all(|error| error.path.is_root() && error.problem == Problem::Invalid));
        }
    }
}
