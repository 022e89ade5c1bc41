//! What admission refuses.
//!
//! Each rule names the field, the value and what would do. Fields and kinds of error are those that the API's
//! clients know; the words are our own.
//!
//! A `VirtualMachine` is held to the rules of the instance that its template would become; rules that depend on
//! the architecture wait until there is one.

mod architecture;
mod cpu;
mod credentials;
mod devices;
mod disks;
mod firmware;
pub mod importer;
mod installation;
mod interfaces;
mod live_update;
mod machine;
mod memory;
mod metadata;
mod migration;
mod networks;
mod placement;
mod security;
mod sets;
mod storage;
mod update;
mod volumes;

use api::kubevirt::v1::{VirtualMachineInstance, VirtualMachineInstanceSpec};
use machinery::field::{FieldError, Path, Problem};
use serde_json::Value;

use crate::config::ClusterConfig;

pub use installation::kubevirt;
pub use machine::{vm, vm_matchers, vm_status};
pub use migration::{vmim, vmim_update};
pub use sets::{pool, preset, replica_set};
pub use storage::{clone, export, policy, restore, snapshot, unchanged};
pub use update::{vmi_node, vmi_update};

/// Where a specification stands, and what it is held to.
pub(crate) struct Scope<'a> {
    /// Path of the specification: `spec`, or `spec.template.spec`.
    pub(crate) path: Path,
    /// Configuration of the installation.
    pub(crate) config: &'a ClusterConfig,
    /// Whether it is an instance, not a template.
    pub(crate) instance: bool,
}

impl Scope<'_> {
    /// Returns the path of a field, written below the specification: `domain.cpu.sockets`.
    pub(crate) fn at(&self, field: &str) -> Path {
        self.path.child(field)
    }
}

/// Collected errors.
#[derive(Debug, Default)]
pub(crate) struct Errors(pub(crate) Vec<FieldError>);

impl Errors {
    /// Notes a value that breaks a rule.
    pub(crate) fn invalid(&mut self, path: Path, value: impl Into<Value>, rule: impl Into<String>) {
        self.add(Problem::Invalid, path, value, rule);
    }

    /// Notes an error of any kind.
    pub(crate) fn add(
        &mut self,
        problem: Problem,
        path: Path,
        value: impl Into<Value>,
        rule: impl Into<String>,
    ) {
        self.0.push(FieldError::new(path, problem, value.into(), rule));
    }

    /// Notes a feature that waits behind a gate.
    pub(crate) fn gate(&mut self, path: Path, value: impl Into<Value>, gate: &str) {
        self.invalid(
            path,
            value,
            format!(
                "the feature gate {gate} is off; an administrator can add it to \
                 spec.configuration.developerConfiguration.featureGates of the KubeVirt object"
            ),
        );
    }
}

/// Checks a new instance, defaults filled in. `user` is who creates it.
pub fn vmi_create(vmi: &VirtualMachineInstance, config: &ClusterConfig, user: &str) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let scope = Scope { path: Path::new("spec"), config, instance: true };
    spec(&scope, &vmi.spec, &mut errors);
    architecture::spec(&scope, &vmi.spec, &mut errors);
    metadata::instance(&Path::new("metadata"), &vmi.metadata, config, user, &mut errors);
    errors.0
}

/// Checks a specification, defaults filled in.
pub(crate) fn spec(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    memory::check(scope, spec, errors);
    cpu::check(scope, spec, errors);
    firmware::check(scope, spec, errors);
    volumes::check(scope, spec, errors);
    disks::check(scope, spec, errors);
    networks::check(scope, spec, errors);
    interfaces::check(scope, spec, errors);
    placement::check(scope, spec, errors);
    devices::check(scope, spec, errors);
    security::check(scope, spec, errors);
    credentials::check(scope, spec, errors);
}
