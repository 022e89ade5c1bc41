//! Instance types and preferences: what a machine gets by name instead of saying it itself.
//!
//! An instance type decides: a machine that uses one may not say the same ([`apply`] names what conflicts). A
//! preference advises: it counts where the machine is silent.

pub mod common;
mod matcher;
mod object;
mod preference;
mod requirements;
mod resources;
mod topology;

use api::instancetype::v1beta1::{VirtualMachineInstancetypeSpec, VirtualMachinePreferenceSpec};
use api::kubevirt::v1::{VirtualMachine, VirtualMachineInstanceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::{FieldError, Path, Problem};

use crate::config::ClusterConfig;
use crate::defaults;

pub use matcher::{Matcher, Scope, Source, inferred, instancetype, is_ignored, preference, sources};
pub use object::{instancetype as check_instancetype, preference as check_preference};

/// What a machine's names stand for; nothing where it names none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Specs {
    /// The instance type.
    pub instancetype: Option<VirtualMachineInstancetypeSpec>,
    /// The preference.
    pub preference: Option<VirtualMachinePreferenceSpec>,
}

impl Specs {
    /// Whether there is nothing to apply.
    pub fn is_empty(&self) -> bool {
        self.instancetype.is_none() && self.preference.is_none()
    }
}

/// Applies what was named to a specification that stands at `at`, and returns the paths where the machine says itself
/// what its instance type decides.
pub fn apply(
    at: &Path,
    specs: &Specs,
    metadata: &mut ObjectMeta,
    spec: &mut VirtualMachineInstanceSpec,
) -> Vec<Path> {
    let conflicts = specs.instancetype.as_ref().map(|instancetype| {
        let vcpus = topology::topology(instancetype.cpu.guest, specs.preference.as_ref());
        resources::apply(at, instancetype, vcpus, metadata, spec)
    });
    if let Some(preferred) = &specs.preference {
        preference::apply(preferred, metadata, spec);
    }
    conflicts.unwrap_or_default()
}

/// Returns the machine with everything that its names stand for, and without the names; or what conflicts.
pub fn expand(
    vm: &VirtualMachine,
    specs: &Specs,
    config: &ClusterConfig,
) -> Result<VirtualMachine, Vec<Path>> {
    let mut vm = vm.clone();
    let conflicts = prepare(&mut vm, specs, config);
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    if let Some(spec) = &mut vm.spec.template.spec {
        defaults::expanded(spec, config);
    }
    vm.spec.instancetype = None;
    vm.spec.preference = None;
    Ok(vm)
}

/// Puts what a machine's names stand for into its template, as the instance that it is about to get needs it.
pub fn prepare(vm: &mut VirtualMachine, specs: &Specs, config: &ClusterConfig) -> Vec<Path> {
    let template = &mut vm.spec.template;
    let Some(spec) = &mut template.spec else { return Vec::new() };
    // Preferences reach what is there by default, so it has to be there before.
    if let Some(attach) = specs
        .preference
        .as_ref()
        .and_then(|preference| preference.devices.as_ref())
        .and_then(|devices| devices.preferred_autoattach_pod_interface)
    {
        spec.domain.devices.autoattach_pod_interface.get_or_insert(attach);
    }
    defaults::implied(spec, config);
    apply(&Path::new("spec.template.spec"), specs, &mut template.metadata, spec)
}

/// Checks a machine against what it names: processors that can be spread, nothing said twice, requirements met.
///
/// The first of these that fails is told of, as the rest may follow from it.
pub fn check(vm: &VirtualMachine, specs: &Specs, config: &ClusterConfig) -> Vec<FieldError> {
    if let Some(error) = topology::check(specs) {
        return vec![error];
    }
    let mut expanded = vm.clone();
    let conflicts = prepare(&mut expanded, specs, config);
    if !conflicts.is_empty() {
        return conflicts.into_iter().map(conflict).collect();
    }
    requirements::check(vm, &expanded, specs, config).into_iter().collect()
}

fn conflict(path: Path) -> FieldError {
    FieldError::new(
        path,
        Problem::Invalid,
        ().into(),
        "the instance type decides this; remove it from the machine",
    )
}

#[cfg(test)]
mod tests;
