//! Rules of a `VirtualMachine`.

use std::collections::BTreeSet;

use api::kubevirt::v1::{VirtualMachine, VirtualMachineInstance, VirtualMachineStatus};
use api::names::run_strategy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use machinery::field::{FieldError, Path, Problem};

use super::{Errors, Scope, live_update, metadata};
use crate::config::ClusterConfig;
use crate::defaults::{self, Fresh};

/// Checks a machine, new or changed. `user` is who writes it.
pub fn vm(vm: &VirtualMachine, config: &ClusterConfig, user: &str) -> Vec<FieldError> {
    let mut errors = Errors::default();
    run_state(vm, config, &mut errors);
    data_volumes(vm, &mut errors);
    errors.0.extend(vm_matchers(vm));
    let Some(template) = &vm.spec.template.spec else {
        errors.add(Problem::Required, Path::new("spec.template.spec"), (), "describe the machine");
        return errors.0;
    };

    // What counts is the instance that the template would become.
    let instance = VirtualMachineInstance { spec: template.clone(), ..VirtualMachineInstance::default() };
    let instance = filled(instance, config);
    let scope = Scope { path: Path::new("spec.template.spec"), config, instance: false };
    super::spec(&scope, &instance.spec, &mut errors);
    live_update::check(&scope, template, &mut errors);
    metadata::instance(
        &Path::new("spec.template.metadata"),
        &vm.spec.template.metadata,
        config,
        user,
        &mut errors,
    );
    errors.0
}

/// Returns the instance that a template would become.
pub(super) fn filled(mut instance: VirtualMachineInstance, config: &ClusterConfig) -> VirtualMachineInstance {
    let fresh = Fresh { uuid: String::new(), serial: String::new(), now: Time(Timestamp::default()) };
    defaults::vmi(&mut instance, config, &fresh);
    instance
}

fn run_state(vm: &VirtualMachine, config: &ClusterConfig, errors: &mut Errors) {
    let running = Path::new("spec.running");
    match (vm.spec.running, vm.spec.run_strategy.as_deref().filter(|strategy| !strategy.is_empty())) {
        (Some(value), Some(_)) => {
            errors.invalid(running, value, "running and runStrategy exclude each other; keep runStrategy");
        }
        (None, None) => errors.invalid(running, (), "set spec.runStrategy, for example to Always or Halted"),
        (_, Some(strategy)) => {
            let at = Path::new("spec.runStrategy");
            if !run_strategy::ALL.contains(&strategy) {
                errors.invalid(at, strategy, format!("write one of {}", run_strategy::ALL.join(", ")));
            } else if strategy == run_strategy::WAIT_AS_RECEIVER && !config.gate("DecentralizedLiveMigration")
            {
                errors.gate(at, strategy, "DecentralizedLiveMigration");
            }
        }
        (Some(_), None) => {}
    }
}

fn data_volumes(vm: &VirtualMachine, errors: &mut Errors) {
    let volumes = vm.spec.template.spec.as_ref().map(|spec| spec.volumes.as_slice()).unwrap_or_default();
    for (index, template) in vm.spec.data_volume_templates.iter().enumerate() {
        // Clients know this list by its name without the plural.
        let at = Path::new("spec.dataVolumeTemplate").index(index);
        let name = template.metadata.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            errors.add(Problem::Required, at.child("name"), (), "give the DataVolume a name");
            continue;
        }
        let used = volumes.iter().any(|volume| {
            volume.data_volume.as_ref().is_some_and(|source| source.name == name)
                || volume.persistent_volume_claim.as_ref().is_some_and(|source| source.claim_name == name)
        });
        if !used {
            errors.add(
                Problem::Required,
                at,
                name,
                "no volume of the template uses this DataVolume; add one",
            );
        }
        let own = vm.metadata.namespace.as_deref().unwrap_or_default();
        if let Some(other) =
            template.metadata.namespace.as_deref().filter(|other| !other.is_empty() && *other != own)
        {
            errors.invalid(
                Path::new("spec.dataVolumeTemplates").index(index),
                other,
                format!("the DataVolume is made in the machine's own namespace, {own}"),
            );
        }
    }
}

/// Checks how a machine names its instance type and preference.
pub fn vm_matchers(vm: &VirtualMachine) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let instancetype =
        vm.spec.instancetype.as_ref().map(|matcher| (&matcher.name, &matcher.infer_from_volume));
    let preference = vm.spec.preference.as_ref().map(|matcher| (&matcher.name, &matcher.infer_from_volume));
    for (field, matcher) in [("instancetype", instancetype), ("preference", preference)] {
        let Some((name, infer)) = matcher else { continue };
        let set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let at = Path::new("spec").child(field);
        if !set(name) && !set(infer) {
            errors.add(Problem::NotFound, at, (), "give a name, or the volume to infer it from");
        } else if set(name) && set(infer) {
            errors.add(
                Problem::NotSupported,
                at.child("name"),
                name.clone().unwrap_or_default(),
                "give a name or the volume to infer it from; remove one",
            );
        }
    }
    errors.0
}

/// Checks what a client writes into a machine's status: requests that wait for the controller.
pub fn vm_status(status: &VirtualMachineStatus) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let mut seen = BTreeSet::new();
    for request in &status.volume_requests {
        let at = Path::new("Status.volumeRequests");
        let name = match (&request.add_volume_options, &request.remove_volume_options) {
            (Some(add), None) => add.name.as_str(),
            (None, Some(remove)) => remove.name.as_str(),
            _ => {
                errors.invalid(at, (), "a request either adds or removes a volume");
                continue;
            }
        };
        if !seen.insert(name) {
            errors.invalid(at, name, "another request for this volume is waiting; wait until it is done");
        }
    }
    errors.0
}
